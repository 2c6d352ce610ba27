{{ config(indexes=[{'columns': ['date'], 'unique': true}]) }}
{% do lock_model() %}

with days as (
    select day::date as date
    from
        generate_series(
            '{{ var("calendar_from") }}'::timestamp, '{{ var("calendar_to") }}'::timestamp, interval '1 day'
        ) as day
),

holidays as (
    select * from {{ ref('holidays') }} where calendar = '{{ var("holiday_calendar") }}'
)

select
    days.date,
    extract(isodow from days.date)::smallint as day_of_week,
    to_char(days.date, 'FMDay') as day_name,
    extract(isoyear from days.date)::smallint as iso_year,
    extract(week from days.date)::smallint as iso_week,
    extract(month from days.date)::smallint as month,
    extract(year from days.date)::smallint as year,
    extract(isodow from days.date) >= 6 as is_weekend,
    holidays.holiday_date is not null as is_holiday,
    holidays.name as holiday_name,
    case
        when holidays.holiday_date is not null then 'holiday'
        when extract(isodow from days.date) = 7 then 'sunday'
        when extract(isodow from days.date) = 6 then 'saturday'
        else 'workday'
    end as day_type
from days
left join holidays on days.date = holidays.holiday_date
