{{
    config(
        materialized='incremental',
        unique_key='accuracy_key',
        indexes=[
            {'columns': ['tenant_id', 'series_id', 'target_hour']},
            {'columns': ['target_hour']},
            {'columns': ['refreshed_at']},
        ],
        post_hook="{{ commit_landings(['fct_occupancy_hourly', 'fct_route_occupancy_hourly', 'fct_traffic_hourly']) }}"
    )
}}
{% do lock_model() %}
-- depends_on: {{ ref('fct_occupancy_hourly') }}
-- depends_on: {{ ref('fct_route_occupancy_hourly') }}
-- depends_on: {{ ref('fct_traffic_hourly') }}

-- Hours that are over and were observed: those that changed since the last run, and those that have ended since. Each
-- mart is asked for itself what changed: one may have failed, and come later with earlier stamps than another's.
with actuals as (
    select *
    from {{ ref('fct_series_hourly') }}
    where
        hour < {{ hour_of('now()') }}
        and not is_imputed
    {% if is_incremental() %}
    and (
        {{ refreshed_since(ref('fct_occupancy_hourly')) }}
        or {{ refreshed_since(ref('fct_route_occupancy_hourly')) }}
        or {{ refreshed_since(ref('fct_traffic_hourly')) }}
        or hour > (select coalesce(max(target_hour), '-infinity') from {{ this }})
    )
    {% endif %}
),

predictions as (
    select
        *,
        case
            when horizon_h <= 1 then 1
            when horizon_h <= 6 then 6
            when horizon_h <= 24 then 24
            else 168
        end::smallint as horizon_bucket_h
    from {{ ref('stg_forecast__predictions') }}
    where horizon_h <= 168
),

-- Of the predictions in a bucket, the one that looked furthest ahead is judged: the bucket's name is no flattery.
judged as (
    select distinct on (
        predictions.tenant_id, predictions.series_id, predictions.target_hour, predictions.horizon_bucket_h
    )
        predictions.*,
        actuals.series_kind,
        actuals.value as actual,
        actuals.capacity,
        actuals.coverage,
        actuals.refreshed_at
    from actuals
    inner join predictions
        on
            actuals.tenant_id = predictions.tenant_id
            and actuals.series_id = predictions.series_id
            and actuals.hour = predictions.target_hour
    order by
        predictions.tenant_id,
        predictions.series_id,
        predictions.target_hour,
        predictions.horizon_bucket_h,
        predictions.horizon_h desc,
        predictions.created_at desc,
        predictions.model_version
)

select
    {{ surrogate_key(['tenant_id', 'series_id', 'horizon_bucket_h'], ['target_hour']) }} as accuracy_key,
    tenant_id,
    series_id,
    series_kind,
    target_hour,
    horizon_bucket_h,
    horizon_h,
    origin_at,
    model_version,
    method,
    predicted,
    p10,
    p90,
    baseline,
    actual,
    capacity,
    coverage,
    abs(predicted - actual) as absolute_error,
    abs(baseline - actual) as baseline_absolute_error,
    actual between p10 and p90 as is_inside_band,
    actual >= {{ var('crowding_threshold') }} * capacity as is_crowded,
    predicted >= {{ var('crowding_threshold') }} * capacity as is_predicted_crowded,
    refreshed_at
from judged
