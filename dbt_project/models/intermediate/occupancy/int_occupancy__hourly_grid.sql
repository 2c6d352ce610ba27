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

-- Each observed hour gives its own row and one for every hour of the gap that follows it. One pass over one chain, so
-- that a filter on service_date reaches the table's index.
in_service as (
    select
        followed.*,
        service_hour,
        service_hour > hour as is_imputed,
        coalesce(
            mean_occupancy
            + (next_mean_occupancy - mean_occupancy)
            * extract(epoch from service_hour - hour)::double precision
            / extract(epoch from next_hour - hour)::double precision,
            mean_occupancy
        ) as mean_in_service
    from followed
    cross join lateral generate_series(
        hour, coalesce(next_hour - interval '1 hour', hour), interval '1 hour'
    ) as service_hour
),

keyed as (
    select
        *,
        case
            when is_imputed then {{ surrogate_key(['tenant_id', 'site_id'], ['service_hour']) }}
            else occupancy_hour_key
        end as service_hour_key
    from in_service
),

-- Time zones change when sites are registered: an hour within a gap of one service date may be observed on another.
looked_up as (
    select
        keyed.*,
        bool_or(observed.is_observed) over (
            partition by keyed.tenant_id, keyed.site_id, keyed.service_date, keyed.hour
        ) is true as is_no_gap
    from keyed
    -- One look into the index for each; a semi-join might read all hours.
    left join lateral (
        select true as is_observed
        from {{ ref('int_occupancy__hourly_by_route') }} as known
        where keyed.is_imputed and known.occupancy_hour_key = keyed.service_hour_key
        order by known.occupancy_hour_key
        limit 1
    ) as observed on true
)

select
    service_hour_key as occupancy_hour_key,
    tenant_id,
    site_id,
    service_hour as hour,
    service_date,
    mean_in_service as mean_occupancy,
    case when is_imputed then mean_in_service else max_occupancy end as max_occupancy,
    case when is_imputed then mean_in_service else p95_occupancy end as p95_occupancy,
    case when not is_imputed then boardings end as boardings,
    case when not is_imputed then alightings end as alightings,
    capacity,
    case when is_imputed then 0 else minutes_above_threshold end as minutes_above_threshold,
    case when is_imputed then 0 else crowded_passenger_minutes end as crowded_passenger_minutes,
    case when is_imputed then 0 else samples end as samples,
    case when is_imputed then 0 else coverage end as coverage,
    is_imputed,
    case when not is_imputed then first_landed_at end as first_landed_at,
    case when not is_imputed then last_landed_at end as last_landed_at,
    case when is_imputed then greatest(refreshed_at, next_refreshed_at) else refreshed_at end as refreshed_at
from looked_up
where not (is_imputed and is_no_gap)
