-- Who and what exists: tenants, sites, devices, routes. Written by people, imports and the API.
CREATE SCHEMA IF NOT EXISTS registry;

CREATE TABLE registry.tenants (
    tenant_id text PRIMARY KEY,
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO registry.tenants (tenant_id, name) VALUES ('default', 'Default tenant');

CREATE TABLE registry.sites (
    tenant_id text NOT NULL REFERENCES registry.tenants,
    site_id text NOT NULL,
    name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('bus', 'venue', 'area', 'stop')),
    capacity integer CHECK (capacity > 0),
    seats integer CHECK (seats >= 0),
    standing integer CHECK (standing >= 0),
    time_zone text NOT NULL DEFAULT 'UTC',
    route_id text,
    lat double precision CHECK (lat BETWEEN -90 AND 90),
    lon double precision CHECK (lon BETWEEN -180 AND 180),
    -- How long an observation holds when nothing follows it; see docs/contracts.md.
    hold_s integer NOT NULL DEFAULT 300 CHECK (hold_s BETWEEN 1 AND 86400),
    is_active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, site_id)
);
COMMENT ON TABLE registry.sites IS 'One row per tenant and site: a bus, a venue, a road area or a stop.';

CREATE TABLE registry.devices (
    tenant_id text NOT NULL REFERENCES registry.tenants,
    device_id text NOT NULL,
    site_id text,
    secret text,
    valid_from timestamptz NOT NULL DEFAULT '-infinity',
    valid_to timestamptz NOT NULL DEFAULT 'infinity',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, device_id, valid_from),
    CHECK (valid_from < valid_to)
);
COMMENT ON TABLE registry.devices IS 'One row per tenant, device and assignment to a site.';

CREATE TABLE registry.routes (
    tenant_id text NOT NULL REFERENCES registry.tenants,
    route_id text NOT NULL,
    direction_id smallint NOT NULL CHECK (direction_id IN (0, 1)),
    route_name text NOT NULL,
    headsign text NOT NULL,
    time_zone text NOT NULL DEFAULT 'UTC',
    headway_peak_s integer,
    headway_offpeak_s integer,
    spare_vehicles integer NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, route_id, direction_id)
);
COMMENT ON TABLE registry.routes IS 'One row per tenant, route and direction.';

CREATE TABLE registry.route_stops (
    tenant_id text NOT NULL,
    route_id text NOT NULL,
    direction_id smallint NOT NULL,
    stop_sequence integer NOT NULL,
    stop_id text NOT NULL,
    stop_name text NOT NULL,
    lat double precision NOT NULL,
    lon double precision NOT NULL,
    PRIMARY KEY (tenant_id, route_id, direction_id, stop_sequence),
    FOREIGN KEY (tenant_id, route_id, direction_id) REFERENCES registry.routes
);
COMMENT ON TABLE registry.route_stops IS 'One row per route, direction and stop, in the order of travel.';
