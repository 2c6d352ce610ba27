{#
    Loads from door counts, balanced.

    Sensors at doors overlook people, so that the running count drifts. A vehicle's operating day is therefore cut into
    blocks at points where it was empty, and within a block boardings and alightings are each scaled to one target:

    1. A vehicle may be empty where a trip ends, after a layover, or where its device reports nobody. It is taken to be
       empty there unless the count falls below that point's by more than drift explains before the next such point:
       then people had stayed on board, and the block goes on.
    2. A block whose boardings and alightings differ by too much is `rejected`; one that has not ended yet is `open`.
    3. Both cumulative counts are scaled to the larger of the two totals (people are overlooked, hardly invented),
       rounded, and the alightings held at or below the boardings: no load is negative and the totals are kept.
    4. A report beyond `most_people` comes from a broken counter and counts nobody, and no load is larger.
    5. Where there is no balanced load, the reported one counts, less what the device still reported when the block
       began, at which point nobody was on board. In a block that nobody counted nothing tells that; it is taken at its word.

    `runs` names a relation with the columns of `runs_of_sites`, holding whole operating days; what else it has comes along.
#}
{% macro balance_doors(runs) -%}
    with reports as (
        select
            *,
            in_count is not null and out_count is not null as has_counts,
            lag(in_count) over by_door as in_before,
            lag(out_count) over by_door as out_before
        from {{ runs }}
        window by_door as (
            partition by tenant_id, site_id, operating_date, device_id, door_id, count_mode order by event_at, run_number
        )
    ),

    -- A running total below the one before started again from zero, and with it its door's other one.
    started as (
        select
            *,
            count_mode = 'delta' or (in_count < in_before or out_count < out_before) is true as is_from_zero
        from reports
    ),

    since_last_report as (
        select
            *,
            case when is_from_zero then in_count else coalesce(in_count - in_before, 0) end as came_in,
            case when is_from_zero then out_count else coalesce(out_count - out_before, 0) end as went_out
        from started
    ),

    believed as (
        select
            *,
            case when came_in > {{ var("most_people") }} then 0 else came_in end as boarded,
            case when went_out > {{ var("most_people") }} then 0 else went_out end as alighted
        from since_last_report
    ),

    counted as (
        select
            *,
            sum(coalesce(boarded, 0) - coalesce(alighted, 0)) over so_far as net,
            lead(event_at) over in_day is null as is_last,
            (
                lead(trip_id) over in_day is distinct from trip_id
                or lead(event_at) over in_day - last_event_at >= interval '{{ var("door_layover_s") }} seconds'
                or occupancy = 0
            ) is true as may_be_empty
        from believed
        window
            in_day as (partition by tenant_id, site_id, operating_date order by event_at, run_number),
            so_far as (in_day rows unbounded preceding)
    ),

    stretched as (
        select
            *,
            count(*) filter (where may_be_empty) over before as stretch
        from counted
        window before as (
            partition by tenant_id, site_id, operating_date order by event_at, run_number
            rows between unbounded preceding and 1 preceding
        )
    ),

    emptied as (
        select
            *,
            is_last
            or (
                may_be_empty
                and net - min(net) over next_stretch <= greatest(
                    {{ var("door_max_imbalance") }},
                    {{ var("door_max_imbalance_share") }} * sum(boarded) over next_stretch
                )
            ) as is_empty
        from stretched
        window next_stretch as (
            partition by tenant_id, site_id, operating_date order by stretch groups between 1 following and 1 following
        )
    ),

    blocked as (
        select
            *,
            count(*) filter (where is_empty) over before as block,
            lag(occupancy) over in_day as reported_before
        from emptied
        window
            in_day as (partition by tenant_id, site_id, operating_date order by event_at, run_number),
            before as (in_day rows between unbounded preceding and 1 preceding)
    ),

    totalled as (
        select
            *,
            sum(boarded) over so_far as boarded_so_far,
            sum(alighted) over so_far as alighted_so_far,
            coalesce(sum(boarded) over in_block, 0) as block_boarded,
            coalesce(sum(alighted) over in_block, 0) as block_alighted,
            bool_or(has_counts) over in_block as block_has_counts,
            bool_or(is_last) over in_block as is_last_block,
            first_value(event_at) over so_far as block_started_at,
            max(last_event_at) over in_block as block_ended_at,
            coalesce(first_value(reported_before) over so_far, 0) as reported_when_empty
        from blocked
        window
            in_block as (partition by tenant_id, site_id, operating_date, block),
            so_far as (
                partition by tenant_id, site_id, operating_date, block order by event_at, run_number
                rows unbounded preceding
            )
    ),

    judged as (
        select
            *,
            greatest(block_boarded, block_alighted) as target,
            case
                when not block_has_counts then 'not_counted'
                when abs(block_boarded - block_alighted) <= {{ var("door_max_imbalance_share") }} * block_boarded
                    then 'balanced'
                when is_last_block then 'open'
                when abs(block_boarded - block_alighted) <= {{ var("door_max_imbalance") }} then 'balanced'
                else 'rejected'
            end as balance
        from totalled
    ),

    scaled as (
        select
            *,
            {{ scale_count('boarded_so_far', 'block_boarded', 'target') }} as ons,
            least(
                {{ scale_count('boarded_so_far', 'block_boarded', 'target') }},
                {{ scale_count('alighted_so_far', 'block_alighted', 'target') }}
            ) as offs
        from judged
    )

    select
        *,
        boarded_so_far - alighted_so_far as counted_load,
        case when balance = 'balanced' then ons - offs end as balanced_load,
        case when balance = 'balanced' then ons - lag(ons, 1, 0::bigint) over in_block else boarded end as boardings,
        case when balance = 'balanced' then offs - lag(offs, 1, 0::bigint) over in_block else alighted end as alightings,
        least({{ var("most_people") }}, case
            when balance = 'balanced' then ons - offs
            when balance = 'not_counted' then coalesce(occupancy, 0)
            else greatest(0, coalesce(occupancy - reported_when_empty, boarded_so_far - alighted_so_far))
        end) as load
    from scaled
    window in_block as (
        partition by tenant_id, site_id, operating_date, block order by event_at, run_number
    )
{%- endmacro %}


{# A cumulative count on the way to `target` instead of `total`, rounded half up in whole numbers; in `numeric`, which is
   slower, where the product does not fit a bigint. #}
{% macro scale_count(so_far, total, target) -%}
    coalesce(
        case
            when {{ target }} < 2000000000
                then (2 * {{ so_far }} * {{ target }} + {{ total }}) / nullif(2 * {{ total }}, 0)
            else div(2 * {{ so_far }}::numeric * {{ target }} + {{ total }}, nullif(2 * {{ total }}, 0)::numeric)::bigint
        end,
        0
    )
{%- endmacro %}
