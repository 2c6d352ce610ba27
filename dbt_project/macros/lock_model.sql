{#
    Two runs at once, such as Dagster's refresh and an analyst's: each model is written by one of them after the other.

    Before anything else in a model, because dbt reads the bounds of what is new while it compiles, before any pre-hook. The
    lock is the node's connection's, which dbt closes after the node. Who only compiles (docs, tests) waits for nobody; a
    unit test has no table to wait for.

    dbt has looked at its start which tables there are. One that another run made first while this one waited is told to it.
#}
{% macro lock_model() -%}
    {%- if execute and model.resource_type != 'unit_test' and flags.WHICH in ('run', 'build', 'seed') -%}
        {%- do run_query("select pg_advisory_lock(hashtext('plimsoll " ~ this ~ "'))") -%}
        {%- if load_relation(this) is none -%}
            {%- set made = run_query("select from pg_class where oid = to_regclass('" ~ this ~ "') and relkind = 'r'") -%}
            {%- if made.rows -%}
                {%- do adapter.cache_added(this.incorporate(type='table')) -%}
            {%- endif -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}


{# A seed has no text to lock it in. dbt asks for its table where it knows of none. #}
{% macro postgres__create_csv_table(model, agate_table) -%}
    {%- do lock_model() -%}
    {%- set made = load_relation(this) -%}
    {%- if made is none -%}
        {{ return(default__create_csv_table(model, agate_table)) }}
    {%- else -%}
        {{ return(reset_csv_table(model, false, made, agate_table)) }}
    {%- endif -%}
{%- endmacro %}


{# `if not exists` alone does not wait for who makes the same schema. #}
{% macro postgres__create_schema(relation) -%}
    {%- call statement('create_schema') -%}
        select pg_advisory_xact_lock(hashtext('plimsoll schemas'));
        create schema if not exists {{ relation.without_identifier().include(database=false) }}
    {%- endcall -%}
{%- endmacro %}
