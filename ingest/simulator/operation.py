"""Buses on a route for a day: they run, stop, take on who fits, and get into each other's way.

One bus late finds more people waiting, stops longer and gets later, while the next one finds fewer and catches up:
bunching needs no rule of its own. The loop is plain Python on purpose: each visit depends on the one before at the same
stop and on the one before of the same bus, and scalar arithmetic is the fastest way through such a chain.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from ingest.simulator.clock import BIN_S, BINS, FIRST_BIN_S, SERVICE_ENDS_S, SERVICE_STARTS_S, Floats, Ints
from ingest.simulator.conditions import DayConditions
from ingest.simulator.demand import DayDemand
from ingest.simulator.fleet import (
    PEAK_WINDOWS_S,
    Bus,
    Service,
    first_departures,
    in_peak_window,
    leg_times_s,
    next_peak_window,
)
from ingest.simulator.interventions import ExtraVehicle, RoutePlan
from ingest.simulator.noise import Purpose, stream

DOORS_S = 9.0
BOARDING_S = 0.75
ALIGHTING_S = 0.5
CROWDED_DWELL_FACTOR = 0.6
"""How much longer everybody takes in a full bus."""
MIN_GAP_S = 12.0
"""Buses of one lane cannot pass: the next one comes in when the one before has left."""
TURN_BACK_S, TURN_BACK_SPREAD_S = 120.0, 90.0
RUNNING_SIGMA = 0.11
HEADWAY_HELD = 0.92
"""Share of the planned headway that the terminal waits for before it lets the next bus go."""

Visit = tuple[int, int, int, int, int, float, int, int, int, int, int]
"""The fields of `Visits`, in its order."""


@dataclass(frozen=True)
class Visits:
    """What truly happened at every stop visit of a day, one element each, all of shape (n,).

    Attributes:
        bus: index of the bus.
        route: index of the route.
        direction: 0 or 1.
        trip: number of the trip on its route and direction, from 0.
        stop: place of the stop in the order of travel, from 0.
        departed_s: seconds of the service day when the doors closed; at the last stop, when all were off.
        boardings: people who got on.
        alightings: people who got off.
        load: on board after the visit.
        denied: people left behind for the first time.
        capacity: places of the bus on this trip.
    """

    bus: Ints
    route: Ints
    direction: Ints
    trip: Ints
    stop: Ints
    departed_s: Floats
    boardings: Ints
    alightings: Ints
    load: Ints
    denied: Ints
    capacity: Ints

    def __len__(self) -> int:
        return len(self.bus)

    def take(self, rows: Ints) -> Visits:
        """Return the visits at some positions, in that order."""
        return Visits(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    @classmethod
    def of(cls, rows: list[Visit]) -> Visits:
        """Build the columns from the loop's rows, sorted by bus and time."""
        table = np.array(rows, dtype=np.float64).reshape(-1, 11)
        table = table[np.lexsort((table[:, 5], table[:, 0]))]
        whole = table.astype(np.int64)
        return cls(
            bus=whole[:, 0],
            route=whole[:, 1],
            direction=whole[:, 2],
            trip=whole[:, 3],
            stop=whole[:, 4],
            departed_s=table[:, 5].round(3),
            boardings=whole[:, 6],
            alightings=whole[:, 7],
            load=whole[:, 8],
            denied=whole[:, 9],
            capacity=whole[:, 10],
        )


_STANDBY = -1
"""Whichever standby bus is in the depot then."""


class _Start(NamedTuple):
    """A trip that waits to begin, in the order of `order_s`: at a terminal, or after a short turn at a later stop.

    `extra` is what an extra bus was sent for.
    """

    order_s: float
    bus: int
    terminal: int
    first_stop: int = 0
    resumes_s: float = 0.0
    extra: ExtraVehicle | None = None


@dataclass
class _Lane:
    """One direction of a route while the day runs; lists, because the loop reads single numbers.

    `arrived`, `boarded`, `refused` and `last_departed_s` are by stop, `alight_share` is by bin and stop, `running` by
    bin. Each lane has its own luck, and demand is drawn before the buses run: a trip more or a longer hold on one lane
    changes only what follows from it.
    """

    route: int
    direction: int
    rng: np.random.Generator
    extra_rng: np.random.Generator
    running: list[float]
    legs_s: list[float]
    arrived: list[list[float]]
    alight_share: list[list[float]]
    boarded: list[int]
    refused: list[int]
    last_departed_s: list[float]
    trips: int = 0


