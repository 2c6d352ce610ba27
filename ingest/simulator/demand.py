"""Who wants to travel from where to where, and when they come to the stop.

Trips follow a gravity matrix, T(i, j) ∝ O(i)·D(j): people of a stop choose among all others by their attraction. In the
morning homes send and work attracts, in the evening the other way round; the directional peaks follow from that. As all
passengers on board choose alike, the share that alights at a stop is D(j) over the attraction of all stops still ahead,
whatever stop they came from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ingest.simulator.clock import BIN_HOURS, BIN_S, BINS, DAY_BINS, Floats, hour_of_peak
from ingest.simulator.conditions import DayConditions, morning_share, volume_curve
from ingest.simulator.fleet import Service
from ingest.simulator.network import CENTRE, Route, distance_km
from ingest.simulator.noise import Purpose, stream

STOP_GAMMA_SHAPE = 14.0
"""Spread of a stop's half-hourly rate around its expectation; Poisson arrivals on top of it are overdispersed."""
ROUTE_GAMMA_SHAPE = 150.0
ROUTE_DAY_SD = 0.035
HALF_HOUR_BINS = 3


@dataclass(frozen=True)
class RouteDemand:
    """The lasting demand of one route.

    Attributes:
        homes: shape (stops,), how many trips start or end at home here.
        places: shape (stops,), work, school and shops.
        persons_per_s: trips per second over the whole route at volume 1.
    """

    homes: Floats
    places: Floats
    persons_per_s: float


@dataclass(frozen=True)
class DayDemand:
    """One route's demand on one day, the same whatever the buses do.

    Attributes:
        arrived: shape (2, stops, bins + 1), people who have come to the stop by the start of each bin.
        alight_share: shape (2, bins, stops), share of those on board who get off, 1 at the last stop.

    Stops are counted in the order of travel of each direction.
    """

    arrived: Floats
    alight_share: Floats


def route_demand(service: Service, seed: int) -> RouteDemand:
    """Lay homes and work along a route and scale its demand to the fleet that serves it.

    The scale makes the mean load at the busiest point of an ordinary workday's peak the route's `peak_load_factor`, so
    that a small fleet carries a small city and is as full as a large one.
    """
    route = service.route
    rng = stream(seed, Purpose.NETWORK, index=10_000 + route.index)
    far = distance_km(route.lats, route.lons, CENTRE)
    homes = (0.35 + 1.0 - np.exp(-far / 5.0)) * rng.lognormal(0, 0.35, route.stops)
    places = (0.18 + 1.6 * np.exp(-0.5 * (far / 4.5) ** 2)) * rng.lognormal(0, 0.4, route.stops)
    homes[[0, -1]] *= 1.8  # interchanges: feeders bring people here
    places[[0, -1]] *= 1.4
    unscaled = RouteDemand(homes / homes.sum(), places / places.sum(), 1.0)
    busiest = _busiest_mean_load(unscaled, route, service.headway_peak_s)
    scale = route.peak_load_factor * service.mean_capacity / busiest
    return RouteDemand(unscaled.homes, unscaled.places, scale)


def day_demand(demand: RouteDemand, route: Route, conditions: DayConditions, seed: int) -> DayDemand:
    """Draw the arrivals of one route on one day: Poisson, with gamma-distributed rates."""
    rng = stream(seed, Purpose.ARRIVALS, conditions.service_date, route.index)
    origins, attraction = _ends_of_trips(demand, conditions.morning)
    for event in conditions.events:
        if event.route == route.index:
            stop = round(event.stop_share * (route.stops - 1))
            coming = hour_of_peak(BIN_HOURS, event.starts_h - 0.6, 0.4)
            leaving = hour_of_peak(BIN_HOURS, event.ends_h + 0.4, 0.35)
            attraction[:, stop] *= 1 + event.strength * coming
            origins[:, stop] += event.strength * 0.06 * leaving
    level = conditions.level * float(np.exp(rng.normal(0, ROUTE_DAY_SD)))
    usual = demand.persons_per_s * BIN_S * level
    rates, alight_share = _by_direction(origins, attraction)
    arrivals = np.zeros((2, BINS, route.stops))
    arrivals[:, :DAY_BINS] = _drawn(rng, rates[:, :DAY_BINS], usual * conditions.volume[:DAY_BINS])
    if route.is_corridor:  # the night has luck of its own: the day is the same without it
        rng = stream(seed, Purpose.NIGHT_ARRIVALS, conditions.service_date, route.index)
        arrivals += _drawn(rng, rates, usual * conditions.night_volume)
    arrived = np.zeros((2, route.stops, BINS + 1))
    arrived[:, :, 1:] = np.cumsum(arrivals, axis=1).transpose(0, 2, 1)
    return DayDemand(arrived, alight_share)


def _drawn(rng: np.random.Generator, rates: Floats, volume: Floats) -> Floats:
    """Draw arrivals of shape (2, bins, stops) from rates of that shape and a volume of shape (bins,)."""
    _, bins, stops = rates.shape
    half_hours = bins // HALF_HOUR_BINS
    swell = np.repeat(rng.gamma(ROUTE_GAMMA_SHAPE, 1 / ROUTE_GAMMA_SHAPE, half_hours), HALF_HOUR_BINS)
    rough = rng.gamma(STOP_GAMMA_SHAPE, 1 / STOP_GAMMA_SHAPE, (2, half_hours, stops))
    expected = rates * (volume * swell)[None, :, None] * np.repeat(rough, HALF_HOUR_BINS, axis=1)
    return np.asarray(rng.poisson(expected), dtype=np.float64)


def _ends_of_trips(demand: RouteDemand, morning: Floats) -> tuple[Floats, Floats]:
    """Return origins and attraction of each stop in each bin, both of shape (bins, stops)."""
    out = morning[:, None]
    return out * demand.homes + (1 - out) * demand.places, out * demand.places + (1 - out) * demand.homes


def _by_direction(origins: Floats, attraction: Floats) -> tuple[Floats, Floats]:
    """Return arrival rates (of 1 trip per route) and alighting shares, both of shape (2, bins, stops)."""
    rates, shares = [], []
    for step in (1, -1):
        o, d = origins[:, ::step], attraction[:, ::step]
        ahead = np.cumsum(d[:, ::-1], axis=1)[:, ::-1]
        shares.append(d / ahead)
        rates.append(o * (ahead - d) / d.sum(axis=1, keepdims=True))
        rates[-1][:, -1] = 0.0  # nobody waits at the last stop; the difference above is only almost zero
    return np.stack(rates), np.stack(shares)


def _busiest_mean_load(demand: RouteDemand, route: Route, headway_s: float) -> float:
    """Return the highest mean load on an ordinary workday if one trip per second were made at volume 1."""
    volume, morning = volume_curve(1, "workday"), morning_share("workday")
    rates, shares = _by_direction(*_ends_of_trips(demand, morning))
    highest = 0.0
    for direction in (0, 1):
        load = np.zeros(BINS)
        for stop in range(route.stops):
            load = load * (1 - shares[direction, :, stop]) + rates[direction, :, stop] * volume * headway_s
            in_peak = (BIN_HOURS > 6.5) & (BIN_HOURS < 8.5) | (BIN_HOURS > 16.5) & (BIN_HOURS < 18.5)
            highest = max(highest, float(load[in_peak].max()))
    return highest
