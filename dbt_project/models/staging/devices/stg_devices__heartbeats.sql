with messages as (
    select * from {{ ref('stg_devices__heartbeats_messages') }}
),

deduplicated as (
    {{ first_of_repeats('messages', 'device_id') }}
)

select
    tenant_id,
    device_id,
    event_at,
    event_key,
    uptime_s,
    battery_percent,
    fw_version,
    received_at,
    landed_at
from deduplicated
