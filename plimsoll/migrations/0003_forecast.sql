-- Models and what they said. Predictions are append-only; "latest" is derived.
CREATE SCHEMA IF NOT EXISTS forecast;

CREATE TABLE forecast.models (
    tenant_id text NOT NULL,
    model_version text NOT NULL,
    status text NOT NULL CHECK (status IN ('champion', 'challenger', 'retired', 'rejected')),
    trained_from timestamptz NOT NULL,
    trained_to timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    decided_at timestamptz,
    decision jsonb NOT NULL DEFAULT '{}',
    metadata jsonb NOT NULL DEFAULT '{}',
    artefact bytea NOT NULL,
    PRIMARY KEY (tenant_id, model_version)
);
CREATE UNIQUE INDEX models_one_champion ON forecast.models (tenant_id) WHERE status = 'champion';
COMMENT ON TABLE forecast.models IS 'One row per tenant and model version, with its artefact and why it was promoted or not.';

CREATE TABLE forecast.backtests (
    tenant_id text NOT NULL,
    model_version text NOT NULL,
    method text NOT NULL,
    horizon_h integer NOT NULL,
    origins integer NOT NULL,
    window_from timestamptz NOT NULL,
    window_to timestamptz NOT NULL,
    wape double precision,
    mase double precision,
    bias double precision,
    coverage_80 double precision,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, model_version, method, horizon_h),
    FOREIGN KEY (tenant_id, model_version) REFERENCES forecast.models
);
COMMENT ON TABLE forecast.backtests IS 'One row per model version, method (champion or baseline) and horizon: its measured errors.';

CREATE TABLE forecast.occupancy_hourly (
    tenant_id text NOT NULL,
    series_id text NOT NULL,
    model_version text NOT NULL,
    origin_at timestamptz NOT NULL,
    target_hour timestamptz NOT NULL,
    horizon_h smallint NOT NULL CHECK (horizon_h > 0),
    predicted real NOT NULL CHECK (predicted >= 0),
    p10 real NOT NULL CHECK (p10 >= 0),
    p90 real NOT NULL CHECK (p90 >= p10),
    baseline real,
    method text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, series_id, target_hour, origin_at, model_version)
) PARTITION BY RANGE (target_hour);
CREATE TABLE forecast.occupancy_hourly_default PARTITION OF forecast.occupancy_hourly DEFAULT;
CREATE INDEX occupancy_hourly_by_origin ON forecast.occupancy_hourly (tenant_id, origin_at);
COMMENT ON TABLE forecast.occupancy_hourly IS
'One row per series, target hour, origin and model version. Append-only. A series is a venue, an area, or route:<route_id>:<direction_id>.';
