"""What the marts say of a site's past."""

# `to` is exclusive.
OCCUPANCY_HOURS = """
    SELECT
        hour AS at, mean_occupancy, max_occupancy, p95_occupancy, boardings, alightings, capacity, load_factor,
        minutes_above_threshold, samples, coverage, is_imputed, refreshed_at
    FROM marts.fct_occupancy_hourly
    WHERE tenant_id = %(tenant_id)s AND site_id = %(site_id)s AND hour >= %(start)s AND hour < %(end)s
    ORDER BY hour
"""

TRAFFIC_HOURS = """
    SELECT
        hour AS at, mean_count AS mean_occupancy, max_count AS max_occupancy, capacity, load_factor, samples, coverage,
        refreshed_at
    FROM marts.fct_traffic_hourly
    WHERE tenant_id = %(tenant_id)s AND stream_id = %(stream_id)s AND hour >= %(start)s AND hour < %(end)s
    ORDER BY hour
"""

# Whole days of the site's time zone: those that the period touches.
OCCUPANCY_DAYS = """
    SELECT
        service_date, mean_occupancy, max_occupancy, boardings, alightings, capacity, load_factor,
        minutes_above_threshold, samples, coverage, refreshed_at
    FROM marts.fct_occupancy_daily
    WHERE tenant_id = %(tenant_id)s AND site_id = %(site_id)s
        AND service_date >= (%(start)s::timestamptz AT TIME ZONE %(time_zone)s)::date
        AND service_date <= ((%(end)s::timestamptz - interval '1 microsecond') AT TIME ZONE %(time_zone)s)::date
    ORDER BY service_date
"""

TRAFFIC_DAYS = """
    SELECT
        service_date,
        sum(mean_count * coverage) / nullif(sum(coverage), 0) AS mean_occupancy,
        max(max_count) AS max_occupancy,
        max(capacity) AS capacity,
        sum(load_factor * coverage) / nullif(sum(coverage), 0) AS load_factor,
        sum(samples)::integer AS samples,
        avg(coverage) AS coverage,
        max(refreshed_at) AS refreshed_at
    FROM marts.fct_traffic_hourly
    WHERE tenant_id = %(tenant_id)s AND stream_id = %(stream_id)s
        AND service_date >= (%(start)s::timestamptz AT TIME ZONE %(time_zone)s)::date
        AND service_date <= ((%(end)s::timestamptz - interval '1 microsecond') AT TIME ZONE %(time_zone)s)::date
        -- Days begin at most a day off UTC's: lets the index on the hour be used.
        AND hour >= %(start)s::timestamptz - interval '2 days' AND hour < %(end)s::timestamptz + interval '2 days'
    GROUP BY service_date
    ORDER BY service_date
"""
