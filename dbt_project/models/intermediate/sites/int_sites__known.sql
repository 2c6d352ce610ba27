{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        indexes=[{'columns': ['tenant_id', 'site_id'], 'unique': true}],
        pre_hook="{{ empty_in_place() }}"
    )
}}
{% do lock_model() %}

-- Registered sites, and those that only their messages tell of.
with registered as (
    select * from {{ ref('stg_registry__sites') }}
),

seen as (
    select * from {{ ref('stg_live__sites') }}
),

known as (
    select
        tenant_id,
        site_id,
        coalesce(registered.name, seen.name) as name,
        coalesce(registered.kind, seen.kind) as kind,
        coalesce(registered.capacity, seen.capacity) as capacity,
        registered.seats,
        registered.standing,
        coalesce(registered.time_zone, '{{ var("default_time_zone") }}') as time_zone,
        coalesce(registered.route_id, seen.route_id) as route_id,
        coalesce(registered.lat, seen.lat) as lat,
        coalesce(registered.lon, seen.lon) as lon,
        coalesce(
            registered.hold_s,
            case coalesce(registered.kind, seen.kind) when 'bus' then 300 when 'venue' then 1800 else 600 end
        ) as hold_s,
        coalesce(registered.is_active, true) as is_active,
        registered.site_id is not null as is_registered
    from registered
    full outer join seen using (tenant_id, site_id)
)

select * from known
