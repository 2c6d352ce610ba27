"""The buses: kinds, which route is whose home, how many run when, and who is on duty on a day."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date

import numpy as np

from ingest.simulator.clock import HOUR_S, NIGHT_ENDS_S, SERVICE_ENDS_S, SERVICE_STARTS_S
from ingest.simulator.network import FEEDER_LETTERS, Route
from ingest.simulator.noise import Purpose, stream

CRUISE_KMH = 23.0
"""Between stations on a free lane; stops are counted apart."""
MEAN_STOP_S = 26.0
LAYOVER_S = 270.0
HEADWAY_PEAK_S = 300
HEADWAY_OFFPEAK_S = 600
PEAK_WINDOWS_S = ((5.6 * HOUR_S, 9.3 * HOUR_S), (15.4 * HOUR_S, 19.4 * HOUR_S))
"""When the buses that only run in the peaks may leave a terminal."""
BASE_SHARE = 0.62
WEEKEND_SHARE = 0.6
NIGHT_SHARE = 0.3
"""Share of a corridor's peak buses that go on through the night; feeders sleep."""
BUSES_PER_FEEDER = 20
LENT_SHARE = 0.02
"""Share of the fleet that works on another route for a day: why a single bus is a poor series."""


@dataclass(frozen=True)
class BusKind:
    """A kind of bus; capacity is seats and standing room together."""

    name: str
    capacity: int
    seats: int


KINDS = {
    kind.name: kind
    for kind in (
        BusKind("single", 80, 30),
        BusKind("maxi", 100, 43),
        BusKind("articulated", 115, 40),
        BusKind("low-floor", 49, 31),
    )
}


@dataclass(frozen=True)
class Bus:
    """One vehicle. `index` is its place in the fleet and the index of its device."""

    index: int
    site_id: str
    kind: BusKind
    home_route: int


@dataclass(frozen=True)
class Service:
    """What a route offers: its fleet and the headways that this fleet allows.

    Attributes:
        route: the route.
        fleet: indices of its buses, the standby ones included.
        spare_buses: how many of them stand by on a weekday.
        peak_buses: on the road in the peaks of a weekday.
        base_buses: on the road all day on a weekday.
        weekend_buses: on the road all day on a weekend or holiday.
        night_buses: of those that run all day, how many go on through the night.
        cycle_s: time of a round trip with its two layovers.
        mean_capacity: of the fleet.
    """

    route: Route
    fleet: tuple[int, ...]
    spare_buses: int
    peak_buses: int
    base_buses: int
    weekend_buses: int
    night_buses: int
    cycle_s: float
    mean_capacity: float

    @property
    def headway_peak_s(self) -> int:
        """Planned peak headway: what the fleet allows, but no denser than every 5 minutes."""
        return max(HEADWAY_PEAK_S, round(self.cycle_s / self.peak_buses))

    @property
    def headway_offpeak_s(self) -> int:
        """Planned off-peak headway of a weekday, no denser than every 10 minutes."""
        return max(HEADWAY_OFFPEAK_S, round(self.cycle_s / self.base_buses))

    @property
    def headway_weekend_s(self) -> int:
        """Planned headway of weekends and holidays."""
        return max(HEADWAY_OFFPEAK_S, round(self.cycle_s / self.weekend_buses))

    @property
    def headway_night_s(self) -> int:
        """Planned headway of the night where there is a night service."""
        return round(self.cycle_s / self.night_buses)

    def last_departure_s(self, *, at_night: bool) -> float:
        """Until when a bus that can leave a terminal does so; then it goes to the depot."""
        return NIGHT_ENDS_S - (self.cycle_s / 2 - LAYOVER_S) if at_night else SERVICE_ENDS_S


def leg_times_s(route: Route) -> list[float]:
    """Return the free-flow running time of each leg of direction 0, stops not counted."""
    return [float(km) / CRUISE_KMH * HOUR_S for km in route.leg_km]


def cycle_s(route: Route) -> float:
    """Return a round trip's time in ordinary traffic with its stops and two layovers."""
    one_way = sum(leg_times_s(route)) * 1.12 + route.stops * MEAN_STOP_S
    return 2 * (one_way + LAYOVER_S)


def feeder_count(buses: int, trunk: list[Route]) -> int:
    """Return how many feeder routes a fleet fills after the corridors have all that their headway asks for."""
    surplus = buses - sum(_corridor_limit(route) for route in trunk)
    if surplus <= 0:
        return 0
    return min(math.ceil(surplus / BUSES_PER_FEEDER), len(trunk) * len(FEEDER_LETTERS))


