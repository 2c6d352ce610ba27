with messages as (
    select * from {{ ref('stg_devices__status_messages') }}
),

deduplicated as (
    select distinct on (tenant_id, device_id, event_at, event_key) *
    from messages
    order by tenant_id, device_id, event_at, event_key, landed_at, kafka_partition, kafka_offset
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
