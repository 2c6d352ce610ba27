"""What in a situation an action could answer. Each function finds one kind; whether to act is checked later."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from forecasting.hotspots.forecasts import ForecastHour, Window
from forecasting.recommendations.situation import Occasion, Situation

LEAD = timedelta(hours=1)  # a trip can be planned from here on; what begins sooner is a matter of dispatching
AT_ONCE = timedelta(minutes=15)  # how long what is seen now may be acted upon, unless it is seen again
PATTERN = timedelta(days=7)


def windows_ahead(situation: Situation) -> Iterator[Occasion]:
    """Crowded windows that leave time to plan."""
    for window in situation.windows:
        if window.start >= situation.now + LEAD:
            yield _window(situation, window, expires_at=window.start)


def window_at_hand(situation: Situation) -> Iterator[Occasion]:
    """The crowded window that is on or begins within the lead time."""
    for window in situation.windows[:1]:
        if window.start < situation.now + LEAD:
            yield _window(situation, window, expires_at=window.end)


def windows_and_now(situation: Situation) -> Iterator[Occasion]:
    """Every crowded window ahead; and what is crowded now, if no window says so already."""
    if situation.is_crowded_now and not any(window.start <= situation.now for window in situation.windows):
        yield from _seen_now(situation)
    for window in situation.windows:
        yield _window(situation, window, expires_at=window.end)


def _window(situation: Situation, window: Window, *, expires_at: datetime) -> Occasion:
    """The window, under the name that its hotspot keeps while later forecasts move its borders."""
    hotspot = situation.hotspot_of(window)
    key = hotspot.fingerprint.rpartition("|")[2] if hotspot else f"{window.start:%Y-%m-%dT%H}"
    return Occasion(key, expires_at, hotspot, window.hours)


def _seen_now(situation: Situation) -> Iterator[Occasion]:
    for reading in situation.readings[:1]:
        load = float(reading.occupancy)
        as_hour = ForecastHour(
            hour=situation.now, load=load, low=load, high=load, capacity=float(reading.capacity), vehicles=1.0,
            origin_at=situation.now, method="live", model_version="live",
        )  # fmt: skip
        yield Occasion("now", situation.now + AT_ONCE, situation.hotspot_of(None), (as_hour,))


def following_pairs(situation: Situation) -> Iterator[Occasion]:
    """Two vehicles that follow each other, the first one crowded."""
    for pair in situation.pairs:
        if pair.leader.load_factor >= situation.policy.raise_at:
            key = f"{pair.leader.site_id}>{pair.follower.site_id}"
            yield Occasion(key, situation.now + AT_ONCE, situation.hotspot_of(None), pair=pair)


def crowded_stretch(situation: Situation) -> Iterator[Occasion]:
    """The fullest stretch of a route before its last one, as seen now."""
    before_last = {part: own for part, own in situation.stretches.items() if part < situation.policy.stretches - 1}
    if before_last:
        fullest = max(before_last, key=lambda part: (mean_load_factor(situation, part), -part))
        yield Occasion(f"stretch {fullest}", situation.now + 2 * AT_ONCE, situation.hotspot_of(None), stretch=fullest)


def mean_load_factor(situation: Situation, stretch: int) -> float:
    """Load over capacity of all vehicles on a stretch; 0 where there are none."""
    vehicles = situation.stretches.get(stretch, [])
    capacity = sum(vehicle.capacity for vehicle in vehicles)
    return sum(vehicle.occupancy for vehicle in vehicles) / capacity if capacity else 0.0


def weekly_pattern(situation: Situation) -> Iterator[Occasion]:
    """Hours of the week that are crowded again and again, taken together."""
    if situation.recurring:
        yield Occasion("weekly", situation.now + PATTERN)


def quieter_hours(situation: Situation, occasion: Occasion) -> list[ForecastHour]:
    """The rest of the local day's hours that are at least 30 points emptier, the three quietest, in order of time.

    Hours below a twentieth of the day's fullest count as closed.
    """
    today = situation.local(situation.now).date()
    if situation.local(occasion.start).date() > today:
        return []
    rest = [hour for hour in situation.hours if situation.local(hour.hour).date() == today]
    fullest = max((hour.load for hour in rest), default=0.0)
    quiet = [
        hour
        for hour in rest
        if hour.hour > situation.now
        and hour.load > fullest / 20
        and hour.load_factor <= occasion.peak.load_factor - 0.30
    ]
    return sorted(sorted(quiet, key=lambda hour: hour.load_factor)[:3], key=lambda hour: hour.hour)
