with messages as (
    select * from {{ ref('stg_occupancy__messages') }}
),

deduplicated as (
    {{ first_of_repeats('messages', 'site_id') }}
),

sites as (
    select * from {{ ref('stg_registry__sites') }}
)

select
    events.tenant_id,
    events.site_id,
    events.device_id,
    events.event_at,
    (events.event_at at time zone coalesce(sites.time_zone, '{{ var("default_time_zone") }}'))::date as service_date,
    events.event_key,
    events.event_id,
    events.seq,
    events.door_id,
    events.in_count,
    events.out_count,
    events.count_mode,
    events.occupancy,
    events.reported_occupancy,
    events.capacity,
    events.quality,
    events.zone_id,
    events.lat,
    events.lon,
    events.route_id,
    events.direction_id,
    events.trip_id,
    events.stop_id,
    events.fw_version,
    events.received_at,
    events.landed_at
from deduplicated as events
left join sites on events.tenant_id = sites.tenant_id and events.site_id = sites.site_id
