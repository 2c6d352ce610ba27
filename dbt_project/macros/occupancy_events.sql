{#
    Events with what is known of their site. `operating_date` is the vehicle's day: it begins at a whole UTC hour near
    `operating_day_starts_h` local time, so that no hour belongs to two of them.
#}
{% macro events_of_sites() -%}
    select
        events.tenant_id,
        events.site_id,
        events.event_at,
        {{ hour_of('events.event_at') }} as event_hour,
        {{ operating_date('events.event_at', 'sites.time_zone') }} as operating_date,
        events.event_key,
        events.seq,
        events.device_id,
        events.door_id,
        events.in_count,
        events.out_count,
        events.count_mode,
        events.occupancy,
        coalesce(events.capacity, sites.capacity) as capacity,
        events.route_id,
        events.direction_id,
        events.trip_id,
        events.landed_at,
        coalesce(sites.time_zone, '{{ var("default_time_zone") }}') as time_zone,
        coalesce(sites.hold_s, 1800) * interval '1 second' as holds,
        {{ is_door_counted('sites.kind', 'events.occupancy') }} as is_door_counted
    from {{ ref('stg_occupancy__events') }} as events
    left join {{ ref('int_sites__known') }} as sites
        on events.tenant_id = sites.tenant_id and events.site_id = sites.site_id
{%- endmacro %}


{# Whether the load is reckoned from door counts: of vehicles, and of whoever reports nothing else. #}
{% macro is_door_counted(kind, occupancy) -%}
    ({{ kind }} is not distinct from 'bus' or {{ occupancy }} is null)
{%- endmacro %}


{% macro operating_date(instant, time_zone) -%}
    (
        ({{ hour_of(instant) }} at time zone coalesce({{ time_zone }}, '{{ var("default_time_zone") }}'))
        - interval '{{ var("operating_day_starts_h") }} hours'
    )::date
{%- endmacro %}


{# Start of an operating date: the first whole UTC hour whose local time is not before the start of the day. #}
{% macro operating_day_starts_at(operating_date, time_zone) -%}
    {%- set starts_at -%}
        (({{ operating_date }} + interval '{{ var("operating_day_starts_h") }} hours') at time zone {{ time_zone }})
    {%- endset -%}
    {{ hour_of(starts_at ~ " + interval '1 hour' - interval '1 microsecond'") }}
{%- endmacro %}
