with messages as (
    select * from {{ ref('stg_traffic__messages') }}
),

deduplicated as (
    {{ first_of_repeats('messages', 'stream_id') }}
),

sites as (
    select * from {{ ref('stg_registry__sites') }}
),

-- The device's own offset tells its local day; where it sent none, the registry's time zone does.
localised as (
    select
        counts.*,
        coalesce(
            counts.event_at at time zone 'UTC' + counts.utc_offset_s * interval '1 second',
            counts.event_at at time zone coalesce(sites.time_zone, '{{ var("default_time_zone") }}')
        ) as local_time
    from deduplicated as counts
    left join sites on counts.tenant_id = sites.tenant_id and counts.stream_id::text = sites.site_id
)

select
    tenant_id,
    stream_id,
    event_at,
    local_time::date as service_date,
    event_key,
    utc_offset_s,
    location,
    longitude,
    latitude,
    total_in_area,
    estimated_max_people,
    label,
    type,
    received_at,
    landed_at
from localised
