-- Bulk loads of files. The ledger says how far one has come; this table says which file, and under which numbers.
CREATE TABLE ingest.loads (
    load_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    identity text NOT NULL UNIQUE,
    topic text NOT NULL,
    partition integer NOT NULL CHECK (partition < 0),
    first_offset bigint NOT NULL,
    tenant_id text NOT NULL,
    file_name text NOT NULL,
    size_bytes bigint NOT NULL,
    rows_landed bigint,
    rows_rejected bigint,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz
);
-- A partition serves one unfinished load at a time and the next one after it, so that their number follows the loads
-- that run side by side, not the files ever loaded.
CREATE UNIQUE INDEX loads_by_partition ON ingest.loads (topic, partition) WHERE finished_at IS NULL;
COMMENT ON TABLE ingest.loads IS
'One row per file and way of reading it that was ever loaded: row n of the file is _offset first_offset + n.';
COMMENT ON COLUMN ingest.loads.identity IS 'Hash of the content, the topic, the tenant and the mapping of columns.';
