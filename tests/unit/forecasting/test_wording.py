"""Forecasts in words."""

from __future__ import annotations

from datetime import datetime

from forecasting.features import NAMES
from forecasting.wording import PATTERN, THEMES, Driver, drivers, summary

FRIDAY = datetime(2026, 3, 20, 17)


def test_a_forecast_reads_as_an_operator_would_say_it() -> None:
    shares = {"today": 7.0, "last_hour": 2.4, "level_7_days": 3.0, "holiday_tomorrow": -2.0, "hour": 0.4}
    values = {"profile": 0.5, "today": 0.09, "level_7_days": 0.03}

    reasons = drivers(shares, values, ["Eid al-Fitr tomorrow"], expected=72)
    said = summary(FRIDAY, 61, 72, (60.2, 85), reasons, ["Eid al-Fitr tomorrow"])

    assert said == (
        "Fridays 17:00 are usually 61. Expected: 72 (18% above), between 60 and 85 in 8 of 10 cases. "
        "Why: today has run 18% above usual so far (+9.4); the last seven days ran 6% above usual (+3.0); "
        "Eid al-Fitr tomorrow (-2.0)."
    )


def test_a_holiday_is_told_even_where_it_changes_nothing() -> None:
    said = summary(FRIDAY, 5, 5, (3, 8), [], ["Nyepi"])

    assert said.endswith("Calendar: Nyepi.")
    assert "Why" not in said and "above" not in said


def test_a_measure_that_points_the_other_way_is_not_quoted() -> None:
    reasons = drivers({"today": -5.0}, {"profile": 0.5, "today": 0.2}, [], expected=50)

    assert reasons == [Driver("the last hours ran below usual", -5.0)]


def test_a_site_without_others_is_not_told_of_them() -> None:
    reasons = drivers({"today": 3.0, "peers_today": 2.0}, {}, [], expected=50, has_peers=False)

    assert reasons == [Driver("the last hours ran above usual", 5.0)]


def test_what_is_too_small_to_matter_is_not_told() -> None:
    assert drivers({"today": 0.9, "peers_today": 0.9}, {}, [], expected=100) == []


def test_every_feature_that_is_named_exists() -> None:
    assert {name for names in THEMES.values() for name in names} <= set(NAMES)
    assert PATTERN not in THEMES
