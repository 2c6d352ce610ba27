-- What people were told about an alert, so that they are told of changes and not of every flutter.
ALTER TABLE ops.alerts
ADD COLUMN announced_state text CHECK (announced_state IN ('firing', 'resolved')),
ADD COLUMN announced_at timestamptz;

CREATE TABLE ops.alert_announcements (
    announcement_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id text NOT NULL,
    alert_id uuid NOT NULL,
    at timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('firing', 'resolved')),
    severity text NOT NULL,
    title text NOT NULL,
    body text NOT NULL,
    FOREIGN KEY (tenant_id, alert_id) REFERENCES ops.alerts ON DELETE CASCADE
);
CREATE INDEX alert_announcements_by_time ON ops.alert_announcements (at);
CREATE INDEX alert_announcements_by_alert ON ops.alert_announcements (tenant_id, alert_id);
COMMENT ON TABLE ops.alert_announcements IS
'One row per thing that people are to be told: written with the change itself, sent by whoever delivers.';

CREATE TABLE ops.alert_deliveries (
    announcement_id bigint NOT NULL REFERENCES ops.alert_announcements ON DELETE CASCADE,
    channel text NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL,
    delivered_at timestamptz,
    given_up_at timestamptz,
    last_error text,
    PRIMARY KEY (announcement_id, channel)
);
CREATE INDEX alert_deliveries_due ON ops.alert_deliveries (next_attempt_at)
WHERE delivered_at IS NULL AND given_up_at IS NULL;
COMMENT ON TABLE ops.alert_deliveries IS
'One row per announcement and channel: how often it was tried, and whether it arrived or was given up.';
