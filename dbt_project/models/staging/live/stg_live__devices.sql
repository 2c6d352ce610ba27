with source as (
    select * from {{ source('live', 'device') }}
)

select
    tenant_id,
    device_id,
    status,
    status_at,
    error_code,
    heartbeat_at,
    uptime_s,
    battery_percent,
    fw_version
from source
