"""What a day is like for the whole city: calendar, demand level, weather, traffic and what is on tonight."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from ingest.simulator.clock import BIN_HOURS, BINS, HOUR_S, SERVICE_ENDS_S, Bools, Floats, hour_of_peak
from ingest.simulator.noise import Purpose, autoregressive, stream

TREND_FROM = date(2026, 1, 1)
YEARLY_GROWTH = 0.04
MONTH_FACTORS = (0.97, 0.99, 1.0, 1.0, 1.01, 0.99, 0.97, 1.0, 1.02, 1.02, 1.01, 0.96)
WEEKDAY_FACTORS = (1.03, 1.0, 1.01, 1.0, 1.02, 1.0, 1.0)
SCHOOL_HOLIDAY_FACTOR = 0.92
HOLIDAY_FACTOR = 0.86
RAIN_DEMAND_FACTOR = 0.9
RAIN_SPEED_FACTOR = 1.15
# Chance of rain on a day by month: Jakarta's wet season is from November to March.
RAIN_CHANCE = (0.62, 0.62, 0.52, 0.38, 0.26, 0.18, 0.13, 0.11, 0.15, 0.28, 0.42, 0.54)

_FIXED_HOLIDAYS = {(1, 1), (5, 1), (6, 1), (8, 17), (12, 25)}
# Indonesia's public holidays that move with the moon, as announced or expected; beyond 2027 only the fixed ones count.
_MOVING_HOLIDAYS = frozenset(
    date(year, month, day)
    for year, days in {
        2025: ((1, 27), (1, 29), (3, 29), (3, 31), (4, 1), (4, 18), (5, 12), (5, 29), (6, 6), (6, 27), (9, 5)),
        2026: ((1, 16), (2, 17), (3, 19), (3, 20), (3, 21), (4, 3), (5, 14), (5, 27), (5, 31), (6, 16), (8, 25)),
        2027: ((1, 5), (2, 6), (3, 8), (3, 10), (3, 11), (3, 26), (5, 6), (5, 16), (5, 20), (6, 6), (8, 15)),
    }.items()
    for month, day in days
)


@dataclass(frozen=True)
class CrowdEvent:
    """A match or concert near a stop: people come before `starts_h` and leave after `ends_h` (local hours)."""

    route: int
    stop_share: float
    starts_h: float
    ends_h: float
    strength: float


@dataclass(frozen=True)
class DayConditions:
    """One service day, as it was for everybody.

    Attributes:
        service_date: the local day.
        day_type: workday, saturday, sunday or holiday.
        level: the day's demand against an ordinary day of its type.
        volume: shape (bins,), demand through the day, 1 at the peak of an ordinary workday.
        night_volume: shape (bins,), in the same measure, who is about between two days.
        morning: shape (bins,), 1 where people leave home, 0 where they return, 0.5 where the day has no direction.
        running: shape (bins,), running time against free flow.
        raining: shape (bins,).
        events: what draws crowds today.
    """

    service_date: date
    day_type: str
    level: float
    volume: Floats
    night_volume: Floats
    morning: Floats
    running: Floats
    raining: Bools
    events: tuple[CrowdEvent, ...]

    @property
    def is_workday(self) -> bool:
        """Tell whether peak buses run today."""
        return self.day_type == "workday"


def is_holiday(on: date) -> bool:
    """Tell whether a date is a public holiday in the simulated city."""
    return (on.month, on.day) in _FIXED_HOLIDAYS or on in _MOVING_HOLIDAYS


def day_type(on: date) -> str:
    """Return workday, saturday, sunday or holiday."""
    if is_holiday(on):
        return "holiday"
    return {5: "saturday", 6: "sunday"}.get(on.weekday(), "workday")


def conditions_of(on: date, seed: int, routes: int) -> DayConditions:
    """Draw a day from its date alone; `routes` is how many routes an event may be near to."""
    kind = day_type(on)
    raining = _rain(on, seed)
    volume = volume_curve(on.weekday(), kind) * np.where(raining, RAIN_DEMAND_FACTOR, 1.0)
    running = _traffic(kind) * np.where(raining, RAIN_SPEED_FACTOR, 1.0)
    return DayConditions(
        service_date=on,
        day_type=kind,
        level=_level(on, kind, seed),
        volume=volume,
        night_volume=night_curve(),
        morning=morning_share(kind),
        running=running,
        raining=raining,
        events=_events(on, seed, routes),
    )


def volume_curve(weekday: int, kind: str) -> Floats:
    """Return demand through the day, shape (bins,); weekday 0 is Monday."""
    hours = BIN_HOURS
    open_hours = 1 / (1 + np.exp(-(hours - 5.1) / 0.25)) / (1 + np.exp((hours - 21.3) / 0.45))
    if kind == "workday":
        evening = 17.0 if weekday == 4 else 17.4
        curve = (
            0.30
            + 0.70 * hour_of_peak(hours, 7.3, 0.95)
            + 0.68 * hour_of_peak(hours, evening, 1.15)
            + 0.06 * hour_of_peak(hours, 12.4, 0.8)
            - 0.14 * hour_of_peak(hours, 21.5, 1.5)
        )
        if weekday == 4:
            curve = curve - 0.07 * hour_of_peak(hours, 12.0, 0.6)  # Friday prayers empty the noon
    elif kind == "saturday":
        curve = 0.20 + 0.24 * hour_of_peak(hours, 10.5, 2.2) + 0.34 * hour_of_peak(hours, 17.2, 2.3)
    else:
        curve = 0.13 + 0.26 * hour_of_peak(hours, 11.0, 2.2) + 0.30 * hour_of_peak(hours, 17.0, 2.3)
    return np.asarray(curve * open_hours)


def night_curve() -> Floats:
    """Return demand of the night that follows a day, shape (bins,): late shifts go home, early ones set out."""
    hours = BIN_HOURS
    curve = 0.05 + 0.12 * hour_of_peak(hours, 22.0, 1.2) + 0.08 * hour_of_peak(hours, 29.0, 0.8)
    return np.where(hours * HOUR_S > SERVICE_ENDS_S, curve, 0.0)


def morning_share(kind: str) -> Floats:
    """Return how much a bin's trips run from home to work rather than back, shape (bins,)."""
    leaving = 1 / (1 + np.exp((BIN_HOURS - 12.4) / 1.1)) + 1 / (1 + np.exp((27.0 - BIN_HOURS) / 0.4))
    return 0.5 + (leaving - 0.5) * (1.0 if kind == "workday" else 0.35)


