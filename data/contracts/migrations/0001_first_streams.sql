-- Written by `plimsoll contracts migrate`.
CREATE TABLE raw.device_heartbeats (
    "tenant_id" text NOT NULL,
    "device_id" text NOT NULL,
    "ts_device" timestamptz NOT NULL,
    "uptime_s" bigint,
    "battery_percent" double precision,
    "fw_version" text,
    "extra" jsonb,
    "_topic" text NOT NULL,
    "_partition" integer NOT NULL,
    "_offset" bigint NOT NULL,
    "_broker_at" timestamptz NOT NULL,
    "_landed_at" timestamptz NOT NULL
) PARTITION BY RANGE (_landed_at);
CREATE INDEX device_heartbeats_by_event_time ON raw.device_heartbeats USING brin (ts_device) WITH (pages_per_range = 32);
CREATE INDEX device_heartbeats_by_landing ON raw.device_heartbeats USING brin (_landed_at) WITH (pages_per_range = 32);
COMMENT ON TABLE raw.device_heartbeats IS 'One row per landed message, repeats included.';

CREATE TABLE raw.device_status (
    "tenant_id" text NOT NULL,
    "device_id" text NOT NULL,
    "ts_device" timestamptz NOT NULL,
    "status" text NOT NULL,
    "error_code" text,
    "battery_percent" double precision,
    "fw_version" text,
    "extra" jsonb,
    "_topic" text NOT NULL,
    "_partition" integer NOT NULL,
    "_offset" bigint NOT NULL,
    "_broker_at" timestamptz NOT NULL,
    "_landed_at" timestamptz NOT NULL
) PARTITION BY RANGE (_landed_at);
CREATE INDEX device_status_by_event_time ON raw.device_status USING brin (ts_device) WITH (pages_per_range = 32);
CREATE INDEX device_status_by_landing ON raw.device_status USING brin (_landed_at) WITH (pages_per_range = 32);
COMMENT ON TABLE raw.device_status IS 'One row per landed message, repeats included.';

CREATE TABLE raw.occupancy_events (
    "tenant_id" text NOT NULL,
    "site_id" text NOT NULL,
    "device_id" text,
    "ts_device" timestamptz NOT NULL,
    "door_id" smallint,
    "in_count" integer,
    "out_count" integer,
    "occupancy" integer,
    "capacity" integer,
    "event_id" text,
    "seq" bigint,
    "count_mode" text,
    "quality" text,
    "zone_id" text,
    "lat" double precision,
    "lon" double precision,
    "route_id" text,
    "direction_id" smallint,
    "trip_id" text,
    "stop_id" text,
    "fw_version" text,
    "extra" jsonb,
    "_topic" text NOT NULL,
    "_partition" integer NOT NULL,
    "_offset" bigint NOT NULL,
    "_broker_at" timestamptz NOT NULL,
    "_landed_at" timestamptz NOT NULL
) PARTITION BY RANGE (_landed_at);
CREATE INDEX occupancy_events_by_event_time ON raw.occupancy_events USING brin (ts_device) WITH (pages_per_range = 32);
CREATE INDEX occupancy_events_by_landing ON raw.occupancy_events USING brin (_landed_at) WITH (pages_per_range = 32);
COMMENT ON TABLE raw.occupancy_events IS 'One row per landed message, repeats included.';

CREATE TABLE raw.traffic_counts (
    "tenant_id" text NOT NULL,
    "stream_id" uuid NOT NULL,
    "ts_device" timestamptz NOT NULL,
    "utc_offset_s" integer,
    "location" text,
    "longitude" double precision NOT NULL,
    "latitude" double precision NOT NULL,
    "total_in_area" integer NOT NULL,
    "estimated_max_people" integer,
    "label" text,
    "type" text,
    "extra" jsonb,
    "_topic" text NOT NULL,
    "_partition" integer NOT NULL,
    "_offset" bigint NOT NULL,
    "_broker_at" timestamptz NOT NULL,
    "_landed_at" timestamptz NOT NULL
) PARTITION BY RANGE (_landed_at);
CREATE INDEX traffic_counts_by_event_time ON raw.traffic_counts USING brin (ts_device) WITH (pages_per_range = 32);
CREATE INDEX traffic_counts_by_landing ON raw.traffic_counts USING brin (_landed_at) WITH (pages_per_range = 32);
COMMENT ON TABLE raw.traffic_counts IS 'One row per landed message, repeats included.';

CREATE TABLE live.device (
    "tenant_id" text NOT NULL,
    "device_id" text NOT NULL,
    "uptime_s" bigint,
    "battery_percent" double precision,
    "fw_version" text,
    "heartbeat_at" timestamptz,
    "received_at" timestamptz,
    "landed_at" timestamptz,
    "status" text,
    "error_code" text,
    "status_at" timestamptz,
    PRIMARY KEY ("tenant_id", "device_id")
) WITH (fillfactor = 50);  -- every row is updated all the time: leave room beside it

CREATE TABLE live.occupancy (
    "tenant_id" text NOT NULL,
    "site_id" text NOT NULL,
    "device_id" text,
    "occupancy" integer,
    "capacity" integer,
    "lat" double precision,
    "lon" double precision,
    "route_id" text,
    "direction_id" smallint,
    "trip_id" text,
    "stop_id" text,
    "seq" bigint,
    "event_at" timestamptz,
    "received_at" timestamptz,
    "landed_at" timestamptz,
    PRIMARY KEY ("tenant_id", "site_id")
) WITH (fillfactor = 50);  -- every row is updated all the time: leave room beside it

CREATE TABLE live.traffic (
    "tenant_id" text NOT NULL,
    "stream_id" uuid NOT NULL,
    "location" text,
    "longitude" double precision,
    "latitude" double precision,
    "total_in_area" integer,
    "estimated_max_people" integer,
    "label" text,
    "type" text,
    "event_at" timestamptz,
    "received_at" timestamptz,
    "landed_at" timestamptz,
    PRIMARY KEY ("tenant_id", "stream_id")
) WITH (fillfactor = 50);  -- every row is updated all the time: leave room beside it
