with source as (
    select * from {{ source('raw', 'occupancy_events') }}
),

renamed as (
    select
        tenant_id,
        site_id,
        device_id,
        ts_device as event_at,
        {{ event_identity('raw', 'occupancy_events') }} as event_key,
        event_id,
        seq,
        door_id,
        in_count,
        out_count,
        count_mode,
        -- Not greatest(), which takes a load that was not reported for zero.
        case when occupancy < 0 then 0 else occupancy end as occupancy,
        occupancy as reported_occupancy,
        capacity,
        quality,
        zone_id,
        lat,
        lon,
        route_id,
        direction_id,
        trip_id,
        stop_id,
        fw_version,
        _partition as kafka_partition,
        _offset as kafka_offset,
        _broker_at as received_at,
        _landed_at as landed_at
    from source
)

select * from renamed
