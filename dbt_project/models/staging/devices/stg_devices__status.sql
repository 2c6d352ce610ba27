with messages as (
    select * from {{ ref('stg_devices__status_messages') }}
),

deduplicated as (
    {{ first_of_repeats('messages', 'device_id') }}
)

select
    tenant_id,
    device_id,
    event_at,
    event_key,
    status,
    error_code,
    battery_percent,
    fw_version,
    received_at,
    landed_at
from deduplicated
