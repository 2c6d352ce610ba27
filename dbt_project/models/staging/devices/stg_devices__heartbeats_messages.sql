with source as (
    select * from {{ source('raw', 'device_heartbeats') }}
),

renamed as (
    select
        tenant_id,
        device_id,
        ts_device as event_at,
        {{ event_identity('raw', 'device_heartbeats') }} as event_key,
        uptime_s,
        battery_percent,
        fw_version,
        _partition as kafka_partition,
        _offset as kafka_offset,
        _broker_at as received_at,
        _landed_at as landed_at
    from source
)

select * from renamed
