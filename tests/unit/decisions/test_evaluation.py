"""How hotspots are judged against the truth, and that following advice acts on the world once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from forecasting.evaluation.following import crowded_hours, follow_day
from forecasting.evaluation.hits import hits, lead_times_h, raised, windows
from forecasting.hotspots.forecasts import ForecastHour
from forecasting.hotspots.model import Entity
from forecasting.hotspots.observations import Reading
from forecasting.hotspots.policy import HotspotPolicy
from forecasting.recommendations.actions import ACTIONS
from forecasting.recommendations.proposals import Recommendation
from forecasting.recommendations.situation import Route, Situation
from orchestration.evaluation.hotspots import Arm, Evaluation, Promise, _hits
from orchestration.evaluation.tables import figures, tables

NOW = datetime(2026, 3, 2, 5, tzinfo=UTC)
GYM, ROUTE = Entity("site", "gym"), Entity("route", "1", 0)
POLICY = HotspotPolicy()


def at(hours: float) -> datetime:
    return NOW + timedelta(hours=hours)


def forecast(loads: dict[int, float], made: float, capacity: float = 100) -> list[ForecastHour]:
    return [
        ForecastHour(at(h), load := loads.get(h, 20.0), load, load + 1, capacity, 4, at(made), "m", "v")
        for h in range(int(made), int(made) + 24)
    ]  # fmt: skip


def test_hours_are_compared_one_by_one() -> None:
    found = hits({(GYM, at(1)), (GYM, at(2)), (ROUTE, at(1))}, {(GYM, at(1)), (GYM, at(3))})
    assert (found.both, found.precision, found.recall) == (1, pytest.approx(1 / 3), 0.5)


def test_crowded_hours_in_a_row_are_one_window() -> None:
    assert windows({(GYM, at(1)), (GYM, at(2)), (GYM, at(5)), (ROUTE, at(2))}) == [
        (ROUTE, at(2), at(3)), (GYM, at(1), at(3)), (GYM, at(5), at(6)),
    ]  # fmt: skip


def test_lead_time_counts_from_the_first_word_that_was_not_taken_back() -> None:
    said = {
        0: {6: 95.0},  # first said six hours before
        1: {},  # taken back
        2: {6: 95.0, 12: 95.0},
        3: {6: 95.0, 12: 95.0},
    }
    found = raised({GYM: {at(made): forecast(loads, made) for made, loads in said.items()}}, POLICY)
    assert lead_times_h(found, {(GYM, at(6)), (GYM, at(12)), (GYM, at(20))}) == [6.0, 10.0, None]
    taken_back = raised({GYM: {at(made): forecast(said[made], made) for made in (0, 1)}}, POLICY)
    assert lead_times_h(taken_back, {(GYM, at(6))}) == [None]


class Bus:
    """A world with one route whose bus is crowded from the second hour on, and one spare vehicle."""

    def __init__(self) -> None:
        self.done: list[Recommendation] = []

    @property
    def entities(self) -> list[Entity]:
        return [ROUTE]

    def readings(self, entity: Entity, now: datetime) -> list[Reading]:
        load = 95 if now >= at(1) else 20
        return [Reading("A", "A", load, 100, now, 300, "1", 0, stop_sequence=3, stop_name="three", stops=9)]

    def situation(self, entity: Entity, now: datetime) -> Situation:
        return Situation(entity, "Route 1", now, POLICY, route=Route("Route 1", spare_vehicles=1))

    def carry_out(self, recommendation: Recommendation, readings: list[Reading], now: datetime) -> bool:
        self.done.append(recommendation)
        return True


def test_truth_is_when_a_live_hotspot_burns_for_who_sees_everything() -> None:
    looks = [NOW + timedelta(minutes=5 * number) for number in range(36)]
    assert crowded_hours(Bus(), looks, POLICY) == {(ROUTE, at(1)), (ROUTE, at(2))}


def test_advice_is_followed_once_and_a_vehicle_that_was_sent_is_away() -> None:
    world = Bus()
    crowd = {6: 95.0, 7: 99.0, 12: 95.0, 13: 99.0}
    looks = [NOW + timedelta(minutes=10 * number) for number in range(12)]
    chosen = [action for action in ACTIONS if action.name == "add_trip"]
    followed = follow_day(
        world, looks, lambda entity, now: forecast(crowd, (now - NOW) // timedelta(hours=1)), chosen, POLICY
    )
    assert [one.evidence["occasion"] for one in followed] == [one.evidence["occasion"] for one in world.done]
    assert len(followed) == 1  # the second window would need a second spare vehicle


def test_hours_count_from_the_first_midnight_that_is_judged_to_the_last() -> None:
    """Nobody looks at what is true outside, so what is said of it is neither right nor wrong."""
    said = {
        entity: {at(made): forecast(dict.fromkeys(range(60), 95.0), made) for made in range(30)}
        for entity in (GYM, ROUTE)
    }
    last_week = pd.DataFrame(
        [(entity.series_id, at(hour), 2, 95.0) for entity in said for hour in range(30)],
        columns=["site_id", "hour", "horizon_h", "seasonal_naive_168"],
    )
    found = _hits(last_week, said, {(GYM, at(3)), (GYM, at(26))}, (at(2), at(26)), POLICY)
    for who in ("forecast", "same hour last week"):
        assert (found[who, "site"].forecast, found[who, "site"].true, found[who, "site"].both) == (24, 1, 1)


def test_what_could_not_be_measured_is_left_out_of_the_figures_and_a_dash_in_the_tables() -> None:
    none = {
        (who, kind): hits(set(), set()) for who in ("forecast", "same hour last week") for kind in ("route", "site")
    }
    empty = Evaluation(none, {"route": [], "site": []}, [Arm("nothing", 0.0), Arm("everything", 0.0)])
    assert figures(empty) == {"crowded_minutes": 0.0}
    assert "nan" not in tables(empty)


def test_a_promise_is_kept_when_its_band_holds_what_came_true() -> None:
    arm = Arm("add_trip", 100.0, [Promise(0, 50, 150, 120.0), Promise(0, 50, 150, -30.0)])
    assert (arm.promised_minutes, arm.kept_share) == (100, 0.5)
