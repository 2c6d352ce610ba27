{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        indexes=[{'columns': ['tenant_id', 'device_id'], 'unique': true}],
        pre_hook="{{ empty_in_place() }}"
    )
}}
{% do lock_model() %}

-- Registered devices with the site at which they count now, else the next, else the last one, as the registry lists
-- them; and those that only their messages tell of.
with assignments as (
    select * from {{ ref('stg_registry__devices') }}
),

registered as (
    select distinct on (tenant_id, device_id) *
    from assignments
    order by
        tenant_id,
        device_id,
        valid_to <= now(),
        valid_from > now(),
        case when valid_from > now() then valid_from end,
        valid_from desc
),

seen as (
    select * from {{ ref('stg_live__devices') }}
),

sites as (
    select * from {{ ref('int_sites__known') }}
),

known as (
    select
        tenant_id,
        device_id,
        registered.site_id,
        registered.valid_from,
        registered.valid_to,
        registered.device_id is not null as is_registered,
        seen.status,
        seen.status_at,
        seen.error_code,
        seen.heartbeat_at,
        seen.battery_percent,
        seen.fw_version
    from registered
    full outer join seen using (tenant_id, device_id)
)

select
    known.*,
    coalesce(sites.time_zone, '{{ var("default_time_zone") }}') as time_zone
from known
left join sites on known.tenant_id = sites.tenant_id and known.site_id = sites.site_id
