-- Every minute a tenant's first hotspot is asked for, which must not read them all.
CREATE INDEX hotspots_by_first_sight ON ops.hotspots (tenant_id, first_seen_at);
