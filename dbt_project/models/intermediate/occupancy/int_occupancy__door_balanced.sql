-- Each event is a run of its own here, so that it can be looked at.
with events as (
    select
        *,
        {{ hour_of('event_at') }} as event_hour,
        event_at as last_event_at,
        row_number() over (
            partition by tenant_id, site_id, event_at order by seq nulls first, event_key
        ) as run_number,
        1 as samples,
        landed_at as first_landed_at,
        landed_at as last_landed_at,
        landed_at as end_landed_at
    from {{ ref('stg_occupancy__events') }}
),

of_sites as (
    {{ runs_of_sites('events', ['event_key', 'seq']) }}
),

door_counted as (
    select * from of_sites where is_door_counted
),

balanced as (
    {{ balance_doors('door_counted') }}
)

select
    tenant_id,
    site_id,
    operating_date,
    event_at,
    event_hour,
    event_key,
    seq,
    route_id,
    direction_id,
    trip_id,
    capacity,
    holds,
    time_zone,
    last_landed_at as landed_at,
    is_last,
    block,
    block_started_at,
    block_ended_at,
    balance,
    block_boarded,
    block_alighted,
    boarded as counted_boardings,
    alighted as counted_alightings,
    counted_load,
    occupancy as reported_load,
    balanced_load,
    boardings,
    alightings,
    load
from balanced
