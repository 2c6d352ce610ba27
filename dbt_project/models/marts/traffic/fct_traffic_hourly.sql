{{
    config(
        materialized='incremental',
        unique_key='traffic_hour_key',
        indexes=[
            {'columns': ['tenant_id', 'stream_id', 'hour']},
            {'columns': ['refreshed_at']},
        ],
        post_hook=["{{ commit_landings(['traffic.counts']) }}", "{{ capture_refresh() }}"]
    )
}}
{% do lock_model() %}
-- depends_on: {{ ref('stg_traffic__messages') }}

with
{% if is_incremental() %}
touched as materialized (
    {{ touched_traffic_windows() }}
),

touched_hours as materialized (
    select distinct tenant_id, stream_id, hour
    from touched
    cross join generate_series(touched_from, touched_to - interval '1 hour', interval '1 hour') as hour
),

needed_hours as materialized (
    select distinct tenant_id, stream_id, hour
    from touched
    cross join generate_series(
        {{ hour_of('touched_from - holds') }}, touched_to - interval '1 hour', interval '1 hour'
    ) as hour
),
{% endif %}

counts as (
    select *, {{ hour_of('event_at') }} as event_hour
    from {{ ref('stg_traffic__counts') }}
    {% if is_incremental() %}where {{ within_ranges(touched_traffic_windows()) }}{% endif %}
),

sites as (
    select * from {{ ref('int_sites__known') }}
),

loads as (
    select
        counts.tenant_id,
        counts.stream_id,
        counts.stream_id::text as site_id,
        counts.event_at,
        counts.event_hour,
        counts.event_key,
        counts.utc_offset_s,
        coalesce(sites.time_zone, '{{ var("default_time_zone") }}') as time_zone,
        counts.total_in_area::bigint as load,
        coalesce(counts.estimated_max_people, sites.capacity) as capacity,
        counts.landed_at,
        counts.event_at + coalesce(sites.hold_s, 600) * interval '1 second' as holds_until
    from counts
    {% if is_incremental() %}
    inner join needed_hours
        on
            counts.tenant_id = needed_hours.tenant_id
            and counts.stream_id = needed_hours.stream_id
            and counts.event_hour = needed_hours.hour
    {% endif %}
    left join sites on counts.tenant_id = sites.tenant_id and counts.stream_id::text = sites.site_id
),

pieces as (
    {{ cut_into_hours('loads', 'event_key') }}
),

hours as (
    select
        {{ surrogate_key(['tenant_id', 'stream_id'], ['hour']) }} as traffic_hour_key,
        tenant_id,
        stream_id,
        hour,
        coalesce(
            hour at time zone 'UTC' + max(utc_offset_s) * interval '1 second', hour at time zone min(time_zone)
        )::date as service_date,
        sum(load * us)::double precision / sum(us)::double precision as mean_count,
        max(load) filter (where us > 0)::double precision as max_count,
        round(sum(capacity * us) / nullif(sum(us) filter (where capacity is not null), 0))::integer as capacity,
        count(*) filter (where is_own_hour)::integer as samples,
        sum(us)::double precision / 3600e6 as coverage,
        min(landed_at) as first_landed_at,
        max(landed_at) as last_landed_at
    from pieces
    {% if is_incremental() %}
    inner join touched_hours using (tenant_id, stream_id, hour)
    {% endif %}
    group by tenant_id, stream_id, hour
),

refresh as (
    select {{ next_refresh() }} as refreshed_at
)

select
    hours.traffic_hour_key,
    hours.tenant_id,
    hours.stream_id,
    hours.hour,
    hours.service_date,
    hours.mean_count,
    hours.max_count,
    hours.capacity,
    hours.mean_count / hours.capacity as load_factor,
    hours.samples,
    hours.coverage,
    hours.first_landed_at,
    hours.last_landed_at,
    refresh.refreshed_at
from hours
cross join refresh
{% if is_incremental() %}
-- Hours that come out as they are stay untouched, and so do those whose raw rows may be gone.
where
    not exists (
        select 1
        from {{ this }} as known
        where
            known.traffic_hour_key = hours.traffic_hour_key
            and (
                (known.mean_count, known.max_count, known.samples, known.coverage, known.last_landed_at)
                = (hours.mean_count, hours.max_count, hours.samples, hours.coverage, hours.last_landed_at)
                and known.capacity is not distinct from hours.capacity
                or known.first_landed_at < {{ raw_kept_since() }}
            )
    )
{% endif %}
