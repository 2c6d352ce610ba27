{{ config(indexes=[{'columns': ['tenant_id', 'route_id', 'direction_id'], 'unique': true}]) }}
{% do lock_model() %}

with routes as (
    select * from {{ ref('stg_registry__routes') }}
),

stops as (
    select * from {{ ref('stg_registry__route_stops') }}
),

stops_of_routes as (
    select
        tenant_id,
        route_id,
        direction_id,
        count(*)::integer as stops,
        (array_agg(stop_name order by stop_sequence))[1] as first_stop_name,
        (array_agg(stop_name order by stop_sequence desc))[1] as last_stop_name
    from stops
    group by tenant_id, route_id, direction_id
)

select
    {{ surrogate_key(['routes.tenant_id', 'routes.route_id', 'routes.direction_id']) }} as route_key,
    routes.tenant_id,
    routes.route_id,
    routes.direction_id,
    'route:' || routes.route_id || ':' || routes.direction_id as series_id,
    routes.route_name,
    routes.headsign,
    routes.time_zone,
    routes.headway_peak_s,
    routes.headway_offpeak_s,
    routes.spare_vehicles,
    coalesce(stops_of_routes.stops, 0) as stops,
    stops_of_routes.first_stop_name,
    stops_of_routes.last_stop_name
from routes
left join stops_of_routes
    on
        routes.tenant_id = stops_of_routes.tenant_id
        and routes.route_id = stops_of_routes.route_id
        and routes.direction_id = stops_of_routes.direction_id
