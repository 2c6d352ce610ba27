{{
    config(
        materialized='incremental',
        unique_key='occupancy_hour_key',
        indexes=[
            {'columns': ['occupancy_hour_key']},
            {'columns': ['service_date', 'tenant_id', 'site_id']},
            {'columns': ['hour', 'tenant_id', 'route_id']},
            {'columns': ['refreshed_at']},
        ],
        post_hook=["{{ commit_landings(['int_occupancy__runs']) }}", "{{ capture_refresh() }}"]
    )
}}
{% do lock_model() %}

{% set threshold = var('crowding_threshold') %}

with
{% if is_incremental() %}
touched as materialized (
    {{ touched_occupancy_windows() }}
),

touched_hours as materialized (
    select distinct tenant_id, site_id, hour
    from touched
    cross join generate_series(touched_from, touched_to - interval '1 hour', interval '1 hour') as hour
),

-- What was counted before an hour may still hold in it.
needed_hours as materialized (
    select distinct tenant_id, site_id, hour
    from touched
    cross join generate_series(
        {{ hour_of('touched_from - holds') }}, touched_to - interval '1 hour', interval '1 hour'
    ) as hour
),
{% endif %}

runs as (
    select * from {{ ref('int_occupancy__runs') }}
    {% if is_incremental() %}
    where {{ within_ranges(touched_occupancy_windows(), 'event_hour') }}
    {% endif %}
),

of_sites as (
    {{ runs_of_sites('runs') }}
),

{% if is_incremental() %}
needed as (
    select of_sites.*
    from of_sites
    inner join needed_hours
        on
            of_sites.tenant_id = needed_hours.tenant_id
            and of_sites.site_id = needed_hours.site_id
            and of_sites.event_hour = needed_hours.hour
),
{% else %}
needed as (
    select * from of_sites
),
{% endif %}

door_counted as (
    select * from needed where is_door_counted
),

balanced as (
    {{ balance_doors('door_counted') }}
),

loads as (
    -- Sites that report their load are taken at their word.
    select
        tenant_id,
        site_id,
        event_at,
        event_hour,
        run_number,
        route_id,
        direction_id,
        capacity,
        time_zone,
        samples,
        first_landed_at,
        last_landed_at,
        end_landed_at,
        occupancy::bigint as load,
        null::timestamptz as block_started_at,
        case when count_mode = 'delta' then in_count end::bigint as boardings,
        case when count_mode = 'delta' then out_count end::bigint as alightings,
        last_event_at + holds as holds_until
    from needed
    where not is_door_counted
    union all
    -- Nothing is known of a vehicle across the border of its operating days, which only its last event could cross.
    select
        tenant_id,
        site_id,
        event_at,
        event_hour,
        run_number,
        route_id,
        direction_id,
        capacity,
        time_zone,
        samples,
        first_landed_at,
        last_landed_at,
        end_landed_at,
        load,
        -- A difference to the running total before needs the whole day.
        case when count_mode = 'delta' then block_started_at end as block_started_at,
        boardings,
        alightings,
        case
            when is_last
                then least(last_event_at + holds, {{ operating_day_starts_at('operating_date + 1', 'time_zone') }})
            else last_event_at + holds
        end as holds_until
    from balanced
),

pieces as (
    {{ cut_into_hours('loads', 'run_number') }}
),

ranked as (
    select
        *,
        sum(us) over (partition by tenant_id, site_id, hour order by load) * 100
        >= sum(us) over (partition by tenant_id, site_id, hour) * 95 as is_at_p95
    from pieces
    {% if is_incremental() %}
    inner join touched_hours using (tenant_id, site_id, hour)
    {% endif %}
),

by_route as (
    select
        tenant_id,
        site_id,
        hour,
        route_id,
        direction_id,
        (hour at time zone min(time_zone))::date as service_date,
        coalesce(sum(load * us), 0)::bigint as passenger_us,
        sum(us)::bigint as observed_us,
        max(load) filter (where us > 0) as max_load,
        min(load) filter (where is_at_p95 and us > 0) as p95_load,
        sum(boardings) filter (where is_own_hour)::bigint as boardings,
        sum(alightings) filter (where is_own_hour)::bigint as alightings,
        sum(capacity * us)::bigint as capacity_us,
        coalesce(sum(us) filter (where capacity is not null), 0)::bigint as capacity_known_us,
        coalesce(sum(us) filter (where load >= {{ threshold }} * capacity), 0)::bigint as above_threshold_us,
        coalesce(
            sum((load - {{ threshold }} * capacity) * us) filter (where load >= {{ threshold }} * capacity), 0
        )::bigint as crowded_passenger_us,
        coalesce(sum(samples) filter (where is_own_hour), 0)::integer as samples,
        -- Only the last report of a run reaches into the hours after it.
        min(case when is_own_hour then first_landed_at else end_landed_at end) as first_landed_at,
        max(case when is_own_hour then last_landed_at else end_landed_at end) as last_landed_at,
        case when bool_and(block_started_at is not null) then min(block_started_at) end as block_started_at
    from ranked
    group by tenant_id, site_id, hour, route_id, direction_id
),

keyed as (
    select
        {{ surrogate_key(['tenant_id', 'site_id'], ['hour']) }} as occupancy_hour_key,
        *,
        concat_ws(
            '|', route_id, direction_id, passenger_us, observed_us, max_load, p95_load,
            coalesce(boardings, -1), coalesce(alightings, -1), coalesce(capacity_us, -1), above_threshold_us,
            crowded_passenger_us, samples, first_landed_at, last_landed_at, block_started_at
        ) as figures
    from by_route
),

fingerprinted as (
    select
        *,
        md5(string_agg(figures, '/') over (
            partition by occupancy_hour_key order by route_id, direction_id
            rows between unbounded preceding and unbounded following
        ))::uuid as hour_fingerprint
    from keyed
),

refresh as (
    select {{ next_refresh() }} as refreshed_at
)

select
    fingerprinted.occupancy_hour_key,
    fingerprinted.tenant_id,
    fingerprinted.site_id,
    fingerprinted.hour,
    fingerprinted.route_id,
    fingerprinted.direction_id,
    {% if is_incremental() %}
    -- An hour stays on the date that it was counted on, whatever its site's time zone has become.
    coalesce(
        (
            select min(known.service_date)
            from {{ this }} as known
            where known.occupancy_hour_key = fingerprinted.occupancy_hour_key
        ),
        fingerprinted.service_date
    ) as service_date,
    {% else %}
    fingerprinted.service_date,
    {% endif %}
    fingerprinted.passenger_us,
    fingerprinted.observed_us,
    fingerprinted.max_load,
    fingerprinted.p95_load,
    fingerprinted.boardings,
    fingerprinted.alightings,
    fingerprinted.capacity_us,
    fingerprinted.capacity_known_us,
    fingerprinted.above_threshold_us,
    fingerprinted.crowded_passenger_us,
    fingerprinted.samples,
    fingerprinted.first_landed_at,
    fingerprinted.last_landed_at,
    fingerprinted.block_started_at,
    fingerprinted.hour_fingerprint,
    refresh.refreshed_at
from fingerprinted
cross join refresh
{% if is_incremental() %}
-- Hours that come out as they are stay untouched, and so do those whose raw rows may be gone.
where
    not exists (
        select 1
        from {{ this }} as known
        where
            known.occupancy_hour_key = fingerprinted.occupancy_hour_key
            and (
                known.hour_fingerprint = fingerprinted.hour_fingerprint
                or known.first_landed_at < {{ raw_kept_since() }}
            )
    )
{% endif %}
