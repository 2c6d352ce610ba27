-- The hourly model of dbt asks its own table where door blocks begin, before it could add the column by itself.
ALTER TABLE IF EXISTS intermediate.int_occupancy__hourly_by_route
    ADD COLUMN IF NOT EXISTS block_started_at timestamptz;
