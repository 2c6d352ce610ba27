{#
    Incremental strategy `replace_hours`: rows are added, and those marked `replaces_hour` take the place of all that was
    known of their site's hour.
#}
{% macro get_incremental_replace_hours_sql(arguments) -%}
    {%- set columns = arguments['dest_columns'] | map(attribute='quoted') | join(', ') -%}
    delete from {{ arguments['target_relation'] }} as known
    using (select distinct tenant_id, site_id, event_hour from {{ arguments['temp_relation'] }} where replaces_hour) as replaced
    where
        known.tenant_id = replaced.tenant_id
        and known.site_id = replaced.site_id
        and known.event_hour = replaced.event_hour;

    insert into {{ arguments['target_relation'] }} ({{ columns }})
    select {{ columns }} from {{ arguments['temp_relation'] }};
{%- endmacro %}
