{{ config(indexes=[{'columns': ['tenant_id', 'device_id'], 'unique': true}]) }}
{% do lock_model() %}

with devices as (
    select * from {{ ref('int_devices__known') }}
)

select
    {{ surrogate_key(['tenant_id', 'device_id']) }} as device_key,
    tenant_id,
    device_id,
    site_id,
    valid_from,
    valid_to,
    status,
    status_at,
    error_code,
    heartbeat_at,
    battery_percent,
    fw_version,
    time_zone,
    is_registered
from devices
