{{ config(materialized='view') }}

with sites as (
    select * from {{ ref('int_sites__known') }}
),

routes as (
    select * from {{ ref('stg_registry__routes') }}
),

venues as (
    select
        hours.tenant_id,
        hours.site_id as series_id,
        case sites.kind when 'area' then 'area' else 'venue' end as series_kind,
        hours.site_id,
        null::text as route_id,
        null::smallint as direction_id,
        hours.hour,
        hours.mean_occupancy as value,
        hours.capacity::double precision as capacity,
        hours.load_factor,
        hours.coverage,
        hours.is_imputed,
        sites.time_zone,
        hours.refreshed_at
    from {{ ref('fct_occupancy_hourly') }} as hours
    inner join sites on hours.tenant_id = sites.tenant_id and hours.site_id = sites.site_id
    where sites.kind <> 'bus'
),

areas as (
    select
        hours.tenant_id,
        hours.stream_id::text as series_id,
        'area' as series_kind,
        hours.stream_id::text as site_id,
        null::text as route_id,
        null::smallint as direction_id,
        hours.hour,
        hours.mean_count as value,
        hours.capacity::double precision as capacity,
        hours.load_factor,
        hours.coverage,
        false as is_imputed,
        coalesce(sites.time_zone, '{{ var("default_time_zone") }}') as time_zone,
        hours.refreshed_at
    from {{ ref('fct_traffic_hourly') }} as hours
    left join sites on hours.tenant_id = sites.tenant_id and hours.stream_id::text = sites.site_id
),

directions as (
    select
        hours.tenant_id,
        'route:' || hours.route_id || ':' || hours.direction_id as series_id,
        'route' as series_kind,
        null::text as site_id,
        hours.route_id,
        hours.direction_id,
        hours.hour,
        hours.mean_occupancy as value,
        hours.capacity,
        hours.load_factor,
        hours.coverage,
        false as is_imputed,
        coalesce(routes.time_zone, '{{ var("default_time_zone") }}') as time_zone,
        hours.refreshed_at
    from {{ ref('fct_route_occupancy_hourly') }} as hours
    left join routes
        on
            hours.tenant_id = routes.tenant_id
            and hours.route_id = routes.route_id
            and hours.direction_id = routes.direction_id
    where hours.direction_id is not null
)

select * from venues
union all
select * from areas
union all
select * from directions
