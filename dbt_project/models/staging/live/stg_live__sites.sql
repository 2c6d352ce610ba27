with buses_and_venues as (
    select
        tenant_id,
        site_id,
        site_id as name,
        case when route_id is not null then 'bus' else 'venue' end as kind,
        capacity,
        route_id,
        lat,
        lon
    from {{ source('live', 'occupancy') }}
),

areas as (
    select
        tenant_id,
        stream_id::text as site_id,
        coalesce(location, stream_id::text) as name,
        'area' as kind,
        nullif(estimated_max_people, 0) as capacity,
        null::text as route_id,
        latitude as lat,
        longitude as lon
    from {{ source('live', 'traffic') }}
),

united as (
    select * from buses_and_venues
    union all
    select * from areas
)

-- A name used by both is one site.
select distinct on (tenant_id, site_id) *
from united
order by tenant_id, site_id, kind
