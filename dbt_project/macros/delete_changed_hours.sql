{#
    Pre-hook of a model that is appended to: the hours of a tenant in which `upstream` changed are deleted before they are
    written anew, so that what has left an hour leaves no row behind.
#}
{% macro delete_changed_hours(upstream) -%}
    {%- if is_incremental() -%}
        delete from {{ this }}
        where (tenant_id, hour) in (select tenant_id, hour from {{ upstream }} where {{ refreshed_since(upstream) }})
    {%- endif -%}
{%- endmacro %}
