with source as (
    select * from {{ source('registry', 'route_stops') }}
)

select
    tenant_id,
    route_id,
    direction_id,
    stop_sequence,
    stop_id,
    stop_name,
    lat,
    lon
from source
