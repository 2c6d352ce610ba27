{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        indexes=[
            {'columns': ['hour']},
            {'columns': ['tenant_id', 'route_id', 'direction_id', 'hour']},
            {'columns': ['refreshed_at']},
        ],
        pre_hook="{{ delete_changed_hours(ref('int_occupancy__hourly_by_route')) }}",
        post_hook=["{{ commit_landings(['int_occupancy__hourly_by_route']) }}", "{{ capture_refresh() }}"]
    )
}}
{% do lock_model() %}

-- All routes of an hour are written anew and count as changed together, with the vehicles on no route: one may leave an
-- hour of one route when it turns out to have served another, or none.
with by_route as (
    select
        *,
        max(refreshed_at) over (partition by tenant_id, hour) as hour_refreshed_at
    from {{ ref('int_occupancy__hourly_by_route') }}
    {% if is_incremental() %}
    where
        (tenant_id, hour) in (
            select
                changed.tenant_id,
                changed.hour
            from {{ ref('int_occupancy__hourly_by_route') }} as changed
            where {{ refreshed_since(ref('int_occupancy__hourly_by_route')) }}
        )
    {% endif %}
),

hours as (
    select * from by_route
    where route_id is not null
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
        max(hour_refreshed_at) as refreshed_at
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
