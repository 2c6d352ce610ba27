{{
    config(
        materialized='incremental',
        unique_key='occupancy_hour_key',
        indexes=[
            {'columns': ['tenant_id', 'site_id', 'hour']},
            {'columns': ['service_date']},
            {'columns': ['refreshed_at']},
        ],
        post_hook=["{{ commit_landings(['int_occupancy__hourly_by_route']) }}", "{{ capture_refresh() }}"]
    )
}}
{% do lock_model() %}

-- depends_on: {{ ref('int_occupancy__hourly_by_route') }}

with hours as (
    select * from {{ ref('int_occupancy__hourly_grid') }}
    {% if is_incremental() %}
    where
        service_date in ({{ refreshed_dates(ref('int_occupancy__hourly_by_route')) }})
        and {{ refreshed_since(ref('int_occupancy__hourly_by_route')) }}
    {% endif %}
)

select
    occupancy_hour_key,
    tenant_id,
    site_id,
    hour,
    service_date,
    mean_occupancy,
    max_occupancy,
    p95_occupancy,
    boardings,
    alightings,
    capacity,
    mean_occupancy / capacity as load_factor,
    minutes_above_threshold,
    crowded_passenger_minutes,
    samples,
    coverage,
    is_imputed,
    first_landed_at,
    last_landed_at,
    refreshed_at
from hours
