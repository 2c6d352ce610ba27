{#
    Views are replaced in place. dbt's own way drops the old view, and with it everything that reads from it, so that
    served views would be gone for a moment in every build. Only when columns changed, dropping is the one way left.
#}
{% materialization view, adapter='postgres' -%}
    {%- do lock_model() -%}
    {%- set existing = load_cached_relation(this) -%}
    {%- set target_relation = this.incorporate(type='view') -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {% if existing is not none and not existing.is_view %}
        {% do adapter.drop_relation(existing) %}
    {% endif %}
    {% set contract = config.get('contract') %}
    {% set definition %}
        create or replace view {{ target_relation }}
        {%- if contract.enforced %}
        {{ get_assert_columns_equivalent(sql) }}
        {%- endif %} as (
        {{ sql }}
        );
    {% endset %}
    {% call statement('main') -%}
        do $replace$
        begin
            {{ definition }}
        exception when invalid_table_definition then
            drop view {{ target_relation }} cascade;
            {{ definition }}
        end
        $replace$
    {%- endcall %}

    {% do apply_grants(target_relation, config.get('grants'), should_revoke=True) %}
    {% do persist_docs(target_relation, model) %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}

    {{ return({'relations': [target_relation]}) }}
{%- endmaterialization %}