def allocate(buses: int, routes: list[Route], seed: int) -> tuple[list[Bus], list[Service]]:
    """Give every route its buses.

    Args:
        buses: size of the fleet.
        routes: corridors first, then feeders.
        seed: decides which kinds stand where.

    Returns:
        All buses in the order of their index, and one service for each route in the order given.
    """
    rng = stream(seed, Purpose.FLEET)
    fleet: list[Bus] = []
    services = []
    for route, size in zip(routes, _sizes(buses, routes), strict=True):
        kinds = [KINDS[str(name)] for name in rng.choice(route.bus_kinds, size)]
        first = len(fleet)
        fleet += [Bus(first + n, f"TJ-{first + n + 1:04d}", kind, route.index) for n, kind in enumerate(kinds)]
        services.append(_service(route, fleet[first:]))
    return fleet, services


def duty_roster(services: list[Service], is_workday: bool, seed: int, on: date) -> list[list[int]]:
    """Return for every service the buses on duty, those that run all day first.

    The standby buses change from day to day, and a few buses are lent to another route.
    """
    rng = stream(seed, Purpose.ROSTER, on)
    rosters = [[int(bus) for bus in rng.permutation(service.fleet)] for service in services]
    total = sum(len(roster) for roster in rosters)
    for _ in range(int(rng.binomial(total, LENT_SHARE / 2))):
        one, other = rng.choice(len(rosters), 2, replace=False)
        a, b = int(rng.integers(len(rosters[one]))), int(rng.integers(len(rosters[other])))
        rosters[one][a], rosters[other][b] = rosters[other][b], rosters[one][a]
    return [
        roster[: service.peak_buses if is_workday else service.weekend_buses]
        for service, roster in zip(services, rosters, strict=True)
    ]


def in_peak_window(second: float) -> bool:
    """Tell whether peak buses run at this second of a weekday."""
    return any(start <= second < end for start, end in PEAK_WINDOWS_S)


def next_peak_window(second: float) -> float | None:
    """Return when the next peak window opens after this second, or nothing if the day has no more."""
    return next((start for start, _ in PEAK_WINDOWS_S if start > second), None)


def _corridor_limit(route: Route) -> int:
    running = math.ceil(cycle_s(route) / HEADWAY_PEAK_S)
    return running + max(1, round(0.1 * running))


def _sizes(buses: int, routes: list[Route]) -> list[int]:
    trunk = [route for route in routes if route.is_corridor]
    limits = np.array([_corridor_limit(route) for route in trunk])
    if len(routes) == len(trunk):
        # Busy corridors run denser: the fleet follows the cycle time and how full the buses would get. Each has two
        # buses for certain; the largest remainders get what rounding leaves.
        weight = np.array([cycle_s(route) * route.peak_load_factor**1.5 for route in trunk])
        share = 2 + (buses - 2 * len(trunk)) * weight / weight.sum()
        sizes = np.floor(share).astype(int)
        for position in np.argsort(sizes - share, kind="stable")[: buses - int(sizes.sum())]:
            sizes[position] += 1
        return [int(size) for size in sizes]
    count = len(routes) - len(trunk)
    surplus = buses - int(limits.sum())
    return [int(n) for n in limits] + [surplus // count + (n < surplus % count) for n in range(count)]


def _service(route: Route, buses: list[Bus]) -> Service:
    size = len(buses)
    spare = max(1, round(0.1 * size)) if size >= 3 else 0
    peak = size - spare
    return Service(
        route=route,
        fleet=tuple(bus.index for bus in buses),
        spare_buses=spare,
        peak_buses=peak,
        base_buses=max(1, round(BASE_SHARE * peak)),
        weekend_buses=max(1, round(WEEKEND_SHARE * peak)),
        night_buses=max(1, round(NIGHT_SHARE * peak)) if route.is_corridor else 0,
        cycle_s=cycle_s(route),
        mean_capacity=sum(bus.kind.capacity for bus in buses) / size,
    )


def first_departures(cycle: float, buses: int) -> list[tuple[float, int]]:
    """Return when and at which terminal (0 or 1) each all-day bus starts, evenly spread over the cycle."""
    starts = []
    for n in range(buses):
        offset = cycle * n / buses
        terminal = 0 if offset < cycle / 2 else 1
        starts.append((SERVICE_STARTS_S + offset - terminal * cycle / 2, terminal))
    return starts
