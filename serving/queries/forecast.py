"""What is predicted, and how buses and routes have run lately."""

# The predictions of one series from the current hour on, the newest origin of each hour; none of a retired site.
FORECAST = """
    SELECT target_hour, predicted, p10, p90, baseline, horizon_h, origin_at, model_version, method
    FROM marts.forecast_latest
    WHERE tenant_id = %(tenant_id)s AND series_id = %(series_id)s
        AND target_hour >= %(start)s AND target_hour < %(end)s
        AND series_id NOT IN (SELECT site_id FROM registry.sites WHERE tenant_id = %(tenant_id)s AND NOT is_active)
    ORDER BY target_hour
"""

# Predictions are of people per bus; the route's mean capacity makes a load factor of them.
ROUTE_CAPACITY = """
    SELECT capacity
    FROM marts.fct_route_occupancy_hourly
    WHERE tenant_id = %(tenant_id)s AND route_id = %(route_id)s AND direction_id = %(direction_id)s AND capacity > 0
    ORDER BY hour DESC
    LIMIT 1
"""

# How a route and direction ran since the forecast's origin, against what that origin said.
ROUTE_SINCE_ORIGIN = """
    SELECT
        sum(a.load_factor * a.coverage) / nullif(sum(a.coverage), 0) AS actual,
        sum(f.predicted / a.capacity * a.coverage) / nullif(sum(a.coverage), 0) AS expected,
        coalesce(sum(a.coverage), 0) AS hours
    FROM marts.fct_route_occupancy_hourly AS a
    JOIN forecast.occupancy_hourly AS f
        ON f.tenant_id = a.tenant_id AND f.target_hour = a.hour AND f.series_id = %(series_id)s
        AND f.origin_at = %(origin_at)s AND f.model_version = %(model_version)s
    WHERE a.tenant_id = %(tenant_id)s AND a.route_id = %(route_id)s AND a.direction_id = %(direction_id)s
        AND a.capacity > 0 AND a.hour >= %(since)s
"""

# How a bus ran in the last hours, against its route (both directions: a bus serves them in turn).
BUS_AGAINST_ROUTE = """
    SELECT
        sum(b.load_factor * b.coverage) / nullif(sum(b.coverage), 0) AS actual,
        sum(r.load_factor * b.coverage) / nullif(sum(b.coverage), 0) AS expected,
        coalesce(sum(b.coverage), 0) AS hours
    FROM marts.fct_occupancy_hourly AS b
    JOIN (
        SELECT hour, sum(load_factor * vehicle_minutes) / nullif(sum(vehicle_minutes), 0) AS load_factor
        FROM marts.fct_route_occupancy_hourly
        WHERE tenant_id = %(tenant_id)s AND route_id = %(route_id)s AND hour >= %(since)s
        GROUP BY hour
    ) AS r ON r.hour = b.hour
    WHERE b.tenant_id = %(tenant_id)s AND b.site_id = %(site_id)s AND b.hour >= %(since)s
        AND b.load_factor IS NOT NULL
"""
