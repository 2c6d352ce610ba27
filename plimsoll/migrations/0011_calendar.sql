-- What days are unlike others: public holidays follow from the country, everything else is told here.
ALTER TABLE registry.sites ADD COLUMN country text CHECK (country ~ '^[A-Z]{2}(-.{1,40})?$');
COMMENT ON COLUMN registry.sites.country IS
'Whose public holidays count, such as ID or US-CA; null: those of the country that the time zone lies in.';

CREATE TABLE registry.calendar_events (
    tenant_id text NOT NULL REFERENCES registry.tenants,
    calendar_event_id uuid NOT NULL DEFAULT gen_random_uuid(),
    site_id text NOT NULL,  -- a site, a series such as route:1:0, or * for all
    starts_at timestamp NOT NULL,
    ends_at timestamp NOT NULL,
    kind text NOT NULL CHECK (kind IN ('holiday', 'school_holiday', 'closure', 'event')),
    name text NOT NULL,
    known_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, calendar_event_id),
    CHECK (starts_at < ends_at)
);
CREATE INDEX calendar_events_by_start ON registry.calendar_events (tenant_id, starts_at);
COMMENT ON TABLE registry.calendar_events IS
'One row per tenant and event: a holiday, a school holiday, a closure or a one-off event of one site or of all.';
COMMENT ON COLUMN registry.calendar_events.starts_at IS 'On the wall clock of the site.';
COMMENT ON COLUMN registry.calendar_events.ends_at IS 'On the wall clock of the site; the event is over then.';
COMMENT ON COLUMN registry.calendar_events.known_at IS 'No forecast made before it may know of the event.';
