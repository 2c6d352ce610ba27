"""Road areas that a camera watches: vehicles in view every five minutes, day and night."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import numpy as np

from ingest.simulator.clock import HOUR_S, Floats, Ints, hour_of_peak
from ingest.simulator.conditions import DayConditions
from ingest.simulator.noise import Purpose, autoregressive, stream

SAMPLE_S = 300.0
HOLD_S = 600
LABELS = ("light", "moderate", "heavy")
LABEL_BOUNDS = (0.4, 0.7)

_SPOTS = (
    ("Jalan Sudirman", -6.2240, 106.8090, 260),
    ("Bundaran HI", -6.1950, 106.8230, 220),
    ("Jalan Gatot Subroto", -6.2360, 106.8240, 300),
    ("Simpang Grogol", -6.1670, 106.7900, 240),
    ("Simpang Cawang", -6.2450, 106.8710, 280),
    ("Jalan Daan Mogot", -6.1600, 106.7400, 180),
    ("Pelabuhan Priok", -6.1120, 106.8810, 200),
    ("Jalan TB Simatupang", -6.2920, 106.8000, 250),
)


@dataclass(frozen=True)
class Area:
    """One watched area; its site is named like its stream. `capacity` is the most that fits into view."""

    index: int
    stream_id: str
    location: str
    lat: float
    lon: float
    capacity: int


@dataclass(frozen=True)
class AreaDay:
    """What is in view, sorted by area and time; shape (n,) each.

    Attributes:
        area: index of the area.
        at_s: time of the sample.
        total: vehicles in view.
    """

    area: Ints
    at_s: Floats
    total: Ints


def areas(count: int, seed: int) -> list[Area]:
    """Return `count` areas; from the ninth on they are further spots near the first eight."""
    result = []
    for index in range(count):
        name, lat, lon, capacity = _SPOTS[index % len(_SPOTS)]
        branch = index // len(_SPOTS)
        move = stream(seed, Purpose.AREAS, index=index).normal(0, 0.02, 2) if branch else np.zeros(2)
        result.append(
            Area(
                index=index,
                stream_id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"plimsoll-simulator/{seed}/area/{index}")),
                location=f"{name}, Jakarta" if not branch else f"{name} {branch + 1}, Jakarta",
                lat=round(lat + float(move[0]), 6),
                lon=round(lon + float(move[1]), 6),
                capacity=capacity,
            )
        )
    return result


def watch_areas(all_areas: list[Area], conditions: DayConditions, seed: int) -> AreaDay:
    """Count every area through one day."""
    at_s = np.arange(0, 24 * HOUR_S, SAMPLE_S)
    totals = [_totals(area, at_s / HOUR_S, conditions, seed) for area in all_areas]
    return AreaDay(
        area=np.repeat(np.arange(len(all_areas)), len(at_s)),
        at_s=np.tile(at_s, len(all_areas)),
        total=np.concatenate(totals) if totals else np.zeros(0, dtype=np.int64),
    )


def _totals(area: Area, hours: Floats, conditions: DayConditions, seed: int) -> Ints:
    on = conditions.service_date
    rng = stream(seed, Purpose.AREAS, on, area.index)
    if conditions.is_workday:
        curve = (
            0.10
            + 0.36 * hour_of_peak(hours, 12.5, 4.5)
            + 0.38 * hour_of_peak(hours, 7.6, 1.1)
            + 0.42 * hour_of_peak(hours, 17.8, 1.5)
        )
    else:
        curve = 0.09 + 0.40 * hour_of_peak(hours, 15.0, 4.2)
    level = np.exp(autoregressive(seed, Purpose.AREA_LEVEL, on, persistence=0.5, sd=0.06, index=area.index))
    # Traffic ebbs and swells within the hour: smooth the noise over half an hour.
    ripple = np.convolve(rng.normal(0, 0.16, len(hours) + 5), np.ones(6) / 6, mode="valid")
    return np.minimum(rng.poisson(area.capacity * curve * float(level) * np.exp(ripple)), area.capacity).astype(
        np.int64
    )
