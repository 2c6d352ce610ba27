{{ config(materialized='view') }}

with hotspots as (
    select * from {{ ref('stg_ops__hotspots') }}
),

sites as (
    select * from {{ ref('int_sites__known') }}
),

routes as (
    select * from {{ ref('stg_registry__routes') }}
)

select
    hotspots.tenant_id,
    hotspots.hotspot_id,
    hotspots.fingerprint,
    hotspots.rule,
    hotspots.entity_kind,
    hotspots.entity_id,
    hotspots.direction_id,
    coalesce(sites.name, routes.route_name, hotspots.entity_name, hotspots.entity_id) as entity_name,
    hotspots.source,
    hotspots.state,
    hotspots.severity,
    hotspots.threshold,
    hotspots.load_factor,
    hotspots.peak_load_factor,
    hotspots.crowded_passenger_minutes,
    hotspots.first_seen_at,
    hotspots.started_at,
    hotspots.ended_at,
    (extract(epoch from hotspots.ended_at - hotspots.started_at) / 60)::double precision as duration_minutes,
    hotspots.window_from,
    hotspots.window_to,
    (
        coalesce(hotspots.window_from, hotspots.started_at, hotspots.first_seen_at)
        at time zone coalesce(sites.time_zone, routes.time_zone, '{{ var("default_time_zone") }}')
    )::date as service_date,
    hotspots.updated_at
from hotspots
left join sites
    on
        hotspots.entity_kind = 'site'
        and hotspots.tenant_id = sites.tenant_id
        and hotspots.entity_id = sites.site_id
left join routes
    on
        hotspots.entity_kind = 'route'
        and hotspots.tenant_id = routes.tenant_id
        and hotspots.entity_id = routes.route_id
        and hotspots.direction_id = routes.direction_id
