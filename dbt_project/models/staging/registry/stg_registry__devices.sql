-- The secret stays where it is: no model carries it.
with source as (
    select * from {{ source('registry', 'devices') }}
)

select
    tenant_id,
    device_id,
    site_id,
    valid_from,
    valid_to,
    created_at
from source
