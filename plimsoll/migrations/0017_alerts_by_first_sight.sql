-- Alerts are listed by time; those of half a year, some hundred thousand, would be sorted for each page.
CREATE INDEX alerts_by_first_sight ON ops.alerts (tenant_id, first_seen_at, alert_id);
