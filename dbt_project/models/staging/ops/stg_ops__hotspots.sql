with source as (
    select * from {{ source('ops', 'hotspots') }}
)

select
    tenant_id,
    hotspot_id,
    fingerprint,
    rule,
    entity_kind,
    entity_id,
    direction_id,
    evidence ->> 'name' as entity_name,
    source,
    state,
    severity,
    threshold,
    load_factor,
    peak_load_factor,
    crowded_passenger_minutes,
    first_seen_at,
    started_at,
    observed_at,
    ended_at,
    window_from,
    window_to,
    updated_at
from source
