{{
    config(
        materialized='incremental',
        unique_key='device_day_key',
        indexes=[
            {'columns': ['tenant_id', 'device_id', 'service_date']},
            {'columns': ['refreshed_at']},
        ],
        post_hook="{{ commit_landings(['device.status', 'device.heartbeats']) }}"
    )
}}
{% do lock_model() %}
-- depends_on: {{ ref('stg_devices__status_messages') }}
-- depends_on: {{ ref('stg_devices__heartbeats_messages') }}

{% set touched_days %}
    ({{ touched_device_days(ref('stg_devices__status_messages'), 'device.status') }})
    union
    ({{ touched_device_days(ref('stg_devices__heartbeats_messages'), 'device.heartbeats') }})
{% endset %}

with
{% if is_incremental() %}
touched as materialized (
    {{ touched_days }}
),

days_touched as (
    select tenant_id, device_id, service_date from touched
),
{% endif %}

signs as (
    select
        tenant_id, device_id, event_at, landed_at, battery_percent, fw_version,
        status,
        error_code,
        null::bigint as uptime_s
    from {{ ref('stg_devices__status') }}
    {% if is_incremental() %}where {{ within_ranges(touched_days) }}{% endif %}
    union all
    select
        tenant_id, device_id, event_at, landed_at, battery_percent, fw_version,
        null as status,
        null as error_code,
        uptime_s
    from {{ ref('stg_devices__heartbeats') }}
    {% if is_incremental() %}where {{ within_ranges(touched_days) }}{% endif %}
),

devices as (
    select * from {{ ref('int_devices__known') }}
),

dated as (
    select
        signs.*,
        devices.site_id,
        signs.event_at at time zone coalesce(devices.time_zone, '{{ var("default_time_zone") }}') as local_time
    from signs
    left join devices on signs.tenant_id = devices.tenant_id and signs.device_id = devices.device_id
),

by_day as (
    select
        *,
        local_time::date as service_date
    from dated
),

followed as (
    select
        *,
        event_at - lag(event_at) over in_day as silence,
        -- An uptime below the one before means that it started again, and so does a day's first that began on the day.
        coalesce(
            uptime_s < lag(uptime_s) over heartbeats_in_day, uptime_s < extract(epoch from local_time - service_date)
        ) as is_restart
    from by_day
    {% if is_incremental() %}
    inner join days_touched using (tenant_id, device_id, service_date)
    {% endif %}
    window
        in_day as (partition by tenant_id, device_id, service_date order by event_at),
        heartbeats_in_day as (
            partition by tenant_id, device_id, service_date, uptime_s is not null order by event_at
        )
),

days as (
    select
        {{ surrogate_key(['tenant_id', 'device_id', 'service_date']) }} as device_day_key,
        tenant_id,
        device_id,
        service_date,
        min(site_id) as site_id,
        count(*) filter (where status is null)::integer as heartbeats,
        count(*) filter (where status = 'error')::integer as errors,
        count(*) filter (where status = 'offline')::integer as times_offline,
        count(*) filter (where is_restart)::integer as restarts,
        min(battery_percent) as lowest_battery_percent,
        coalesce(max(extract(epoch from silence)) / 60, 0)::double precision as longest_silence_minutes,
        (array_agg(status order by event_at desc) filter (where status is not null))[1] as last_status,
        (array_agg(error_code order by event_at desc) filter (where error_code is not null))[1] as last_error_code,
        (array_agg(fw_version order by event_at desc) filter (where fw_version is not null))[1] as fw_version,
        min(event_at) as first_sign_at,
        max(event_at) as last_sign_at,
        min(landed_at) as first_landed_at,
        max(landed_at) as last_landed_at
    from followed
    group by tenant_id, device_id, service_date
),

refresh as (
    select {{ next_refresh() }} as refreshed_at
)

select
    days.*,
    refresh.refreshed_at
from days
cross join refresh
{% if is_incremental() %}
-- Days that come out as they are stay untouched, and so do those whose raw rows may be gone.
where
    not exists (
        select 1
        from {{ this }} as known
        where
            known.device_day_key = days.device_day_key
            and (
                (known.heartbeats, known.errors, known.first_sign_at, known.last_sign_at, known.last_landed_at)
                = (days.heartbeats, days.errors, days.first_sign_at, days.last_sign_at, days.last_landed_at)
                and known.times_offline = days.times_offline
                or known.first_landed_at < {{ raw_kept_since() }}
            )
    )
{% endif %}
