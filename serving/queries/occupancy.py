"""What is known of sites and routes now."""

# The registry's sites and those that only their events tell of. How long a reading of an unregistered site holds is
# the rule of marts.dim_site: 5 minutes for a bus, 30 for a venue, 10 for an area.
SITES_NOW = """
    SELECT
        coalesce(s.site_id, l.site_id) AS site_id,
        coalesce(s.name, l.name, l.site_id) AS name,
        coalesce(s.kind, l.kind) AS kind,
        coalesce(l.route_id, s.route_id) AS route_id,
        l.direction_id,
        l.trip_id,
        l.stop_id,
        l.device_id,
        l.count AS last_count,
        coalesce(s.capacity, l.capacity) AS capacity,
        s.seats,
        coalesce(l.lat, s.lat) AS lat,
        coalesce(l.lon, s.lon) AS lon,
        coalesce(s.time_zone, 'UTC') AS time_zone,
        l.event_at,
        least(l.event_at, l.received_at) AS seen_at,
        coalesce(s.hold_s, l.hold_s) AS hold_s,
        s.site_id IS NOT NULL AS is_registered
    FROM (SELECT * FROM registry.sites WHERE tenant_id = %(tenant_id)s) AS s
    FULL JOIN (
        SELECT
            site_id, NULL AS name, CASE WHEN route_id IS NULL THEN 'venue' ELSE 'bus' END AS kind,
            route_id, direction_id, trip_id, stop_id, device_id, occupancy AS count, capacity, lat, lon, event_at,
            received_at, CASE WHEN route_id IS NULL THEN 1800 ELSE 300 END AS hold_s
        FROM live.occupancy
        WHERE tenant_id = %(tenant_id)s
        UNION ALL
        SELECT
            stream_id::text, location, 'area',
            NULL, NULL, NULL, NULL, NULL, total_in_area, estimated_max_people, latitude, longitude, event_at,
            received_at, 600
        FROM live.traffic
        WHERE tenant_id = %(tenant_id)s
    ) AS l ON l.site_id = s.site_id
    WHERE s.is_active IS NOT FALSE
"""

# A line through the stops; both directions of a route are drawn, they may run through different streets.
ROUTE_LINES = """
    SELECT route_id, direction_id, array_agg(ARRAY[lon, lat] ORDER BY stop_sequence) AS line
    FROM registry.route_stops
    WHERE tenant_id = %(tenant_id)s
    GROUP BY route_id, direction_id
    HAVING count(*) > 1
    ORDER BY route_id, direction_id
    LIMIT %(limit)s
"""

ROUTES = """
    SELECT route_id, direction_id, route_name, headsign
    FROM registry.routes
    WHERE tenant_id = %(tenant_id)s
    ORDER BY route_id, direction_id
"""
