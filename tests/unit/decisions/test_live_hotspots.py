"""Live hotspots: hysteresis, silence, cool-down and crowded minutes, look by look."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecasting.audit import Change
from forecasting.hotspots.live import is_warm, look
from forecasting.hotspots.model import Entity, Hotspot, Observation, crowded_minutes
from forecasting.hotspots.policy import HotspotPolicy

START = datetime(2026, 3, 2, 7, tzinfo=UTC)
GYM = Entity("site", "gym")
POLICY = HotspotPolicy()
Load = float | None


def minute(number: float) -> datetime:
    return START + timedelta(minutes=number)


def seen(load_factor: Load, clearing: Load = None, excess: float = 0.0) -> Observation:
    return Observation(GYM, load_factor, clearing, excess)


def watch(
    loads: Iterable[Load], hotspot: Hotspot | None = None, first_minute: int = 0
) -> tuple[Hotspot | None, list[tuple[int, str]]]:
    """One look a minute; the last hotspot and the changes as (minute, new state)."""
    changes: list[tuple[int, str]] = []
    for number, load in enumerate(loads, first_minute):
        if hotspot is not None and not is_warm(hotspot, minute(number), POLICY):
            hotspot = None
        hotspot, change = look("t", hotspot, seen(load), minute(number), POLICY)
        if change is not None:
            changes.append((number, change.to_state))
    return hotspot, changes


def firing() -> Hotspot:
    hotspot, _ = watch([0.95] * 11)
    assert hotspot is not None and hotspot.state == "firing"
    return hotspot


def test_it_fires_after_ten_minutes_at_the_threshold_and_not_before() -> None:
    assert watch([0.90] * 10)[1] == [(0, "pending")]
    assert watch([0.90] * 11)[1] == [(0, "pending"), (10, "firing")]
    assert watch([0.899] * 30) == (None, [])


def test_what_does_not_last_expires_and_never_started() -> None:
    hotspot, changes = watch([0.95] * 9 + [0.85])
    assert changes == [(0, "pending"), (9, "expired")]
    assert hotspot is not None and hotspot.started_at is None and hotspot.ended_at == minute(9)


def test_it_clears_after_ten_minutes_at_the_lower_threshold() -> None:
    hotspot, changes = watch([0.80] * 11, firing(), first_minute=11)
    assert changes == [(21, "resolved")]
    assert hotspot is not None and hotspot.ended_at == minute(21)


def test_the_band_between_the_thresholds_keeps_it_firing() -> None:
    assert watch([0.85] * 120, firing(), first_minute=11)[1] == []


def test_flapping_around_the_lower_threshold_does_not_clear() -> None:
    assert watch([0.79, 0.79, 0.79, 0.81] * 20, firing(), first_minute=11)[1] == []


def test_flapping_around_the_upper_threshold_makes_one_short_row_in_half_an_hour() -> None:
    _, changes = watch([0.95, 0.70] * 16)
    assert changes == [(0, "pending"), (1, "expired")]


def test_crowding_within_the_cool_down_continues_the_same_episode() -> None:
    first = firing()
    resolved, _ = watch([0.5] * 11, first, first_minute=11)
    again, changes = watch([0.95] * 12, resolved, first_minute=22)
    assert changes == [(32, "firing")]
    assert again is not None and again.hotspot_id == first.hotspot_id
    assert (again.started_at, again.ended_at) == (first.started_at, None)


def test_crowding_after_the_cool_down_is_a_new_episode() -> None:
    first = firing()
    resolved, _ = watch([0.5] * 11, first, first_minute=11)  # resolved in minute 21
    again, changes = watch([0.5] * 30 + [0.95] * 11, resolved, first_minute=22)
    assert changes == [(52, "pending"), (62, "firing")]
    assert again is not None and again.hotspot_id != first.hotspot_id


def test_silence_never_clears_but_lets_it_expire() -> None:
    hotspot, changes = watch([None] * 29, firing(), first_minute=11)
    assert changes == [] and hotspot is not None and hotspot.load_factor == 0.95
    _, changes = watch([None], hotspot, first_minute=40)
    assert changes == [(40, "expired")]


def test_silence_does_not_count_towards_clearing() -> None:
    _, changes = watch([0.5] * 6 + [None] * 10 + [0.5] * 10, firing(), first_minute=11)
    assert changes == []


def test_silence_does_not_count_towards_firing() -> None:
    _, changes = watch([0.95] * 5 + [None] * 10 + [0.95] * 10)
    assert changes == [(0, "pending")]


def test_an_unknown_load_raises_nothing() -> None:
    assert look("t", None, None, START, POLICY) == (None, None)
    assert look("t", None, seen(None), START, POLICY) == (None, None)


def test_what_fell_silent_in_a_crowd_holds_the_hotspot() -> None:
    hotspot: Hotspot | None = firing()
    for number in range(11, 40):
        hotspot, change = look("t", hotspot, seen(0.3, clearing=0.95), minute(number), POLICY)
        assert change is None


def test_looks_too_far_apart_know_nothing_of_the_time_between() -> None:
    hotspot, _ = look("t", None, seen(0.95), START, POLICY)
    hotspot, change = look("t", hotspot, seen(0.95), minute(60), POLICY)
    assert change is None and hotspot is not None and hotspot.above_since == minute(60)


def test_an_acknowledged_hotspot_clears_like_a_firing_one() -> None:
    from dataclasses import replace

    hotspot = replace(firing(), state="acknowledged")
    assert watch([0.95] * 5 + [0.5] * 11, hotspot, first_minute=11)[1] == [(26, "resolved")]


def test_a_second_look_at_the_same_instant_changes_nothing() -> None:
    hotspot = firing()
    assert look("t", hotspot, seen(0.1), hotspot.updated_at, POLICY) == (hotspot, None)


def test_crowded_minutes_by_hand() -> None:
    # 80 places, crowded above 72: 6 too many, 0, 10 too many; five minutes each.
    assert crowded_minutes([78, 60, 82], threshold=72, minutes=5) == 80
    assert crowded_minutes([], threshold=72, minutes=5) == 0


def test_crowded_minutes_add_up_over_the_looks() -> None:
    hotspot, _ = look("t", None, seen(0.975, excess=6), minute(0), POLICY)
    hotspot, _ = look("t", hotspot, seen(1.025, excess=10), minute(5), POLICY)  # 6 people × 5 min
    hotspot, _ = look("t", hotspot, seen(0.95, excess=4), minute(7), POLICY)  # 10 people × 2 min
    hotspot, _ = look("t", hotspot, seen(None), minute(8), POLICY)  # 4 people × 1 min
    hotspot, _ = look("t", hotspot, seen(None), minute(20), POLICY)  # unknown is not crowded
    assert hotspot is not None and hotspot.crowded_passenger_minutes == 30 + 20 + 4
    assert (hotspot.peak_load_factor, hotspot.severity) == (1.025, "high")


@pytest.mark.parametrize(("load", "severity"), [(0.9, "warning"), (1.0, "high"), (1.1, "critical")])
def test_severity_follows_the_load(load: float, severity: str) -> None:
    hotspot, _ = look("t", None, seen(load), START, POLICY)
    assert hotspot is not None and hotspot.severity == severity


LEGAL = {
    (None, "pending"), ("pending", "firing"), ("pending", "expired"), ("firing", "resolved"), ("firing", "expired"),
    ("resolved", "firing"), ("expired", "firing"),
}  # fmt: skip


@given(st.lists(st.one_of(st.none(), st.floats(0, 1.5)), max_size=120))
def test_whatever_happens_changes_are_legal_and_ten_minutes_apart(loads: list[Load]) -> None:
    hotspot: Hotspot | None = None
    changes: list[tuple[int, Change]] = []
    for number, load in enumerate(loads):
        if hotspot is not None and not is_warm(hotspot, minute(number), POLICY):
            hotspot = None
        hotspot, change = look("t", hotspot, seen(load), minute(number), POLICY)
        if change is not None:
            changes.append((number, change))
        if hotspot is not None:
            assert (hotspot.ended_at is None) == hotspot.is_open
            assert hotspot.peak_load_factor >= hotspot.load_factor
    assert {(change.from_state, change.to_state) for _, change in changes} <= LEGAL
    for number, change in changes:
        if change.to_state == "firing":
            assert all(load is not None and load >= 0.9 for load in loads[number - 10 : number + 1])
        if change.to_state == "resolved":
            assert all(load is not None and load <= 0.8 for load in loads[number - 10 : number + 1])
