with source as (
    select * from {{ source('registry', 'sites') }}
)

select
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
    updated_at
from source
