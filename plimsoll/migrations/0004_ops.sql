-- What is too full, what to do about it, and who decided what. Every change of a state leaves an audit row.
CREATE SCHEMA IF NOT EXISTS ops;

CREATE TABLE ops.hotspots (
    tenant_id text NOT NULL,
    hotspot_id uuid NOT NULL DEFAULT gen_random_uuid(),
    -- rule | entity kind | entity | direction, and for a forecast the hour in which its window began when raised
    fingerprint text NOT NULL,
    rule text NOT NULL,
    entity_kind text NOT NULL CHECK (entity_kind IN ('site', 'route', 'area')),
    entity_id text NOT NULL,
    direction_id smallint CHECK (direction_id IN (0, 1)),
    source text NOT NULL CHECK (source IN ('live', 'forecast')),
    state text NOT NULL CHECK (state IN ('pending', 'firing', 'acknowledged', 'resolved', 'expired')),
    severity text NOT NULL CHECK (severity IN ('warning', 'high', 'critical')),
    threshold double precision NOT NULL CHECK (threshold > 0),
    load_factor double precision NOT NULL CHECK (load_factor >= 0),
    peak_load_factor double precision NOT NULL CHECK (peak_load_factor >= load_factor),
    crowded_passenger_minutes double precision NOT NULL DEFAULT 0 CHECK (crowded_passenger_minutes >= 0),
    -- People above the threshold at the last look; they count as crowded until the next one.
    excess_passengers double precision NOT NULL DEFAULT 0 CHECK (excess_passengers >= 0),
    evidence jsonb NOT NULL DEFAULT '{}',
    first_seen_at timestamptz NOT NULL,
    above_since timestamptz,
    started_at timestamptz,
    cleared_since timestamptz,
    observed_at timestamptz NOT NULL,
    ended_at timestamptz,
    window_from timestamptz,
    window_to timestamptz,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, hotspot_id),
    CHECK ((ended_at IS NOT NULL) = (state IN ('resolved', 'expired'))),
    CHECK (started_at IS NOT NULL OR state IN ('pending', 'expired')),
    CHECK ((source = 'forecast') = (window_from IS NOT NULL AND window_to IS NOT NULL)),
    CHECK (window_from < window_to)
);
CREATE UNIQUE INDEX hotspots_one_open ON ops.hotspots (tenant_id, fingerprint)
WHERE state IN ('pending', 'firing', 'acknowledged');
CREATE INDEX hotspots_by_end ON ops.hotspots (tenant_id, ended_at);
COMMENT ON TABLE ops.hotspots IS
'One row per episode of crowding at a site, an area or a route and direction, seen live or forecast; at most one open row per tenant and fingerprint.';
COMMENT ON COLUMN ops.hotspots.above_since IS 'Start of the present unbroken stretch at or above the threshold; null when below or unknown.';
COMMENT ON COLUMN ops.hotspots.cleared_since IS 'Start of the present unbroken stretch at or below the clearing threshold; null when above or unknown.';
COMMENT ON COLUMN ops.hotspots.started_at IS 'When it fired for the first time; null for what never lasted long enough.';
COMMENT ON COLUMN ops.hotspots.observed_at IS 'When the load was last known. Silence lets a hotspot expire, never clear.';
COMMENT ON COLUMN ops.hotspots.window_from IS 'Forecast hotspots: start of the first crowded hour.';
COMMENT ON COLUMN ops.hotspots.window_to IS 'Forecast hotspots: end of the last crowded hour.';
COMMENT ON COLUMN ops.hotspots.crowded_passenger_minutes IS 'Sum of max(0, load - threshold) x minutes: so far (live) or expected in the window (forecast).';

CREATE TABLE ops.hotspot_events (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id text NOT NULL,
    hotspot_id uuid NOT NULL,
    at timestamptz NOT NULL,
    from_state text,
    to_state text NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL,
    FOREIGN KEY (tenant_id, hotspot_id) REFERENCES ops.hotspots ON DELETE CASCADE
);
CREATE INDEX hotspot_events_by_hotspot ON ops.hotspot_events (tenant_id, hotspot_id, at);
COMMENT ON TABLE ops.hotspot_events IS 'One row per change of a hotspot''s state: when, by whom and why. Append-only.';

