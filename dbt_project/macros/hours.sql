{# Start of the UTC hour, whatever the session's time zone; date_trunc with a zone costs several times as much. #}
{% macro hour_of(instant) -%}
    date_bin(interval '1 hour', {{ instant }}, timestamptz '2000-01-01 00:00:00+00')
{%- endmacro %}


{# A whole number of microseconds: sums of it do not depend on the order of the rows, so that an hour computed twice
   from the same events is the same to the last bit. #}
{% macro microseconds(interval) -%}
    (extract(epoch from {{ interval }}) * 1000000)::bigint
{%- endmacro %}


{# The stamp for the rows of this write: now, but in any case later than every earlier one. #}
{% macro next_refresh() -%}
    {%- if is_incremental() -%}
        (select greatest(clock_timestamp(), max(refreshed_at) + interval '1 microsecond') from {{ this }})
    {%- else -%}
        clock_timestamp()
    {%- endif -%}
{%- endmacro %}


{#
    The step function of a site's loads, cut at the borders of hours: a load holds until the next one, at most until
    `holds_until`. Gives one row per load and hour that it reaches into, with its microseconds there; a load that is
    replaced in the same instant reaches no further than its own hour, with none.

    `loads` names a relation with tenant_id, site_id, event_at, event_hour and holds_until; `within_instant` is the column
    that orders loads of the same instant.
#}
{% macro cut_into_hours(loads, within_instant) -%}
    with steps as (
        select
            *,
            least(
                holds_until,
                lead(event_at) over (partition by tenant_id, site_id order by event_at, {{ within_instant }})
            ) as until_at
        from {{ loads }}
    )

    select
        steps.*,
        hour,
        hour = event_hour as is_own_hour,
        {{ microseconds("least(until_at, hour + interval '1 hour') - greatest(event_at, hour)") }} as us
    from steps
    cross join lateral generate_series(
        event_hour,
        greatest(event_hour, {{ hour_of("until_at - interval '1 microsecond'") }}),
        interval '1 hour'
    ) as hour
{%- endmacro %}