def run_route(
    service: Service,
    duty: list[int],
    fleet: list[Bus],
    demand: DayDemand,
    conditions: DayConditions,
    seed: int,
    plan: RoutePlan | None = None,
    spare: Sequence[int] = (),
) -> list[Visit]:
    """Run one route for one day and return its stop visits in the order in which trips began.

    Args:
        service: the route and its planned headways.
        duty: indices of the buses on duty; on a workday those behind `service.base_buses` run in the peaks only, and
            the first `service.night_buses` go on through the night.
        fleet: all buses by index.
        demand: who comes to which stop when, whatever the buses do.
        conditions: running times and the kind of day.
        seed: the city's seed.
        plan: what is done about the day beyond the timetable; used up here.
        spare: indices of the buses that stand by for extra trips.
    """
    plan = plan or RoutePlan()
    lanes = _lanes(service, demand, conditions, seed)
    rows: list[Visit] = []
    peak_only = set(duty[service.base_buses :]) if conditions.is_workday else set()
    nightly = set(duty[: service.night_buses])
    rng = stream(seed, Purpose.PULL_OUT, conditions.service_date, service.route.index)
    in_depot = list(spare)
    queue = [_Start(*start) for start in _pull_outs(service, duty, peak_only, rng)]
    queue += [_Start(one.from_s, _STANDBY, one.direction, extra=one) for one in plan.extra]
    heapq.heapify(queue)
    while queue:
        start = heapq.heappop(queue)
        if start.extra is not None and start.bus == _STANDBY:
            if not in_depot:
                continue
            plan.running.append(start.extra)
            start = start._replace(bus=in_depot.pop(0))
        ready_s, bus, terminal = start.order_s, start.bus, start.terminal
        lane = lanes[terminal]
        luck = lane.extra_rng if start.extra or start.resumes_s else lane.rng
        if start.first_stop:
            leaves_s = ready_s
        else:
            leaves_s = max(
                ready_s, lane.last_departed_s[0] + HEADWAY_HELD * _headway_s(service, conditions, ready_s, plan)
            )
            if start.extra is not None and leaves_s >= start.extra.until_s:
                in_depot.append(bus)
                continue
            if start.extra is None and leaves_s >= service.last_departure_s(at_night=bus in nightly):
                continue
            if bus in peak_only and not in_peak_window(leaves_s):
                opens_s = next_peak_window(leaves_s)
                if opens_s is not None:
                    heapq.heappush(queue, _Start(opens_s + (leaves_s % service.headway_peak_s), bus, terminal))
                continue
        capacity = plan.capacity(terminal, leaves_s, fleet[bus].kind.capacity)
        ends_s, turned = _run_trip(rows, lane, start, capacity, leaves_s, luck, plan)
        # Drawn after a short turn too, or all trips to come would have the luck of others.
        back_s = ends_s + TURN_BACK_S + TURN_BACK_SPREAD_S * luck.random()
        heapq.heappush(queue, turned or _Start(back_s, bus, 1 - terminal, extra=start.extra))
    return rows


def _lanes(service: Service, demand: DayDemand, conditions: DayConditions, seed: int) -> list[_Lane]:
    route, legs = service.route, leg_times_s(service.route)
    return [
        _Lane(
            route=route.index,
            direction=direction,
            rng=stream(seed, Purpose.RUNNING, conditions.service_date, 2 * route.index + direction),
            extra_rng=stream(seed, Purpose.EXTRA_TRIPS, conditions.service_date, 2 * route.index + direction),
            running=conditions.running.tolist(),
            legs_s=way,
            arrived=demand.arrived[direction].tolist(),
            alight_share=demand.alight_share[direction].tolist(),
            boarded=[0] * route.stops,
            refused=[0] * route.stops,
            last_departed_s=[-1e9] * route.stops,
        )
        for direction, way in enumerate((legs, legs[::-1]))
    ]


def _pull_outs(
    service: Service, duty: list[int], peak_only: set[int], rng: np.random.Generator
) -> list[tuple[float, int, int]]:
    """Return when, which bus, from which terminal: all-day buses over one cycle, peak buses into their first window."""
    all_day = [bus for bus in duty if bus not in peak_only]
    late = [bus for bus in duty if bus in peak_only]
    starts = [
        (start_s, bus, terminal)
        for bus, (start_s, terminal) in zip(all_day, first_departures(service.cycle_s, len(all_day)), strict=True)
    ]
    wait_s = PEAK_WINDOWS_S[0][0] - SERVICE_STARTS_S
    starts += [
        (start_s + wait_s, bus, terminal)
        for bus, (start_s, terminal) in zip(late, first_departures(service.cycle_s, len(late)), strict=True)
    ]
    return [(start_s + 60.0 * rng.random(), bus, terminal) for start_s, bus, terminal in starts]


