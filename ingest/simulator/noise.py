"""Random streams that belong to a seed, a date and a purpose, so that any day can be drawn alone."""

from __future__ import annotations

from datetime import date
from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a random stream is for; the number is part of the seed, so it must not change."""

    NETWORK = 1
    FLEET = 2
    DEVICES = 3
    DEMAND_LEVEL = 4
    WEATHER = 5
    EVENTS = 6
    ROSTER = 7
    ARRIVALS = 8
    RUNNING = 9
    SENSORS = 10
    TRANSPORT = 11
    VENUES = 12
    AREAS = 13
    STATIONS = 14
    VENUE_LEVEL = 15
    AREA_LEVEL = 16
    TELEMETRY = 17
    MALFORMED = 18
    PULL_OUT = 19
    EXTRA_TRIPS = 20
    NIGHT_ARRIVALS = 21


def stream(seed: int, purpose: Purpose, on: date | None = None, index: int = 0) -> np.random.Generator:
    """Return the generator of one purpose, on one date (or of the city itself), for one part of it."""
    return np.random.default_rng([seed, int(purpose), on.toordinal() if on else 0, index])


def autoregressive(
    seed: int, purpose: Purpose, on: date, persistence: float, sd: float, index: int = 0, memory_days: int = 21
) -> float:
    """Return a day's AR(1) deviation without knowing the day before.

    The process x(d) = φ x(d−1) + ε(d) is its own weighted past, x(d) = Σ φⁱ ε(d−i); each ε belongs to its date. What is
    older than `memory_days` weighs less than φ^21 and is left out.

    Args:
        seed: the city's seed.
        purpose: the stream of the innovations.
        on: the day.
        persistence: φ, between 0 and 1.
        sd: stationary standard deviation of x.
        index: which of several such processes.
        memory_days: how many innovations are summed.
    """
    ordinal = on.toordinal()
    innovations = [
        np.random.default_rng([seed, int(purpose), ordinal - back, index]).standard_normal() * persistence**back
        for back in range(min(memory_days, ordinal))
    ]
    return float(sum(innovations) * sd * np.sqrt(1 - persistence**2))