CREATE TABLE ops.recommendations (
    tenant_id text NOT NULL,
    recommendation_id uuid NOT NULL DEFAULT gen_random_uuid(),
    hotspot_id uuid,
    fingerprint text NOT NULL,  -- the idempotency key: action and what it is for
    action text NOT NULL,
    entity_kind text NOT NULL CHECK (entity_kind IN ('site', 'route', 'area')),
    entity_id text NOT NULL,
    direction_id smallint CHECK (direction_id IN (0, 1)),
    state text NOT NULL CHECK (state IN ('proposed', 'accepted', 'dismissed', 'executed', 'expired')),
    summary text NOT NULL,
    preconditions jsonb NOT NULL DEFAULT '[]',
    evidence jsonb NOT NULL DEFAULT '{}',
    expected_effect jsonb NOT NULL,
    confidence double precision NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    decided_at timestamptz,
    decided_by text,
    reason text,
    PRIMARY KEY (tenant_id, recommendation_id),
    FOREIGN KEY (tenant_id, hotspot_id) REFERENCES ops.hotspots ON DELETE SET NULL (hotspot_id),
    CHECK (created_at < expires_at),
    CHECK (state NOT IN ('accepted', 'dismissed', 'executed') OR (decided_at IS NOT NULL AND decided_by IS NOT NULL))
);
CREATE UNIQUE INDEX recommendations_one_open ON ops.recommendations (tenant_id, fingerprint)
WHERE state IN ('proposed', 'accepted');
CREATE INDEX recommendations_by_fingerprint ON ops.recommendations (tenant_id, fingerprint, expires_at);
CREATE INDEX recommendations_by_creation ON ops.recommendations (tenant_id, created_at);
CREATE INDEX recommendations_by_hotspot ON ops.recommendations (tenant_id, hotspot_id);
COMMENT ON TABLE ops.recommendations IS
'One row per action recommended for a site, an area or a route and direction; at most one open row per tenant and fingerprint.';
COMMENT ON COLUMN ops.recommendations.preconditions IS 'List of {"name", "met", "detail"} as checked when it was proposed.';
COMMENT ON COLUMN ops.recommendations.expected_effect IS
'{"crowded_minutes_avoided", "low", "high", "assumption"}: crowded passenger-minutes, with the band and what it rests on.';

CREATE TABLE ops.recommendation_events (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id text NOT NULL,
    recommendation_id uuid NOT NULL,
    at timestamptz NOT NULL,
    from_state text,
    to_state text NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL,
    FOREIGN KEY (tenant_id, recommendation_id) REFERENCES ops.recommendations ON DELETE CASCADE
);
CREATE INDEX recommendation_events_by_recommendation
ON ops.recommendation_events (tenant_id, recommendation_id, at);
COMMENT ON TABLE ops.recommendation_events IS
'One row per change of a recommendation''s state: when, by whom and why. Append-only.';

CREATE TABLE ops.alerts (
    tenant_id text NOT NULL,
    alert_id uuid NOT NULL DEFAULT gen_random_uuid(),
    fingerprint text NOT NULL,  -- rule | entity kind | entity
    rule text NOT NULL,
    entity_kind text NOT NULL CHECK (entity_kind IN ('site', 'route', 'area', 'device', 'stream', 'system')),
    entity_id text NOT NULL,
    state text NOT NULL CHECK (state IN ('pending', 'firing', 'acknowledged', 'resolved', 'expired')),
    severity text NOT NULL CHECK (severity IN ('warning', 'high', 'critical')),
    message text NOT NULL,
    evidence jsonb NOT NULL DEFAULT '{}',
    first_seen_at timestamptz NOT NULL,
    started_at timestamptz,
    cleared_since timestamptz,
    ended_at timestamptz,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, alert_id),
    CHECK ((ended_at IS NOT NULL) = (state IN ('resolved', 'expired')))
);
CREATE UNIQUE INDEX alerts_one_open ON ops.alerts (tenant_id, fingerprint)
WHERE state IN ('pending', 'firing', 'acknowledged');
CREATE INDEX alerts_by_end ON ops.alerts (tenant_id, ended_at);
COMMENT ON TABLE ops.alerts IS
'One row per episode of something that a person should know of; at most one open row per tenant and fingerprint.';

CREATE TABLE ops.alert_events (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id text NOT NULL,
    alert_id uuid NOT NULL,
    at timestamptz NOT NULL,
    from_state text,
    to_state text NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL,
    FOREIGN KEY (tenant_id, alert_id) REFERENCES ops.alerts ON DELETE CASCADE
);
CREATE INDEX alert_events_by_alert ON ops.alert_events (tenant_id, alert_id, at);
COMMENT ON TABLE ops.alert_events IS 'One row per change of an alert''s state: when, by whom and why. Append-only.';

CREATE TABLE ops.retention_log (
    retention_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    relation text NOT NULL,  -- schema.table, or the name of what else was pruned
    cut_off_at timestamptz NOT NULL,
    rows_deleted bigint NOT NULL DEFAULT 0 CHECK (rows_deleted >= 0),
    partitions_dropped integer NOT NULL DEFAULT 0 CHECK (partitions_dropped >= 0),
    dry_run boolean NOT NULL,
    ran_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX retention_log_by_time ON ops.retention_log (ran_at);
COMMENT ON TABLE ops.retention_log IS
'One row per relation and retention run: the cut-off and how much went, or would go when it was a dry run.';
