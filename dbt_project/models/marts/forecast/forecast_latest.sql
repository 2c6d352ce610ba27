{{ config(materialized='view') }}

with predictions as (
    select * from {{ ref('stg_forecast__predictions') }}
    where target_hour >= {{ hour_of('now()') }}
),

newest as (
    select distinct on (tenant_id, series_id, target_hour) *
    from predictions
    order by tenant_id, series_id, target_hour, origin_at desc, created_at desc, model_version
),

sites as (
    select * from {{ ref('int_sites__known') }}
)

select
    newest.tenant_id,
    newest.series_id,
    case
        when newest.route_id is not null then 'route'
        when sites.kind = 'area' then 'area'
        else 'venue'
    end as series_kind,
    case when newest.route_id is null then newest.series_id end as site_id,
    newest.route_id,
    newest.direction_id,
    newest.target_hour,
    newest.origin_at,
    newest.horizon_h,
    newest.predicted,
    newest.p10,
    newest.p90,
    newest.baseline,
    newest.method,
    newest.model_version,
    newest.created_at
from newest
left join sites on newest.tenant_id = sites.tenant_id and newest.series_id = sites.site_id
