{# Rows for which an expression is false. #}
{% test expression_holds(model, expression) %}
    select *
    from {{ model }}
    where not ({{ expression }})
{% endtest %}
