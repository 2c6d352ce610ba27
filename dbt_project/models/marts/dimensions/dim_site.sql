{{ config(indexes=[{'columns': ['tenant_id', 'site_id'], 'unique': true}]) }}

with sites as (
    select * from {{ ref('int_sites__known') }}
)

select
    {{ surrogate_key(['tenant_id', 'site_id']) }} as site_key,
    tenant_id,
    site_id,
    name,
    kind,
    capacity,
    seats,
    standing,
    time_zone,
    route_id,
    lat,
    lon,
    hold_s,
    is_active,
    is_registered
from sites
