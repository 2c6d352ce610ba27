with source as (
    select * from {{ source('forecast', 'occupancy_hourly') }}
)

select
    tenant_id,
    series_id,
    -- The name of a route's series carries its route and direction.
    substring(series_id from '^route:(.*):[01]$') as route_id,
    substring(series_id from '^route:.*:([01])$')::smallint as direction_id,
    model_version,
    origin_at,
    target_hour,
    horizon_h,
    predicted::double precision as predicted,
    p10::double precision as p10,
    p90::double precision as p90,
    baseline::double precision as baseline,
    method,
    created_at
from source
