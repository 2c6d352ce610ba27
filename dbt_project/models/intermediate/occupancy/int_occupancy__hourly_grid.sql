-- A site was in service on a day from its first to its last observed hour. Gaps in between get a row of their own,
-- whose mean lies on the line between the hours at both ends of the gap.
with by_route as (
    select * from {{ ref('int_occupancy__hourly_by_route') }}
),

observed as (
    select
        occupancy_hour_key,
        tenant_id,
        site_id,
        hour,
        service_date,
        sum(passenger_us)::double precision / sum(observed_us)::double precision as mean_occupancy,
        max(max_load) as max_occupancy,
        min(p95_load) as p95_occupancy,
        sum(boardings)::bigint as boardings,
        sum(alightings)::bigint as alightings,
        round(sum(capacity_us) / nullif(sum(capacity_known_us), 0))::integer as capacity,
        sum(above_threshold_us)::double precision / 60e6 as minutes_above_threshold,
        sum(crowded_passenger_us)::double precision / 60e6 as crowded_passenger_minutes,
        sum(samples)::integer as samples,
        sum(observed_us)::double precision / 3600e6 as coverage,
        min(first_landed_at) as first_landed_at,
        max(last_landed_at) as last_landed_at,
        max(refreshed_at) as refreshed_at
    from by_route
    group by occupancy_hour_key, tenant_id, site_id, hour, service_date
),

followed as (
    select
        *,
        lead(hour) over in_day as next_hour,
        lead(mean_occupancy) over in_day as next_mean_occupancy,
        lead(refreshed_at) over in_day as next_refreshed_at
    from observed
    window in_day as (partition by tenant_id, site_id, service_date order by hour)
),

gaps as (
    select
        tenant_id,
        site_id,
        gap_hour as hour,
        service_date,
        mean_occupancy
        + (next_mean_occupancy - mean_occupancy)
        * extract(epoch from gap_hour - hour)::double precision
        / extract(epoch from next_hour - hour)::double precision as mean_occupancy,
        capacity,
        greatest(refreshed_at, next_refreshed_at) as refreshed_at
    from followed
    cross join lateral generate_series(
        hour + interval '1 hour', next_hour - interval '1 hour', interval '1 hour'
    ) as gap_hour
)

select
    occupancy_hour_key,
    tenant_id,
    site_id,
    hour,
    service_date,
    mean_occupancy,
    max_occupancy::double precision as max_occupancy,
    p95_occupancy::double precision as p95_occupancy,
    boardings,
    alightings,
    capacity,
    minutes_above_threshold,
    crowded_passenger_minutes,
    samples,
    coverage,
    false as is_imputed,
    first_landed_at,
    last_landed_at,
    refreshed_at
from observed
union all
select
    {{ surrogate_key(['tenant_id', 'site_id'], ['hour']) }} as occupancy_hour_key,
    tenant_id,
    site_id,
    hour,
    service_date,
    mean_occupancy,
    mean_occupancy as max_occupancy,
    mean_occupancy as p95_occupancy,
    null as boardings,
    null as alightings,
    capacity,
    0 as minutes_above_threshold,
    0 as crowded_passenger_minutes,
    0 as samples,
    0 as coverage,
    true as is_imputed,
    null as first_landed_at,
    null as last_landed_at,
    refreshed_at
from gaps