def _traffic(kind: str) -> Floats:
    if kind == "workday":
        busy = 0.26 * hour_of_peak(BIN_HOURS, 7.6, 1.1) + 0.32 * hour_of_peak(BIN_HOURS, 17.6, 1.3)
    else:
        busy = 0.12 * hour_of_peak(BIN_HOURS, 16.5, 2.5)
    return np.asarray(1.0 + busy)


def _level(on: date, kind: str, seed: int) -> float:
    trend = np.exp(YEARLY_GROWTH * (on - TREND_FROM).days / 365.25)
    level = trend * MONTH_FACTORS[on.month - 1] * WEEKDAY_FACTORS[on.weekday()]
    if kind == "holiday":
        level *= HOLIDAY_FACTOR
    if kind == "workday" and _is_school_holiday(on):
        level *= SCHOOL_HOLIDAY_FACTOR
    return float(level * np.exp(autoregressive(seed, Purpose.DEMAND_LEVEL, on, persistence=0.6, sd=0.045)))


def _is_school_holiday(on: date) -> bool:
    return (6, 20) <= (on.month, on.day) <= (7, 12) or (on.month, on.day) >= (12, 19) or (on.month, on.day) <= (1, 3)


def _rain(on: date, seed: int) -> Bools:
    rng = stream(seed, Purpose.WEATHER, on)
    raining = np.zeros(BINS, dtype=np.bool_)
    if rng.random() < RAIN_CHANCE[on.month - 1]:
        for _ in range(int(rng.integers(1, 3))):
            start, length = rng.normal(15.0, 3.0), rng.gamma(2.0, 0.8)
            raining |= (start <= BIN_HOURS) & (start + length > BIN_HOURS)
    return raining


def _events(on: date, seed: int, routes: int) -> tuple[CrowdEvent, ...]:
    rng = stream(seed, Purpose.EVENTS, on)
    chance = 0.5 if on.weekday() >= 5 else 0.15
    if rng.random() >= chance:
        return ()
    starts = float(rng.choice([14.0, 15.5, 19.0]))
    return (
        CrowdEvent(
            route=int(rng.integers(routes)),
            stop_share=float(rng.uniform(0.1, 0.9)),
            starts_h=starts,
            ends_h=starts + 2.0,
            strength=float(rng.uniform(2.0, 5.0)),
        ),
    )
