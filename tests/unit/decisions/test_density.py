"""What a route's own hotspots tell of how much fuller than the whole its busiest stretch will be."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from forecasting.hotspots.density import HIGHEST, LOWEST, Densities, learned
from forecasting.hotspots.model import Entity

ROUTE, OTHER = Entity("route", "1", 0), Entity("route", "1", 1)
ZONES = {ROUTE: "Asia/Jakarta", OTHER: "Asia/Jakarta"}
FIRST = date(2026, 2, 2)  # a Monday
EIGHT = datetime(2026, 2, 2, 1, tzinfo=UTC)  # 08:00 in Jakarta
FOUR_WEEKS = [FIRST + timedelta(days=number) for number in range(28)]


def burned_at_eight(days: int) -> Densities:
    hours = [EIGHT + timedelta(days=number) for number in range(28) if (FIRST + timedelta(days=number)).weekday() < 5]
    return learned([(ROUTE, hour) for hour in hours[:days]], ZONES, FOUR_WEEKS, 0.65)


def test_where_nothing_is_known_the_density_is_the_usual_one() -> None:
    assert Densities(0.65).at(ROUTE, EIGHT) == 0.65
    assert learned([], ZONES, [], 0.65).at(ROUTE, EIGHT) == 0.65


def test_an_hour_that_was_often_crowded_counts_as_crowded_at_a_lower_mean() -> None:
    densities = [burned_at_eight(days).at(ROUTE, EIGHT) for days in (0, 3, 10, 18)]
    assert densities == sorted(densities, reverse=True)
    assert densities[0] > 0.65 > densities[-1]
    assert all(LOWEST <= density <= HIGHEST for density in densities)


@pytest.mark.parametrize("hour", [EIGHT + timedelta(hours=2), EIGHT + timedelta(days=5)], ids=["later", "Saturday"])
def test_other_times_and_directions_learn_nothing_from_it(hour: datetime) -> None:
    often, never = burned_at_eight(18), burned_at_eight(0)
    assert often.at(ROUTE, hour) == never.at(ROUTE, hour)
    assert often.at(OTHER, EIGHT) == never.at(OTHER, EIGHT)
