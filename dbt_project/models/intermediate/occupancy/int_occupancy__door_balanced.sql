with events as (
    {{ events_of_sites() }}
),

door_counted as (
    select * from events where is_door_counted
),

balanced as (
    {{ balance_doors('door_counted') }}
)

select * from balanced
