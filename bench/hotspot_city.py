"""A database of a city with 5,000 sites: loads that change, forecasts for a week, four weeks of route hours."""

from __future__ import annotations

from datetime import datetime, timedelta

import psycopg

from forecasting import store

_STATEMENTS = (
    # 100 routes in two directions with 20 stops each, 12 km long, all over a square of 40 km.
    """
    INSERT INTO registry.routes (tenant_id, route_id, direction_id, route_name, headsign, time_zone, headway_peak_s,
                                 headway_offpeak_s, spare_vehicles)
    SELECT %(tenant)s, 'R' || route, way, 'Route ' || route, 'End ' || way, 'Asia/Jakarta', 300, 600, 2
    FROM generate_series(0, 99) AS route, generate_series(0, 1) AS way
    """,
    """
    INSERT INTO registry.route_stops
    SELECT %(tenant)s, 'R' || route, way, stop, 'R' || route || '-' || stop, 'Stop ' || stop,
           -6.4 + route %% 10 * 0.04 + stop * 0.005, 106.6 + route / 10 * 0.04
    FROM generate_series(0, 99) AS route, generate_series(0, 1) AS way, generate_series(1, 20) AS stop
    """,
    """
    INSERT INTO registry.sites (tenant_id, site_id, name, kind, capacity, time_zone, lat, lon, hold_s)
    SELECT %(tenant)s, 'venue-' || number, 'Venue ' || number, 'venue', 60 + number %% 20 * 30, 'Asia/Jakarta',
           -6.4 + number %% 50 * 0.008, 106.6 + number / 50 * 0.008, 1200
    FROM generate_series(0, 2399) AS number
    """,
    """
    INSERT INTO registry.sites (tenant_id, site_id, name, kind, capacity, time_zone, route_id, hold_s)
    SELECT %(tenant)s, 'bus-' || number, 'Bus ' || number, 'bus', 80 + number %% 3 * 20, 'Asia/Jakarta',
           'R' || number %% 100, 300
    FROM generate_series(0, 2399) AS number
    """,
    """
    INSERT INTO live.occupancy (tenant_id, site_id, device_id, event_at, received_at)
    SELECT tenant_id, site_id, 'device-' || site_id, %(now)s, %(now)s FROM registry.sites WHERE tenant_id = %(tenant)s
    """,
    """
    INSERT INTO live.device (tenant_id, device_id, status, status_at, heartbeat_at, received_at)
    SELECT tenant_id, device_id, 'online', %(now)s, %(now)s, %(now)s FROM live.occupancy WHERE tenant_id = %(tenant)s
    """,
    """
    INSERT INTO live.traffic (tenant_id, stream_id, location, longitude, latitude, estimated_max_people)
    SELECT %(tenant)s, gen_random_uuid(), 'Road ' || number, 106.6 + number %% 20 * 0.02, -6.4 + number / 20 * 0.04, 400
    FROM generate_series(0, 199) AS number
    """,
    """
    CREATE SCHEMA IF NOT EXISTS marts
    """,
    """
    CREATE TABLE marts.fct_route_occupancy_hourly (
        tenant_id text, route_id text, direction_id smallint, hour timestamptz, mean_occupancy double precision,
        capacity double precision, vehicle_minutes double precision)
    """,
    """
    CREATE INDEX ON marts.fct_route_occupancy_hourly (tenant_id, route_id, direction_id, hour)
    """,
    """
    INSERT INTO marts.fct_route_occupancy_hourly
    SELECT %(tenant)s, 'R' || route, way, date_trunc('hour', %(now)s::timestamptz) - make_interval(hours => ago),
           20 + 45 * exp(-0.5 * ((extract(hour FROM %(now)s::timestamptz) - ago + 2400)::int %% 24 - 10) ^ 2 / 4.0)
              * (0.6 + route %% 10 * 0.05), 100, 360
    FROM generate_series(0, 99) AS route, generate_series(0, 1) AS way, generate_series(1, 672) AS ago
    """,
)
# A tenth of all is crowded, each for a while; buses move from stop to stop.
_MOVE = (
    """
    UPDATE live.occupancy AS live SET
        occupancy = (sites.capacity * CASE WHEN (hashtext(live.site_id) + %(step)s::bigint / 15) %% 10 = 0
                     THEN 0.95 + 0.1 * random() ELSE 0.2 + 0.6 * random() END)::int,
        route_id = sites.route_id,
        direction_id = CASE WHEN sites.route_id IS NULL THEN NULL ELSE abs(hashtext(live.site_id)) %% 2 END,
        stop_id = CASE WHEN sites.route_id IS NULL THEN NULL
                  ELSE sites.route_id || '-' || 1 + abs(hashtext(live.site_id) + %(step)s::bigint) %% 20 END,
        event_at = %(now)s, received_at = %(now)s
    FROM registry.sites
    WHERE live.tenant_id = %(tenant)s AND sites.tenant_id = live.tenant_id AND sites.site_id = live.site_id
      AND live.event_at <= %(now)s AND random() < 0.9
    """,
    """
    UPDATE live.traffic SET total_in_area = 100 + 290 * random(), event_at = %(now)s, received_at = %(now)s
    WHERE tenant_id = %(tenant)s
    """,
)
# A hundred and sixty-eight hours from each of the last six origins, for every venue, road and route; a tenth of these
# has a crowded peak.
_FORECAST = """
    INSERT INTO forecast.occupancy_hourly (tenant_id, series_id, model_version, origin_at, target_hour, horizon_h,
                                           predicted, p10, p90, method)
    SELECT %(tenant)s, series_id, 'v1', %(hour)s::timestamptz - make_interval(hours => origin),
           %(hour)s::timestamptz + make_interval(hours => ahead), ahead + origin + 1,
           load, load * 0.8, load * 1.15, 'profile+xgboost'
    FROM (
        SELECT site_id AS series_id, capacity FROM registry.sites WHERE tenant_id = %(tenant)s AND route_id IS NULL
        UNION ALL SELECT stream_id::text, 400 FROM live.traffic WHERE tenant_id = %(tenant)s
        UNION ALL
        SELECT 'route:' || route_id || ':' || direction_id, 65 FROM registry.routes WHERE tenant_id = %(tenant)s
    ) AS series
    CROSS JOIN generate_series(0, 5) AS origin
    CROSS JOIN generate_series(0, 167) AS ahead
    CROSS JOIN LATERAL (
        SELECT capacity * (
            0.3 + (0.2 + abs(hashtext(series_id) / 2) %% 100 * 0.004)
                * exp(-0.5 * ((ahead + abs(hashtext(series_id) / 2)) %% 24 - 12) ^ 2 / 6.0)) AS load
    ) AS shape
"""


def fill(connection: psycopg.Connection, tenant: str, now: datetime) -> None:
    """Write the city; two thirds of the buses' last word is their stop."""
    parameters = {"tenant": tenant, "now": now, "hour": now.replace(minute=0, second=0, microsecond=0)}
    for statement in _STATEMENTS:
        connection.execute(statement.encode(), parameters if "%(" in statement else None)
    store.ensure_partitions(connection, now, now + timedelta(days=8))
    connection.execute(_FORECAST.encode(), parameters)
    connection.execute("ANALYZE")


def move(connection: psycopg.Connection, tenant: str, now: datetime) -> None:
    """Let a minute pass: nine of ten sites report again."""
    for statement in _MOVE:
        connection.execute(statement.encode(), {"tenant": tenant, "now": now, "step": int(now.timestamp() / 60)})
