"""Packages that do not know each other compute, use and show headways at peak: their peaks are the same."""

from __future__ import annotations

import re

from forecasting.recommendations import situation
from ingest.registry.gtfs import timetable
from plimsoll.settings import PROJECT_DIR


def test_peak_hours_are_the_same_in_timetables_recommendations_and_marts() -> None:
    model = PROJECT_DIR / "dbt_project" / "models" / "marts" / "dimensions" / "dim_time.sql"

    spans = re.findall(r"hour_of_day between (\d+) and (\d+)", model.read_text())

    in_marts = {hour for first, last in spans for hour in range(int(first), int(last) + 1)}
    assert set(timetable.PEAK_HOURS) == situation.PEAK_HOURS == in_marts
