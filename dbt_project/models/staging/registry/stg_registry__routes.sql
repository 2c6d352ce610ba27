with source as (
    select * from {{ source('registry', 'routes') }}
)

select
    tenant_id,
    route_id,
    direction_id,
    route_name,
    headsign,
    time_zone,
    headway_peak_s,
    headway_offpeak_s,
    spare_vehicles
from source
