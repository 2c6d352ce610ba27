{{
    config(
        materialized='incremental',
        unique_key='occupancy_day_key',
        indexes=[
            {'columns': ['tenant_id', 'site_id', 'service_date']},
            {'columns': ['refreshed_at']},
        ],
        post_hook="{{ commit_landings(['fct_occupancy_hourly']) }}"
    )
}}
{% do lock_model() %}

with hours as (
    select * from {{ ref('fct_occupancy_hourly') }}
    {% if is_incremental() %}
    where service_date in ({{ refreshed_dates(ref('fct_occupancy_hourly')) }})
    {% endif %}
),

days as (
    select
        tenant_id,
        site_id,
        service_date,
        sum(mean_occupancy * coverage order by hour) / sum(coverage order by hour) as mean_occupancy,
        max(max_occupancy) filter (where not is_imputed) as max_occupancy,
        (array_agg(hour order by mean_occupancy desc, hour) filter (where not is_imputed))[1] as peak_hour,
        sum(boardings)::bigint as boardings,
        sum(alightings)::bigint as alightings,
        max(capacity) as capacity,
        sum(minutes_above_threshold order by hour) as minutes_above_threshold,
        sum(crowded_passenger_minutes order by hour) as crowded_passenger_minutes,
        sum(samples)::integer as samples,
        count(*)::integer as service_hours,
        sum(coverage order by hour) / count(*) as coverage,
        max(refreshed_at) as refreshed_at
    from hours
    group by tenant_id, site_id, service_date
)

select
    {{ surrogate_key(['tenant_id', 'site_id', 'service_date']) }} as occupancy_day_key,
    tenant_id,
    site_id,
    service_date,
    mean_occupancy,
    max_occupancy,
    peak_hour,
    boardings,
    alightings,
    capacity,
    mean_occupancy / capacity as load_factor,
    minutes_above_threshold,
    crowded_passenger_minutes,
    samples,
    service_hours,
    coverage,
    refreshed_at
from days
{% if is_incremental() %}
where {{ refreshed_since(ref('fct_occupancy_hourly')) }}
{% endif %}
