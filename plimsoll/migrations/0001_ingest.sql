-- What the lander keeps about its own work, and the schemas that contracts fill.
CREATE SCHEMA IF NOT EXISTS ingest;
CREATE SCHEMA IF NOT EXISTS raw;
CREATE SCHEMA IF NOT EXISTS live;

CREATE TABLE ingest.schema_migrations (
    name text PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The ledger: written in the same transaction as the rows, so that rows and offsets can never disagree.
-- landed_at grows strictly with every batch of a partition: it is the watermark that dbt reads by.
CREATE TABLE ingest.offsets (
    topic text NOT NULL,
    partition integer NOT NULL,  -- below zero: a bulk load, which has no Kafka partition
    cluster_id text NOT NULL,
    topic_id text NOT NULL,
    next_offset bigint NOT NULL,
    landed_at timestamptz NOT NULL,
    PRIMARY KEY (topic, partition)
);
COMMENT ON TABLE ingest.offsets IS
'One row per topic and partition: the next offset to land. A writer that finds another value has been fenced.';

CREATE TABLE ingest.rejected_messages (
    rejected_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    stage text NOT NULL,
    reason_code text NOT NULL,
    field text,
    reason text NOT NULL,
    key bytea,
    value bytea,
    broker_at timestamptz,
    rejected_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    replayed_at timestamptz
);
CREATE INDEX rejected_messages_by_time ON ingest.rejected_messages USING brin (rejected_at);
COMMENT ON TABLE ingest.rejected_messages IS
'One row per message that a contract refused, unchanged, with the reason and its coordinates.';

CREATE TABLE ingest.landing_batches (
    batch_id bigint GENERATED ALWAYS AS IDENTITY,
    topic text NOT NULL,
    landed_at timestamptz NOT NULL,
    rows_landed integer NOT NULL,
    rows_rejected integer NOT NULL,
    bytes_read bigint NOT NULL,
    newest_event_at timestamptz,
    duration_s real NOT NULL,
    PRIMARY KEY (batch_id)
);
CREATE INDEX landing_batches_by_topic ON ingest.landing_batches (topic, landed_at);
COMMENT ON TABLE ingest.landing_batches IS
'One row per topic and landing transaction: what it carried and how long it took.';
