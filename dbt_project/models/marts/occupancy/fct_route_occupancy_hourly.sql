{{
    config(
        materialized='incremental',
        unique_key='hour',
        indexes=[
            {'columns': ['hour']},
            {'columns': ['tenant_id', 'route_id', 'direction_id', 'hour']},
            {'columns': ['refreshed_at']},
        ],
        pre_hook="{{ lock_model() }}"
    )
}}

-- All routes of an hour are taken over together, because a vehicle may leave an hour of one route when it turns out to
-- have served another; a route of which nothing changed keeps its figures and its refreshed_at.
with by_route as (
    select * from {{ ref('int_occupancy__hourly_by_route') }}
),

hours as (
    select *
    from by_route
    where
        route_id is not null
    {% if is_incremental() %}
    and hour in (
        select changed.hour
        from {{ ref('int_occupancy__hourly_by_route') }} as changed
        where
            changed.route_id is not null
            and changed.observed_us > 0
            and changed.refreshed_at > {{ newest_refresh() }}
    )
    {% endif %}
),

routes as (
    select
        tenant_id,
        route_id,
        direction_id,
        hour,
        min(service_date) as service_date,
        sum(passenger_us)::double precision / nullif(sum(observed_us), 0)::double precision as mean_occupancy,
        sum(capacity_us)::double precision / nullif(sum(capacity_known_us), 0)::double precision as capacity,
        max(max_load / nullif(capacity_us::double precision / nullif(capacity_known_us, 0), 0)) as max_load_factor,
        sum(boardings)::bigint as boardings,
        sum(alightings)::bigint as alightings,
        count(distinct site_id) filter (where observed_us > 0)::integer as vehicles,
        sum(observed_us)::double precision / 60e6 as vehicle_minutes,
        sum(crowded_passenger_us)::double precision / 60e6 as crowded_passenger_minutes,
        max(refreshed_at) as refreshed_at
    from hours
    group by tenant_id, route_id, direction_id, hour
)

select
    {{ surrogate_key(['tenant_id', 'route_id', 'direction_id'], ['hour']) }} as route_hour_key,
    tenant_id,
    route_id,
    direction_id,
    hour,
    service_date,
    mean_occupancy,
    capacity,
    mean_occupancy / capacity as load_factor,
    max_load_factor,
    boardings,
    alightings,
    vehicles,
    vehicle_minutes,
    crowded_passenger_minutes,
    least(vehicle_minutes / 60, 1) as coverage,
    refreshed_at
from routes
where vehicle_minutes > 0
