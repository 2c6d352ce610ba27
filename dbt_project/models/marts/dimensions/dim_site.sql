{{ config(indexes=[{'columns': ['tenant_id', 'site_id'], 'unique': true}]) }}
{% do lock_model() %}

with sites as (
    select * from {{ ref('int_sites__known') }}
)

select
    {{ surrogate_key(['tenant_id', 'site_id']) }} as site_key,
    sites.*
from sites
