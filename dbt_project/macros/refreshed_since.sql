{#
    Incremental by what an upstream model wrote, exactly, however many runs there are at once.

    Every write of the upstream model has one `refreshed_at`, later than any before; marts whose rows carry on the stamps of
    what they are made from take them over in that order. With its rows the upstream model keeps its newest stamp, in
    `intermediate.watermarks` and for the invocation (`capture_refresh`, a post-hook); without the upstream model in the same
    invocation, what was kept when that began counts. Who reads takes what lies between its own watermark and this stamp
    (`refreshed_since`), and commits it as its watermark (`commit_landings`).
#}

{% macro capture_refresh() %}
    insert into intermediate.watermarks (model, topic, partition, landed_at)
    select '{{ this.identifier }}', '{{ this.identifier }}', 0, max(refreshed_at) from {{ this }}
    having max(refreshed_at) is not null
    on conflict (model, topic, partition) do update set landed_at = excluded.landed_at;
    insert into intermediate.landing_snapshots (invocation_id, topic, partition, landed_at)
    select '{{ invocation_id }}', topic, partition, landed_at from intermediate.watermarks
    where model = '{{ this.identifier }}' and topic = model
    on conflict (invocation_id, topic, partition) do update set landed_at = excluded.landed_at;
{% endmacro %}


{% macro refreshed_since(upstream) -%}
    {%- set query -%}
        select
            coalesce((
                select landed_at from intermediate.watermarks
                where model = '{{ this.identifier }}' and topic = '{{ upstream.identifier }}'
            ), '-infinity')::text,
            coalesce((
                select landed_at from intermediate.landing_snapshots
                where invocation_id = '{{ invocation_id }}' and topic = '{{ upstream.identifier }}'
            ), (select max(refreshed_at) from {{ upstream }}))::text
    {%- endset -%}
    {%- set bounds = run_query(query).rows[0] if execute else [none, none] -%}
    {%- if bounds[1] is none -%}
        false
    {%- else -%}
        refreshed_at > '{{ bounds[0] }}'::timestamptz and refreshed_at <= '{{ bounds[1] }}'::timestamptz
    {%- endif -%}
{%- endmacro %}


{# The service dates of those rows, as literals: a filter on them goes through windows and groups into the index. #}
{% macro refreshed_dates(upstream) -%}
    {%- if execute -%}
        {%- set dates = run_query("select distinct service_date::text from " ~ upstream ~ " where " ~ refreshed_since(upstream) ~ " order by 1").columns[0].values() -%}
    {%- endif -%}
    {%- if dates -%}
        {%- for date in dates %}'{{ date }}'::date{{ ', ' if not loop.last }}{% endfor -%}
    {%- else -%}
        null::date
    {%- endif -%}
{%- endmacro %}
