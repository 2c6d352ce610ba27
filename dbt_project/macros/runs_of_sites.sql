{#
    Reports with what is known of their site. `operating_date` is the vehicle's day: it begins at a whole UTC hour near
    `operating_day_starts_h` local time, so that no hour belongs to two of them.

    `runs` names a relation with the columns of `int_occupancy__runs`, and `more` what else of it is wanted.
#}
{% macro runs_of_sites(runs, more=[]) -%}
    select
        {%- for column in more %}
        runs.{{ column }},
        {%- endfor %}
        runs.tenant_id,
        runs.site_id,
        runs.event_at,
        runs.last_event_at,
        runs.event_hour,
        {{ operating_date('runs.event_at', 'sites.time_zone') }} as operating_date,
        runs.run_number,
        runs.device_id,
        runs.door_id,
        runs.in_count,
        runs.out_count,
        coalesce(runs.count_mode, 'delta') as count_mode,
        runs.occupancy,
        coalesce(runs.capacity, sites.capacity) as capacity,
        runs.route_id,
        runs.direction_id,
        runs.trip_id,
        runs.samples,
        runs.first_landed_at,
        runs.last_landed_at,
        runs.end_landed_at,
        coalesce(sites.time_zone, '{{ var("default_time_zone") }}') as time_zone,
        coalesce(sites.hold_s, 1800) * interval '1 second' as holds,
        {{ is_door_counted('sites.kind', 'runs.occupancy') }} as is_door_counted
    from {{ runs }} as runs
    left join {{ ref('int_sites__known') }} as sites
        on runs.tenant_id = sites.tenant_id and runs.site_id = sites.site_id
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


{# Start of an operating date: the first whole UTC hour that belongs to it. Where clocks go back to the local time at which
   it begins, that comes twice, and Postgres means the second: the hour before may belong to it, too. #}
{% macro operating_day_starts_at(date, time_zone) -%}
    {%- set before -%}
        (({{ date }} + interval '{{ var("operating_day_starts_h") }} hours') at time zone {{ time_zone }}) - interval '1 microsecond'
    {%- endset -%}
    (
        {{ hour_of(before) }}
        + case when {{ operating_date(before, time_zone) }} = {{ date }} then interval '0' else interval '1 hour' end
    )
{%- endmacro %}
