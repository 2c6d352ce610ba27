{{
    config(
        materialized='incremental',
        incremental_strategy='replace_hours',
        indexes=[
            {'columns': ['tenant_id', 'site_id', 'event_hour']},
            {'columns': ['event_hour']},
            {'columns': ['refreshed_at']},
        ],
        post_hook=["{{ commit_landings(['occupancy.events']) }}", "{{ capture_refresh() }}"]
    )
}}
{% do lock_model() %}

-- Messages that landed since the last write and are later than all that is known of their site go behind it, whatever
-- was read before. Where one is not (late, or a repeat), the hours that it touches are read from the raw table again.
with messages as (
    select * from {{ ref('stg_occupancy__messages') }}
),

sites as (
    select * from {{ ref('int_sites__known') }}
),

{% if is_incremental() %}
landed as not materialized (
    {{ landed_occupancy() }}
),

late_hours as materialized (
    {{ late_occupancy_hours('landed') }}
),

{# On time: nothing is read again. #}
prompt as (
    select landed.*, false as replaces_hour
    from landed
    where (landed.tenant_id, landed.site_id) not in (select tenant_id, site_id from late_hours)
),

late as (
    select messages.*, true as replaces_hour
    from messages
    inner join late_hours
        on
            messages.tenant_id = late_hours.tenant_id
            and messages.site_id = late_hours.site_id
            and {{ hour_of('messages.event_at') }} = late_hours.touched_from
    where {{ within_ranges(late_occupancy_hours('(' ~ landed_occupancy() ~ ') as landed')) }}
),

read as (
    select * from prompt
    union all
    select * from late
),
{% else %}
read as (
    select *, false as replaces_hour from messages
),
{% endif %}

events as (
    {{ first_of_repeats('read', 'site_id') }}
),

described as (
    select
        events.*,
        {{ hour_of('events.event_at') }} as event_hour,
        coalesce(events.count_mode, 'delta') = 'delta' as is_delta,
        events.in_count is not null and events.out_count is not null as has_counts,
        -- What joins two reports to one run must hold from the one to the other.
        least({{ var('run_max_gap_s') }}, coalesce(sites.hold_s, 1800)) * interval '1 second' as max_gap
    from events
    left join sites on events.tenant_id = sites.tenant_id and events.site_id = sites.site_id
),

compared as (
    select
        *,
        (
            is_delta
            and lag(is_delta) over in_order
            and (
                (in_count = 0 and out_count = 0 and lag(has_counts) over in_order)
                or (in_count is null and out_count is null)
            )
            and event_hour = lag(event_hour) over in_order
            and event_at - lag(event_at) over in_order <= max_gap
            and occupancy is not distinct from lag(occupancy) over in_order
            and capacity is not distinct from lag(capacity) over in_order
            and route_id is not distinct from lag(route_id) over in_order
            and direction_id is not distinct from lag(direction_id) over in_order
            and trip_id is not distinct from lag(trip_id) over in_order
        ) is true as says_the_same
    from described
    window in_order as (partition by tenant_id, site_id order by event_at, seq nulls first, event_key)
),

numbered as (
    select
        *,
        count(*) filter (where not says_the_same) over so_far as run_number,
        lead(says_the_same) over in_order is not true as is_end
    from compared
    window
        in_order as (partition by tenant_id, site_id order by event_at, seq nulls first, event_key),
        so_far as (in_order rows unbounded preceding)
),

runs as (
    select
        tenant_id,
        site_id,
        event_hour,
        min(event_at) as event_at,
        max(event_at) as last_event_at,
        run_number,
        min(device_id) as device_id,
        min(door_id) as door_id,
        min(count_mode) as count_mode,
        -- Only the first report of a run counts anybody.
        max(in_count) as in_count,
        max(out_count) as out_count,
        occupancy,
        capacity,
        route_id,
        direction_id,
        trip_id,
        count(*)::integer as samples,
        min(landed_at) as first_landed_at,
        max(landed_at) as last_landed_at,
        max(landed_at) filter (where is_end) as end_landed_at,
        replaces_hour
    from numbered
    group by
        tenant_id,
        site_id,
        run_number,
        event_hour,
        occupancy,
        capacity,
        route_id,
        direction_id,
        trip_id,
        replaces_hour
),

refresh as (
    select {{ next_refresh() }} as refreshed_at
)

select
    runs.*,
    refresh.refreshed_at
from runs
cross join refresh
