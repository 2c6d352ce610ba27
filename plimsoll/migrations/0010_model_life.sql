-- Champions per group of series (venue, area, route), and how they do from day to day.
ALTER TABLE forecast.models ADD COLUMN series_group text;
-- Models until now spoke for all groups of a tenant at once; they give way to one for each, trained at the next occasion.
UPDATE forecast.models
SET series_group = 'all', status = CASE status WHEN 'champion' THEN 'retired' ELSE status END;
ALTER TABLE forecast.models ALTER COLUMN series_group SET NOT NULL;
DROP INDEX forecast.models_one_champion;
CREATE UNIQUE INDEX models_one_champion ON forecast.models (tenant_id, series_group) WHERE status = 'champion';
COMMENT ON TABLE forecast.models IS
'One row per tenant and model version, with its artefact and why it was promoted or not; one champion per tenant and group of series.';
COMMENT ON COLUMN forecast.models.series_group IS 'The kind of series that it forecasts: venue, area or route.';

CREATE TABLE forecast.drift (
    tenant_id text NOT NULL,
    series_group text NOT NULL,
    model_version text NOT NULL,
    measured_at timestamptz NOT NULL,
    window_from timestamptz NOT NULL,
    window_to timestamptz NOT NULL,
    hours integer NOT NULL,
    wape double precision,
    baseline_wape double precision,
    profile_wape double precision,
    bias double precision,
    coverage_80 double precision,
    cusum double precision,
    psi_max double precision,
    psi_feature text,
    psi_share double precision,
    is_worse_than_baseline boolean NOT NULL,
    reasons text[] NOT NULL,
    PRIMARY KEY (tenant_id, series_group, measured_at),
    FOREIGN KEY (tenant_id, model_version) REFERENCES forecast.models
);
COMMENT ON TABLE forecast.drift IS
'One row per tenant, group of series and measurement: how the champion would have done over the last week, and what has drifted.';
COMMENT ON COLUMN forecast.drift.wape IS 'Of the champion, day ahead from the local midnights of the window.';
COMMENT ON COLUMN forecast.drift.baseline_wape IS 'Of the four-week mean over the same hours.';
COMMENT ON COLUMN forecast.drift.profile_wape IS 'Of the weekly profile alone, which speaks when the champion is worse.';
COMMENT ON COLUMN forecast.drift.cusum IS 'Largest two-sided CUSUM of the daily residuals, in standard deviations of a day.';
COMMENT ON COLUMN forecast.drift.psi_share IS 'Share of the features whose distribution has moved (population stability index).';
COMMENT ON COLUMN forecast.drift.reasons IS 'What has drifted, in words; empty while all is well.';