def _headway_s(service: Service, conditions: DayConditions, second: float, plan: RoutePlan) -> float:
    """The planned headway, shared by the buses of the timetable and the extra ones."""
    if second >= SERVICE_ENDS_S and service.night_buses:
        return service.headway_night_s * plan.denser(second, service.night_buses)
    if not conditions.is_workday:
        return service.headway_weekend_s * plan.denser(second, service.weekend_buses)
    if in_peak_window(second):
        return service.headway_peak_s * plan.denser(second, service.peak_buses)
    return service.headway_offpeak_s * plan.denser(second, service.base_buses)


def _run_trip(
    rows: list[Visit],
    lane: _Lane,
    start: _Start,
    capacity: int,
    leaves_s: float,
    rng: np.random.Generator,
    plan: RoutePlan,
) -> tuple[float, _Start | None]:
    """Run one bus to the far terminal and append its visits; return when it is empty, and where it begins again.

    It begins again on the same lane only after a short turn.
    """
    stops = len(lane.boarded)
    noise = np.exp(RUNNING_SIGMA * rng.standard_normal(stops)).tolist()
    choice = rng.standard_normal(stops).tolist()
    now_s, load = leaves_s, 0
    passed_s = [leaves_s] * stops
    turn = None
    for stop in range(start.first_stop, stops):
        if stop == start.first_stop and stop:
            now_s = max(start.resumes_s, lane.last_departed_s[stop] + MIN_GAP_S)
        elif stop:
            bin_now = _bin(now_s)[0]
            now_s += lane.legs_s[stop - 1] * lane.running[bin_now] * noise[stop]
            now_s = max(now_s, lane.last_departed_s[stop] + MIN_GAP_S)
            now_s += plan.take_hold(lane.direction, start.bus, now_s) if plan.holds else 0.0
            turn = plan.take_turn(lane.direction, start.bus, now_s, stop) if plan.turns else None
        bin_now, part = _bin(now_s)
        arriving = load if stop == stops - 1 else _alighting(load, lane.alight_share[bin_now][stop], choice[stop])
        off = arriving if turn is None else load
        arrived = lane.arrived[stop]
        here = int(arrived[bin_now] + (arrived[bin_now + 1] - arrived[bin_now]) * part) - lane.boarded[stop]
        willing = here - int(here * plan.waiting_share(lane.direction, start.bus, now_s)) if plan.waits else here
        on = min(willing, capacity - load + off) if turn is None else 0
        load += on - off
        # First come, first served: who was refused before boards first, so only the rest of those left is new.
        denied = max(0, willing - on - max(0, lane.refused[stop] - on))
        lane.boarded[stop] += on - (off - arriving)  # who had to get off waits here with the others
        lane.refused[stop] = willing - on
        if stop:
            slow = 1.0 + CROWDED_DWELL_FACTOR * load / capacity
            now_s += DOORS_S + (BOARDING_S * on + ALIGHTING_S * off) * slow
        lane.last_departed_s[stop] = passed_s[stop] = now_s
        rows.append((start.bus, lane.route, lane.direction, lane.trips, stop, now_s, on, off, load, denied, capacity))
        if turn is not None:
            break
    lane.trips += 1
    if turn is None:
        return now_s, None
    resumes_s = now_s + TURN_BACK_S + sum(lane.legs_s[turn.to_stop : stop]) * lane.running[_bin(now_s)[0]]
    # In the queue it stands where a bus from the terminal would that comes to the stop at that time.
    order_s = resumes_s - (passed_s[turn.to_stop] - leaves_s)
    return now_s, _Start(order_s, start.bus, start.terminal, turn.to_stop, resumes_s, start.extra)


def _bin(second: float) -> tuple[int, float]:
    """Return the bin of an instant and how far into it, from 0 to below 1; the last bin holds all that is later."""
    place = (second - FIRST_BIN_S) / BIN_S
    if place >= BINS:
        return BINS - 1, 1.0
    number = int(place)
    return number, place - number


def _alighting(load: int, share: float, chance: float) -> int:
    """Draw how many get off: the normal approximation of a binomial, which needs no random call in the loop."""
    mean = load * share
    return min(load, max(0, int(mean + chance * (mean * (1.0 - share)) ** 0.5 + 0.5)))
