{#
    Which hours a landed event can change.

    An event changes the hours from its own to the one in which it stops to hold. A vehicle's changes its operating day
    from some blocks before it to the end, because balancing spreads its counts. Another site may count at its door, too,
    always or in between; there are no blocks to go by then, and such an operating day is computed as a whole.
#}

{# (tenant_id, site_id, touched_from, touched_to, holds), whole hours, of the runs of reports that were
   written since `this`. #}
{% macro touched_occupancy_windows() -%}
    with written as materialized (
        select distinct
            runs.tenant_id,
            runs.site_id,
            coalesce(sites.kind = 'bus', false) as is_vehicle,
            runs.event_hour as first_hour,
            {{ hour_of("runs.last_event_at + coalesce(sites.hold_s, 1800) * interval '1 second' - interval '1 microsecond'") }} as last_hour,
            coalesce(sites.time_zone, '{{ var("default_time_zone") }}') as time_zone,
            coalesce(sites.hold_s, 1800) * interval '1 second' as holds
        from {{ ref('int_occupancy__runs') }} as runs
        left join {{ ref('int_sites__known') }} as sites
            on runs.tenant_id = sites.tenant_id and runs.site_id = sites.site_id
        where {{ refreshed_since(ref('int_occupancy__runs')) }}
    ),

    held as (
        select
            tenant_id,
            site_id,
            first_hour as touched_from,
            last_hour + interval '1 hour' as touched_to,
            holds
        from written
        where not is_vehicle
    ),

    -- The operating days of other sites that those hours lie in, if somebody was counted at a door.
    counted_days as (
        select
            reached.tenant_id,
            reached.site_id,
            reached.day_from as touched_from,
            reached.day_to as touched_to,
            reached.holds
        from (
            select distinct
                written.tenant_id,
                written.site_id,
                written.holds,
                {{ operating_day_starts_at(operating_date('hour', 'time_zone'), 'time_zone') }} as day_from,
                {{ operating_day_starts_at(operating_date('hour', 'time_zone') ~ ' + 1', 'time_zone') }} as day_to
            from written
            cross join lateral (values (first_hour), (last_hour)) as ends (hour)
            where not is_vehicle
        ) as reached
        -- One look into the index for each day; a semi-join might read all runs.
        cross join lateral (
            select 1
            from {{ ref('int_occupancy__runs') }} as counted
            where
                counted.tenant_id = reached.tenant_id
                and counted.site_id = reached.site_id
                and counted.event_hour >= reached.day_from
                and counted.event_hour < reached.day_to
                and counted.occupancy is null
            limit 1
        ) as somebody
    ),

    vehicle_days as (
        select
            tenant_id,
            site_id,
            {{ operating_date('first_hour', 'time_zone') }} as operating_date,
            time_zone,
            min(first_hour) as first_hour
        from written
        where is_vehicle
        group by tenant_id, site_id, {{ operating_date('first_hour', 'time_zone') }}, time_zone
    ),

    days as (
        select
            *,
            {{ operating_day_starts_at('operating_date', 'time_zone') }} as day_from,
            {{ operating_day_starts_at('operating_date + 1', 'time_zone') }} as day_to
        from vehicle_days
    )

    select * from held
    union
    select * from counted_days
    union
    select
        days.tenant_id,
        days.site_id,
        {{ hour_of('back_2.block_from') }} as touched_from,
        days.day_to as touched_to,
        {{ hour_of('back_2.block_from') }} - {{ hour_of('before.block_from') }} as holds
    from days
    cross join lateral ({{ block_before('days.first_hour') }}) as back_1
    cross join lateral ({{ block_before(hour_of('back_1.block_from')) }}) as back_2
    cross join lateral ({{ block_before(hour_of('back_2.block_from') ~ " + interval '1 hour'") }}) as reaching
    cross join lateral ({{ block_before(hour_of('reaching.block_from')) }}) as before
{%- endmacro %}


{#
    Start of the first block that reaches into the last hour before `hour` of a vehicle's operating day in `days`, by what
    `this` knows; the day's start where it knows none.

    What an event can change begins at most one block before the one of the event before it: there the count may turn
    out not to have been empty after all. So two steps back is the first hour to compute again (`back_2`). Its loads begin with
    the block that reaches into it (`reaching`), and what was reported when that began lies in the one before (`before`).
#}
{% macro block_before(hour) -%}
    select coalesce((
        select case when bool_and(known.block_started_at is not null) over () then known.block_started_at end
        from {{ this }} as known
        where
            known.tenant_id = days.tenant_id
            and known.site_id = days.site_id
            and known.service_date in (days.operating_date, days.operating_date + 1)
            and known.hour >= days.day_from
            and known.hour < {{ hour }}
        order by known.hour desc, known.block_started_at
        limit 1
    ), days.day_from) as block_from
{%- endmacro %}


{# What landed of `occupancy.events` since `this`, repeats included. #}
{% macro landed_occupancy() -%}
    select * from {{ ref('stg_occupancy__messages') }} where {{ landed_since('occupancy.events') }}
{%- endmacro %}


{# (tenant_id, site_id, touched_from, touched_to, holds): the hours of the messages in `landed`, of those sites of which
   `this` knows something as late as the first of them. #}
{% macro late_occupancy_hours(landed) -%}
    with hours as (
        select tenant_id, site_id, {{ hour_of('event_at') }} as event_hour, min(event_at) as first_event_at
        from {{ landed }}
        group by tenant_id, site_id, {{ hour_of('event_at') }}
    ),

    followed as (
        select *, min(first_event_at) over (partition by tenant_id, site_id) as site_first_event_at
        from hours
    )

    select
        tenant_id,
        site_id,
        event_hour as touched_from,
        event_hour + interval '1 hour' as touched_to,
        interval '0' as holds
    from followed
    where
        exists (
            select 1
            from {{ this }} as known
            where
                known.tenant_id = followed.tenant_id
                and known.site_id = followed.site_id
                and known.event_hour >= {{ hour_of('followed.site_first_event_at') }}
                and known.last_event_at >= followed.site_first_event_at
        )
{%- endmacro %}


{# (tenant_id, stream_id, touched_from, touched_to, holds) of the traffic counts that landed since `this`. #}
{% macro touched_traffic_windows() -%}
    select distinct
        messages.tenant_id,
        messages.stream_id,
        {{ hour_of('messages.event_at') }} as touched_from,
        {{ hour_of("messages.event_at + coalesce(sites.hold_s, 600) * interval '1 second' - interval '1 microsecond'") }}
        + interval '1 hour' as touched_to,
        coalesce(sites.hold_s, 600) * interval '1 second' as holds
    from {{ ref('stg_traffic__messages') }} as messages
    left join {{ ref('int_sites__known') }} as sites
        on messages.tenant_id = sites.tenant_id and messages.stream_id::text = sites.site_id
    where {{ landed_since('traffic.counts') }}
{%- endmacro %}


{# (tenant_id, device_id, service_date, touched_from, touched_to, holds), local days, of the messages in `messages`
   (a staging model of `topic`) that landed since `this`. #}
{% macro touched_device_days(messages, topic) -%}
    with landed as (
        select distinct
            messages.tenant_id,
            messages.device_id,
            coalesce(devices.time_zone, '{{ var("default_time_zone") }}') as time_zone,
            (messages.event_at at time zone coalesce(devices.time_zone, '{{ var("default_time_zone") }}'))::date as service_date
        from {{ messages }} as messages
        left join {{ ref('int_devices__known') }} as devices
            on messages.tenant_id = devices.tenant_id and messages.device_id = devices.device_id
        where {{ landed_since(topic) }}
    )

    select
        tenant_id,
        device_id,
        service_date,
        service_date::timestamp at time zone time_zone as touched_from,
        (service_date + 1)::timestamp at time zone time_zone as touched_to,
        -- Where clocks go back to midnight, it comes twice, and Postgres means the second.
        interval '1 hour' as holds
    from landed
{%- endmacro %}


{#
    The stretches of event time that must be read to compute the touched windows again, as a condition on `instant`
    with literal bounds: a few scans of the raw table's BRIN index, however scattered the late events are. Windows less
    than six hours apart are read in one go.
#}
{% macro within_ranges(windows, instant='event_at') -%}
    {%- set query -%}
        with windows as ({{ windows }}),

        reads as (
            select {{ hour_of('touched_from - holds') }} as read_from, touched_to as read_to from windows
        ),

        ends as (
            select *, max(read_to) over (order by read_from, read_to rows between unbounded preceding and 1 preceding) as known_to
            from reads
        ),

        islands as (
            select *, count(*) filter (where known_to is null or read_from > known_to + interval '6 hours')
                over (order by read_from, read_to rows unbounded preceding) as island
            from ends
        )

        select min(read_from)::text, max(read_to)::text from islands group by island order by 1
    {%- endset -%}
    {%- set ranges = run_query(query).rows if execute else [] -%}
    {%- if not ranges -%}
        false
    {%- else -%}
        (
        {%- for range in ranges %}
            {{ 'or ' if not loop.first }}({{ instant }} >= '{{ range[0] }}'::timestamptz and {{ instant }} < '{{ range[1] }}'::timestamptz)
        {%- endfor %}
        )
    {%- endif -%}
{%- endmacro %}
