{# One key for the grain: a hash of its columns. Instants go in as seconds, so that no session's time zone matters. #}
{% macro surrogate_key(columns, instants=[]) -%}
    md5(concat_ws('|'
        {%- for column in columns %}, coalesce({{ column }}::text, ''){% endfor %}
        {%- for instant in instants %}, extract(epoch from {{ instant }})::bigint::text{% endfor -%}
    ))::uuid
{%- endmacro %}


{#
    What makes a message the same event, within its tenant, its site or device, and its event time: the id that the
    device gave, else its running number, else the content. The contract says which fields these are, and the generated
    source carries that as `meta.identity`.
#}
{% macro event_identity(source_name, table_name) -%}
    {%- if not execute -%}
        null
    {%- else -%}
        {%- set nodes = graph.sources.values() | selectattr('source_name', 'equalto', source_name) | selectattr('name', 'equalto', table_name) | list -%}
        {%- set identity = nodes[0].config.meta.identity -%}
        case
            {%- if identity.id is defined %}
            when {{ identity.id }} is not null then 'id:' || {{ identity.id }}
            {%- endif %}
            {%- if identity.sequence is defined %}
            when {% for column in identity.sequence %}{{ column }} is not null{{ ' and ' if not loop.last }}{% endfor %}
                then concat_ws(':', 'seq'{% for column in identity.sequence %}, {{ column }}{% endfor %})
            {%- endif %}
            {%- if identity.id is defined or identity.sequence is defined %}
            else
            {%- else %}
            when true then
            {%- endif %} md5(concat_ws('|'{% for column in identity.content %}, coalesce({{ column }}::text, ''){% endfor %}))
        end
    {%- endif -%}
{%- endmacro %}
