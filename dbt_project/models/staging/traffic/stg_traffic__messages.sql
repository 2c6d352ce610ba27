with source as (
    select * from {{ source('raw', 'traffic_counts') }}
),

renamed as (
    select
        tenant_id,
        stream_id,
        ts_device as event_at,
        {{ event_identity('raw', 'traffic_counts') }} as event_key,
        utc_offset_s,
        location,
        longitude,
        latitude,
        total_in_area,
        nullif(estimated_max_people, 0) as estimated_max_people,
        label,
        type,
        _partition as kafka_partition,
        _offset as kafka_offset,
        _broker_at as received_at,
        _landed_at as landed_at
    from source
)

select * from renamed
