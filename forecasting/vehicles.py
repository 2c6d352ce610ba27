"""A single bus's forecast: its route's, carried over to its own capacity and adjusted by how both run today.

A bus is a poor series of its own: it changes routes, and is one sample of the route it runs on. What it adds is how it
runs today, which matters for the next hours and is worth less with every hour. Pure arithmetic: nothing here reads a
table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Judgement, to be replaced by measurement when a season of buses is at hand.
PRIOR_HOURS = 2.0  # so many hours of observation count as much as "today is as usual"
ROUTE_HALF_LIFE_H = 6.0  # rain or an event holds for hours
VEHICLE_HALF_LIFE_H = 3.0  # a gap before the bus closes sooner
LARGEST_RATIO = 2.0  # one odd hour must not triple a forecast
SMALLEST_LOAD_FACTOR = 0.02  # ratios of nearly empty to nearly empty mean nothing
VEHICLE_SPREAD = 0.12  # standard deviation of one bus's hourly load factor around its route's

_Z_80 = 1.2816  # half of the normal distribution's central 80 %, in standard deviations


@dataclass(frozen=True)
class Evidence:
    """What was observed against what was to be expected, as load factors, over `hours` of observation."""

    actual: float
    expected: float
    hours: float


@dataclass(frozen=True)
class RouteHour:
    """A route and direction's predicted load factor in one hour; `ahead_h` counts hours from now, 0 = the present."""

    ahead_h: int
    load_factor: float
    p10: float
    p90: float


@dataclass(frozen=True)
class VehicleHour:
    """A bus's predicted load in one hour, in people, with its 80 % band."""

    expected: float
    p10: float
    p90: float


def forecast_vehicle(
    hours: Sequence[RouteHour],
    capacity: float,
    route: Sequence[Evidence] = (),
    vehicle: Sequence[Evidence] = (),
    spread: float = VEHICLE_SPREAD,
) -> list[VehicleHour]:
    """The bus's forecast for each of the route's hours.

    Args:
        hours: what is predicted for its route and direction.
        capacity: people that fit into this bus.
        route: how the route runs today, against its forecast, since the forecast was made.
        vehicle: how this bus runs today, against its route.
        spread: standard deviation of a single bus's hourly load factor around its route's; a bus scatters more than
            the mean of all buses, so its band is the wider of the two, added in quadrature.
    """
    route_ratio, vehicle_ratio = running_ratio(route), running_ratio(vehicle)
    return [
        _one_hour(
            hour,
            capacity,
            faded(route_ratio, hour.ahead_h, ROUTE_HALF_LIFE_H)
            * faded(vehicle_ratio, hour.ahead_h, VEHICLE_HALF_LIFE_H),
            spread,
        )
        for hour in hours
    ]


def running_ratio(evidence: Sequence[Evidence]) -> float:
    """How much fuller than expected things run: 1 = as expected.

    The logarithms of the ratios are averaged by hours and drawn towards "as expected" by `PRIOR_HOURS`; each ratio
    lies within 1/`LARGEST_RATIO` and `LARGEST_RATIO`.
    """
    limit = math.log(LARGEST_RATIO)
    total = observed = 0.0
    for piece in evidence:
        if piece.hours <= 0 or piece.expected < SMALLEST_LOAD_FACTOR:
            continue
        ratio = max(piece.actual, SMALLEST_LOAD_FACTOR) / piece.expected
        total += piece.hours * min(max(math.log(ratio), -limit), limit)
        observed += piece.hours
    return math.exp(total / (observed + PRIOR_HOURS))


def faded(ratio: float, ahead_h: float, half_life_h: float) -> float:
    """The ratio so many hours ahead: its logarithm halves with every half-life, so that it tends to 1."""
    return float(ratio ** (0.5 ** (ahead_h / half_life_h)))


def _one_hour(hour: RouteHour, capacity: float, ratio: float, spread: float) -> VehicleHour:
    expected = hour.load_factor * ratio
    below = math.hypot((hour.load_factor - hour.p10) * ratio, _Z_80 * spread)
    above = math.hypot((hour.p90 - hour.load_factor) * ratio, _Z_80 * spread)
    return VehicleHour(expected * capacity, max(0.0, expected - below) * capacity, (expected + above) * capacity)
