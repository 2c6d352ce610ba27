"""Forecast hotspots: windows of crowded hours, and how hotspots follow a forecast that moves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from forecasting.audit import Change
from forecasting.hotspots.ahead import follow
from forecasting.hotspots.forecasts import ForecastHour, crowded_windows
from forecasting.hotspots.model import Entity, Hotspot
from forecasting.hotspots.policy import HotspotPolicy

MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
POLICY = HotspotPolicy()
GYM = Entity("site", "gym")


def hour(number: int, load: float) -> ForecastHour:
    return ForecastHour(
        hour=MIDNIGHT + timedelta(hours=number), load=load, low=load * 0.8, high=load * 1.2, capacity=100.0,
        vehicles=1.0, origin_at=MIDNIGHT, method="champion", model_version="v1",
    )  # fmt: skip


def day(**loads: float) -> list[ForecastHour]:
    """A day of 20 people an hour, but for the hours named: `h7=95`."""
    return [hour(number, loads.get(f"h{number}", 20.0)) for number in range(24)]


def at(hours: float) -> datetime:
    return MIDNIGHT + timedelta(hours=hours)


def run(
    hours: list[ForecastHour], now: datetime, hotspots: list[Hotspot] | None = None
) -> tuple[list[Hotspot], list[Change]]:
    outcome = follow("t", GYM, hotspots or [], hours, now, POLICY)
    return [hotspot for hotspot, _ in outcome], [change for _, change in outcome if change]


def test_windows_are_the_unbroken_runs_of_crowded_hours() -> None:
    windows = crowded_windows(day(h7=90, h8=95, h9=89, h17=91), POLICY.raise_at)
    assert [(window.start, window.end) for window in windows] == [(at(7), at(9)), (at(17), at(18))]
    assert windows[0].peak.load == 95


def test_two_peaks_of_a_day_are_two_hotspots_that_fire_at_once() -> None:
    hotspots, changes = run(day(h7=95, h8=100, h17=120), at(0))
    assert [(row.window_from, row.window_to, row.severity) for row in hotspots] == [
        (at(7), at(9), "high"),
        (at(17), at(18), "critical"),
    ]
    assert [change.to_state for change in changes] == ["firing", "firing"]
    # (95 − 90 + 100 − 90) × 60 and (120 − 90) × 60, by hand.
    assert [round(row.crowded_passenger_minutes) for row in hotspots] == [900, 1800]


def test_a_window_that_moves_stays_the_same_hotspot() -> None:
    [first], _ = run(day(h7=95, h8=95), at(0))
    [moved], changes = run(day(h6=95, h7=95), at(1), [first])
    assert changes == [] and moved.hotspot_id == first.hotspot_id and moved.fingerprint == first.fingerprint
    assert (moved.window_from, moved.window_to) == (at(6), at(8))


def test_a_window_that_has_begun_keeps_its_beginning_and_its_minutes() -> None:
    [first], _ = run(day(h7=95, h8=95), at(0))
    [begun], _ = run(day(h7=95, h8=95)[8:], at(8), [first])
    assert (begun.window_from, begun.window_to) == (at(7), at(9))
    assert begun.crowded_passenger_minutes == first.crowded_passenger_minutes


def test_a_forecast_between_the_thresholds_keeps_it_and_one_below_resolves_it() -> None:
    [first], _ = run(day(h7=95), at(0))
    [kept], changes = run(day(h7=85), at(1), [first])
    assert changes == [] and kept.is_open and kept.load_factor == 0.85
    [eased], changes = run(day(h7=73), at(2), [kept])
    assert [change.to_state for change in changes] == ["resolved"] and eased.ended_at == at(2)


def test_a_window_crowded_again_reopens_its_hotspot() -> None:
    [first], _ = run(day(h7=95), at(0))
    [eased], _ = run(day(), at(1), [first])
    [again], changes = run(day(h7=95), at(2), [eased])
    assert again.hotspot_id == first.hotspot_id and again.ended_at is None
    assert [(change.from_state, change.to_state) for change in changes] == [("resolved", "firing")]


def test_a_forecast_that_fails_to_come_eases_nothing_and_the_window_runs_out() -> None:
    [first], _ = run(day(h7=95), at(0))
    assert run([], at(3), [first]) == ([first], [])
    [over], changes = run([], at(8), [first])
    assert [change.to_state for change in changes] == ["expired"] and not over.is_open


def test_windows_that_grow_together_leave_one_hotspot() -> None:
    both, _ = run(day(h7=95, h9=95), at(0))
    joined, _ = run(day(h7=95, h8=95, h9=95), at(1), both)
    still_open = [row for row in joined if row.is_open]
    assert (still_open[0].window_from, still_open[0].window_to) == (at(7), at(10))
    assert len({row.fingerprint for row in still_open}) == len(still_open)


def test_a_second_look_at_the_same_instant_changes_nothing() -> None:
    hotspots, _ = run(day(h7=95, h17=95), at(0))
    assert run(day(h7=95, h17=95), at(0), hotspots) == (hotspots, [])


def test_a_look_from_before_the_last_one_changes_nothing() -> None:
    hotspots, _ = run(day(h7=95), at(2))
    assert run(day(), at(1), hotspots) == (hotspots, [])
