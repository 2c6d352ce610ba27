{#
    For a small table that is written anew in every run: its rows are replaced within the transaction, and it stays the
    same table. Views that read from it live on, and the indexes are there for joins against it, which a view over
    several sources cannot offer.
#}
{% macro empty_in_place() -%}
    {%- if is_incremental() -%}
        delete from {{ this }}
    {%- endif -%}
{%- endmacro %}
