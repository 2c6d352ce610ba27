{{ config(indexes=[{'columns': ['hour_of_week'], 'unique': true}]) }}
{% do lock_model() %}

with hours as (
    select hour_of_week from generate_series(0, 167) as hour_of_week
),

split as (
    select
        hour_of_week::smallint as hour_of_week,
        (hour_of_week / 24 + 1)::smallint as day_of_week,
        (hour_of_week % 24)::smallint as hour_of_day
    from hours
)

select
    hour_of_week,
    day_of_week,
    hour_of_day,
    day_of_week >= 6 as is_weekend,
    day_of_week <= 5 and hour_of_day between 6 and 8 as is_morning_peak,
    day_of_week <= 5 and hour_of_day between 16 and 18 as is_evening_peak,
    day_of_week <= 5 and (hour_of_day between 6 and 8 or hour_of_day between 16 and 18) as is_peak
from split
