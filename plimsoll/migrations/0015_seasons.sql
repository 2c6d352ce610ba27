-- Weeks with a rhythm of their own, such as Ramadan or an examination period, are learnt hour by hour.
ALTER TABLE registry.calendar_events DROP CONSTRAINT calendar_events_kind_check;
ALTER TABLE registry.calendar_events ADD CONSTRAINT calendar_events_kind_check
CHECK (kind IN ('holiday', 'school_holiday', 'closure', 'event', 'season'));
