-- A tenant's timetable, as its GTFS feed says it; replaced as a whole by every import.
ALTER TABLE registry.routes ADD COLUMN source text NOT NULL DEFAULT 'registry' CHECK (source IN ('registry', 'gtfs'));
COMMENT ON COLUMN registry.routes.source IS 'Who wrote it: a GTFS import takes back only what an import brought.';

CREATE TABLE registry.stops (
    tenant_id text NOT NULL REFERENCES registry.tenants,
    stop_id text NOT NULL,
    stop_name text NOT NULL,
    lat double precision NOT NULL CHECK (lat BETWEEN -90 AND 90),
    lon double precision NOT NULL CHECK (lon BETWEEN -180 AND 180),
    location_type smallint NOT NULL DEFAULT 0,
    parent_station text,
    platform_code text,
    PRIMARY KEY (tenant_id, stop_id)
);
COMMENT ON TABLE registry.stops IS 'One row per tenant and stop of its timetable.';

CREATE TABLE registry.trips (
    tenant_id text NOT NULL REFERENCES registry.tenants,
    trip_id text NOT NULL,
    route_id text NOT NULL,
    direction_id smallint NOT NULL CHECK (direction_id IN (0, 1)),
    service_id text NOT NULL,
    headsign text,
    shape_id text,
    stops integer NOT NULL,
    starts_s integer,  -- departure from its first stop, seconds after the start of the service day
    PRIMARY KEY (tenant_id, trip_id)
);
CREATE INDEX trips_by_route ON registry.trips (tenant_id, route_id, direction_id);
COMMENT ON TABLE registry.trips IS 'One row per tenant and trip of its timetable.';

CREATE TABLE registry.frequencies (
    tenant_id text NOT NULL REFERENCES registry.tenants,
    trip_id text NOT NULL,
    start_s integer NOT NULL,  -- seconds after the start of the service day; beyond 86400 lies the next morning
    end_s integer NOT NULL,
    headway_s integer NOT NULL CHECK (headway_s > 0),
    is_exact boolean NOT NULL,
    PRIMARY KEY (tenant_id, trip_id, start_s),
    CHECK (start_s < end_s)
);
COMMENT ON TABLE registry.frequencies IS 'One row per tenant, trip and time of day in which it repeats.';

CREATE TABLE registry.shapes (
    tenant_id text NOT NULL REFERENCES registry.tenants,
    shape_id text NOT NULL,
    point_sequence integer NOT NULL,
    lat double precision NOT NULL,
    lon double precision NOT NULL,
    PRIMARY KEY (tenant_id, shape_id, point_sequence)
);
COMMENT ON TABLE registry.shapes IS 'One row per tenant, shape and point, in the order of travel.';
