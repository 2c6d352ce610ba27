{# Messages of `relation` without their repeats: of several copies the one that landed first counts. Tenant, `entity` (the
   column of what was observed) and event time are part of what makes two messages the same, so that a filter on them
   reaches the raw table and its indexes through the de-duplication. #}
{% macro first_of_repeats(relation, entity) -%}
    select distinct on (tenant_id, {{ entity }}, event_at, event_key) *
    from {{ relation }}
    order by tenant_id, {{ entity }}, event_at, event_key, landed_at, kafka_partition, kafka_offset
{%- endmacro %}
