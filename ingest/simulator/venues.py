"""Gyms, libraries, malls and station halls.

People come, stay a while and leave; a camera counts heads every 10 minutes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ingest.simulator.clock import BIN_S, FIRST_BIN_S, HOUR_S, Floats, Ints, hour_of_peak
from ingest.simulator.conditions import DayConditions
from ingest.simulator.interventions import Intervention, VenuePlan
from ingest.simulator.noise import Purpose, autoregressive, stream

SAMPLE_S = 600.0
HOLD_S = 1200
DAY_SD = 0.07
OVERFULL = 1.15
"""So many times its capacity goes into a venue at whose door nobody counts."""


@dataclass(frozen=True)
class VenueKind:
    """How a kind of venue fills.

    Attributes:
        slug: beginning of its site ids.
        title: what people call it.
        capacity: people it is made for.
        opens_h: opening, local hour.
        closes_h: closing, local hour.
        stay_s: mean length of a visit.
        fill: share of capacity at the day's peak, Monday to Sunday; 0 is closed. Holidays are like Sundays.
        peaks: (hour, width in hours, height) of a working day.
        weekend_peaks: the same for weekends and holidays.
        rain_factor: what rain makes of the arrivals.
        spot: latitude and longitude of the first of its kind.
    """

    slug: str
    title: str
    capacity: int
    opens_h: float
    closes_h: float
    stay_s: float
    fill: tuple[float, ...]
    peaks: tuple[tuple[float, float, float], ...]
    weekend_peaks: tuple[tuple[float, float, float], ...]
    rain_factor: float
    spot: tuple[float, float]


KINDS = (
    VenueKind(
        "gym-sudirman", "Gym Sudirman", 140, 6, 22, 4200, (0.95, 0.88, 0.9, 0.84, 0.7, 0.6, 0.52),
        ((6.9, 1.0, 0.75), (12.3, 0.9, 0.45), (18.6, 1.4, 1.0)), ((9.5, 1.6, 1.0), (16.8, 1.8, 0.8)),
        0.85, (-6.2146, 106.8186),
    ),
    VenueKind(
        "library-central", "Central Library", 420, 8, 20, 7200, (0.7, 0.74, 0.76, 0.72, 0.56, 0.66, 0.42),
        ((10.8, 1.8, 0.8), (15.4, 2.2, 1.0)), ((13.5, 2.6, 1.0),),
        1.1, (-6.1770, 106.8290),
    ),
    VenueKind(
        "mall-grand", "Grand Mall", 2600, 10, 22, 6600, (0.42, 0.42, 0.45, 0.48, 0.66, 0.93, 0.9),
        ((12.6, 1.2, 0.7), (18.9, 1.8, 1.0)), ((13.5, 2.2, 0.85), (18.2, 2.2, 1.0)),
        1.15, (-6.1951, 106.8203),
    ),
    VenueKind(
        "station-hall", "Central Station Hall", 900, 5, 23, 900, (0.92, 0.88, 0.88, 0.88, 0.97, 0.5, 0.52),
        ((7.4, 1.1, 1.0), (12.5, 2.5, 0.4), (17.6, 1.4, 0.95)), ((10.5, 2.6, 0.7), (17.5, 2.4, 1.0)),
        0.95, (-6.1767, 106.8305),
    ),
    VenueKind(
        "gym-campus", "Campus Gym", 90, 6, 22, 3900, (0.92, 0.9, 0.9, 0.86, 0.64, 0.4, 0.44),
        ((12.0, 1.6, 0.5), (17.4, 1.8, 1.0)), ((11.0, 1.8, 0.9), (16.5, 2.0, 1.0)),
        0.85, (-6.3620, 106.8270),
    ),
    VenueKind(
        "museum-harbour", "Harbour Museum", 260, 9, 17, 5400, (0.0, 0.4, 0.42, 0.44, 0.5, 0.88, 0.94),
        ((11.0, 1.3, 1.0), (14.4, 1.3, 0.9)), ((11.2, 1.4, 0.95), (14.5, 1.4, 1.0)),
        0.8, (-6.1350, 106.8130),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Venue:
    """One venue; `scale` is its size against an ordinary one of its kind."""

    index: int
    site_id: str
    name: str
    kind: VenueKind
    scale: float
    lat: float
    lon: float

    @property
    def capacity(self) -> int:
        """People it is made for."""
        return round(self.kind.capacity * self.scale)


@dataclass(frozen=True)
class VenueDay:
    """The true day of all venues, one element for each 10-minute step, sorted by venue and time; shape (n,) each.

    Attributes:
        venue: index of the venue.
        at_s: when the step begins.
        load: people inside during the step.
        entries: came in at its beginning.
        exits: left at its beginning; who is inside at closing leaves with the last step.
        denied: found the venue full.
        closes: whether it is the moment of closing, which lasts no time.
    """

    venue: Ints
    at_s: Floats
    load: Ints
    entries: Ints
    exits: Ints
    denied: Ints
    closes: np.ndarray[tuple[int], np.dtype[np.bool_]]


def venues(count: int, seed: int) -> list[Venue]:
    """Return `count` venues; from the seventh on they are further branches of the first six."""
    result = []
    for index in range(count):
        kind, branch = KINDS[index % len(KINDS)], index // len(KINDS)
        rng = stream(seed, Purpose.VENUES, index=index)
        move = rng.normal(0, 0.03, 2) if branch else np.zeros(2)
        result.append(
            Venue(
                index=index,
                site_id=kind.slug if not branch else f"{kind.slug}-{branch + 1}",
                name=kind.title if not branch else f"{kind.title} {branch + 1}",
                kind=kind,
                scale=1.0 if not branch else float(rng.uniform(0.5, 1.5)),
                lat=round(kind.spot[0] + float(move[0]), 6),
                lon=round(kind.spot[1] + float(move[1]), 6),
            )
        )
    return result


def run_venues(
    all_venues: list[Venue], conditions: DayConditions, seed: int, interventions: Sequence[Intervention] = ()
) -> VenueDay:
    """Run all venues for one day, with what is done about it."""
    rows: list[tuple[int, float, int, int, int, int, bool]] = []
    for venue in all_venues:
        rows += _run_venue(venue, conditions, seed, VenuePlan.of(venue.index, interventions))
    table = np.array(rows, dtype=np.float64).reshape(-1, 7)
    whole = table.astype(np.int64)
    return VenueDay(
        venue=whole[:, 0],
        at_s=table[:, 1],
        load=whole[:, 2],
        entries=whole[:, 3],
        exits=whole[:, 4],
        denied=whole[:, 5],
        closes=table[:, 6] > 0,
    )


def _run_venue(
    venue: Venue, conditions: DayConditions, seed: int, plan: VenuePlan
) -> list[tuple[int, float, int, int, int, int, bool]]:
    kind, on = venue.kind, conditions.service_date
    weekday = 6 if conditions.day_type == "holiday" else on.weekday()
    if kind.fill[weekday] == 0:
        return []
    luck = stream(seed, Purpose.VENUES, on, venue.index)
    level = np.exp(autoregressive(seed, Purpose.VENUE_LEVEL, on, persistence=0.5, sd=DAY_SD, index=venue.index))
    peak = venue.capacity * kind.fill[weekday] * float(level)
    expected = peak * _shape(kind, weekday >= 5)
    swell = luck.gamma(60.0, 1 / 60.0, len(expected))
    # Each step has its own luck: what is done about one hour leaves the others' as it was.
    steps = luck.spawn(len(expected))
    moved = dict.fromkeys(plan.moved, 0.0)
    stays = float(np.exp(-SAMPLE_S / kind.stay_s))
    rows = []
    load = 0
    for step, target in enumerate(expected):
        at_s = kind.opens_h * HOUR_S + step * SAMPLE_S
        before = expected[step - 1] if step else 0.0
        rain = (
            kind.rain_factor
            if conditions.raining[min(int((at_s - FIRST_BIN_S) / BIN_S), len(conditions.raining) - 1)]
            else 1.0
        )
        exits = int(steps[step].binomial(load, 1 - stays))
        coming = max(0.0, target - before * stays) * swell[step] * rain
        wanted = int(steps[step].poisson(coming))
        if moved:
            away = round(wanted * plan.staying_away(at_s))
            for one in plan.moved:
                moved[one] += away / len(moved) if one.from_s <= at_s < one.until_s else 0.0
            wanted += round(plan.coming_instead(at_s, moved)) - away
        entries = max(0, min(wanted, plan.places(at_s, round(OVERFULL * venue.capacity)) - load + exits))
        load += entries - exits
        rows.append((venue.index, at_s, load, entries, exits, wanted - entries, False))
    rows.append((venue.index, kind.closes_h * HOUR_S, 0, 0, load, 0, True))
    return rows


@lru_cache(maxsize=64)
def _shape(kind: VenueKind, is_weekend: bool) -> Floats:
    """Return the share of the day's peak that is inside at each step, shape (steps,)."""
    steps = int((kind.closes_h - kind.opens_h) * HOUR_S / SAMPLE_S)
    hours: Floats = kind.opens_h + (np.arange(steps, dtype=np.float64) + 0.5) * SAMPLE_S / HOUR_S
    curve = np.full(steps, 0.12)
    for hour, width, height in kind.weekend_peaks if is_weekend else kind.peaks:
        curve = curve + height * hour_of_peak(hours, hour, width)
    # It fills from empty and people drift out before the doors close.
    curve = (
        curve * np.clip((hours - kind.opens_h + 0.2) / 0.8, 0, 1) * np.clip((kind.closes_h - hours + 0.1) / 0.9, 0, 1)
    )
    return np.asarray(curve / curve.max())
