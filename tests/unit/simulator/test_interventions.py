"""The city reacts to what is done about a day, and to nothing else."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from ingest.simulator import operation
from ingest.simulator.city import City
from ingest.simulator.conditions import conditions_of
from ingest.simulator.config import CityConfig
from ingest.simulator.experiment import Experiment
from ingest.simulator.interventions import (
    DoorCap,
    ExtraVehicle,
    Hold,
    LargerVehicles,
    QuietHours,
    ShortTurn,
    WaitForNext,
)
from ingest.simulator.operation import Visit, Visits, _Lane

ON = date(2026, 3, 3)  # a Tuesday
H = 3600.0


@pytest.fixture(scope="module")
def city() -> City:
    return City.build(CityConfig(seed=7, buses=90))


@pytest.fixture
def day(city: City) -> Experiment:
    return Experiment(city, ON)


def visits(day: Experiment, route: int) -> Visits:
    return day._visits[route]


def busiest_route(day: Experiment) -> int:
    return int(np.argmax([Experiment.crowded_minutes_of_buses(_only(day, route)) for route in range(14)]))


def _only(day: Experiment, route: int) -> Experiment:
    alone = object.__new__(Experiment)
    alone._visits = [day._visits[route]]
    return alone


def test_a_day_without_intervention_is_the_day_of_the_stream(city: City, day: Experiment) -> None:
    conditions = conditions_of(ON, city.config.seed, len(city.services))
    everything = city.run_buses(conditions)
    for route in range(len(city.services)):
        alone = visits(day, route)
        here = everything.take(np.flatnonzero(everything.route == route))
        assert np.array_equal(alone.departed_s, here.departed_s) and np.array_equal(alone.load, here.load)


def test_an_extra_vehicle_carries_people_relieves_its_route_and_touches_no_other(day: Experiment) -> None:
    route = busiest_route(day)
    before = list(day._visits)
    crowded = day.crowded_minutes_of_buses()
    day.act(ExtraVehicle(route, 0, 6.5 * H, 9.5 * H))
    after = visits(day, route)
    extra = set(after.bus.tolist()) - set(before[route].bus.tolist())
    assert len(extra) == 1
    its = after.take(np.flatnonzero(after.bus == extra.pop()))
    assert its.departed_s.min() >= 6.5 * H and its.boardings.sum() > 0
    assert its.departed_s[its.stop == 0].max() < 9.5 * H
    assert day.crowded_minutes_of_buses() < crowded

    def trips(all_visits: Visits) -> int:
        left = all_visits.departed_s[all_visits.stop == 0]
        return int(((left > 6.5 * H) & (left < 9.5 * H)).sum())

    assert trips(after) >= trips(before[route]) + 2  # it goes to and fro, and nobody waits for it
    assert all(day._visits[other] is before[other] for other in range(14) if other != route)


def test_only_as_many_extra_vehicles_run_as_stand_by(city: City, day: Experiment) -> None:
    for _ in range(9):
        day.act(ExtraVehicle(0, 0, 7 * H, 9 * H))
    used = set(visits(day, 0).bus.tolist()) - set(visits(Experiment(city, ON), 0).bus.tolist())
    assert len(used) <= city.services[0].spare_buses


def test_a_spare_bus_that_is_back_runs_again_and_one_that_is_not_changes_nothing(city: City) -> None:
    morning, evening = ExtraVehicle(0, 0, 6.5 * H, 9.5 * H), ExtraVehicle(0, 1, 16.5 * H, 19.5 * H)
    at_once = ExtraVehicle(0, 1, 9.4 * H, 11 * H)

    def trips(*done: ExtraVehicle) -> tuple[int, ...]:
        lived = visits(Experiment(city, ON, list(done)), 0)
        left = lived.departed_s[lived.stop == 0]
        return tuple(int(((left > h * H) & (left < (h + 3) * H)).sum()) for h in (6.5, 16.5))

    assert city.services[0].spare_buses == 1
    assert trips(morning, evening) == trips(evening, morning) == (trips(morning)[0], trips(evening)[1])
    assert trips(evening)[1] >= trips()[1] + 2
    alone, too_many = (visits(Experiment(city, ON, done), 0) for done in ([morning], [morning, at_once]))
    assert np.array_equal(alone.departed_s, too_many.departed_s)  # nobody shares a headway with a bus that never came


def test_larger_vehicles_take_more_people_in_their_hours_only(day: Experiment) -> None:
    route = busiest_route(day)
    day.act(LargerVehicles(route, 0, 7 * H, 9 * H, capacity=160))
    after = visits(day, route)
    larger = after.take(np.flatnonzero(after.capacity == 160))
    begun = larger.departed_s[larger.stop == 0]
    assert len(begun) and begun.min() >= 7 * H and begun.max() < 9 * H
    assert set(larger.direction.tolist()) == {0}


def test_a_held_bus_leaves_later_by_the_hold(day: Experiment) -> None:
    route = busiest_route(day)
    before = visits(day, route)
    row = next(row for row in np.flatnonzero(before.departed_s > 8 * H) if 2 < before.stop[row] < 8)
    bus, direction = int(before.bus[row]), int(before.direction[row])
    day.act(Hold(route, direction, bus, float(before.departed_s[row - 1]) + 1, 120))
    after = visits(day, route)
    held = after.departed_s[row] - before.departed_s[row]
    assert 110 < held < 180
    earlier = before.departed_s < before.departed_s[row] - 60
    assert np.array_equal(np.sort(before.departed_s[earlier]), np.sort(after.departed_s)[: earlier.sum()])


def test_a_short_turn_leaves_people_behind_and_loses_none(day: Experiment) -> None:
    route = busiest_route(day)
    before = visits(day, route)
    stops = int(before.stop.max()) + 1
    row = next(row for row in np.flatnonzero(before.departed_s > 8 * H) if before.stop[row] == stops - 3)
    bus, direction = int(before.bus[row]), int(before.direction[row])
    day.act(ShortTurn(route, direction, bus, float(before.departed_s[row - 1]) + 1, to_stop=3))
    after = visits(day, route)
    its = after.take(np.flatnonzero(after.bus == bus))
    turned = int(np.flatnonzero((its.departed_s > 8 * H) & (its.stop == stops - 3))[0])
    assert its.load[turned] == 0 and its.boardings[turned] == 0
    assert (its.stop[turned + 1], its.direction[turned + 1]) == (3, direction)
    assert its.departed_s[turned + 1] > its.departed_s[turned] + 120
    for all_visits in (before, after):
        loads = all_visits.load
        assert (loads >= 0).all() and (loads <= all_visits.capacity).all()
        assert all_visits.boardings.sum() == all_visits.alightings.sum()
    stranded = int(its.alightings[turned] - before.alightings[row])

    def boarded(all_visits: Visits) -> int:
        here = (all_visits.stop == stops - 3) & (all_visits.direction == direction)
        return int(all_visits.boardings[here].sum())

    assert stranded > 0 and boarded(after) - boarded(before) == pytest.approx(stranded, abs=1)


@pytest.mark.parametrize("to_stop", [0, 3])
def test_a_short_turn_changes_nobody_elses_luck(day: Experiment, monkeypatch: pytest.MonkeyPatch, to_stop: int) -> None:
    before = visits(day, route := busiest_route(day))
    row = next(row for row in np.flatnonzero(before.departed_s > 8 * H) if before.stop[row] == before.stop.max() - 2)
    bus, direction = int(before.bus[row]), int(before.direction[row])
    lucks: list[int] = []
    run_trip = operation._run_trip

    def recorded(rows: list[Visit], lane: _Lane, *rest: Any) -> Any:
        if lane.direction == direction and (now := lane.rng.bit_generator.state["state"]["state"]) not in lucks:
            lucks.append(now)
        return run_trip(rows, lane, *rest)

    monkeypatch.setattr(operation, "_run_trip", recorded)
    day._run(route)
    as_it_was = lucks.copy()
    lucks.clear()
    day.act(ShortTurn(route, direction, bus, float(before.departed_s[row - 1]) + 1, to_stop))
    assert len(lucks) in (len(as_it_was), len(as_it_was) - 1)  # one begins with the luck of short turns
    assert lucks == as_it_was[: len(lucks)]


def test_visitors_who_are_told_come_at_the_quiet_hour_and_none_is_lost(day: Experiment) -> None:
    before = day._venues
    day.act(QuietHours(0, 18 * H, 20 * H, (14 * H + 7 * H,), share=0.2))
    after = day._venues

    def entries(venue_day: object, start: float, end: float) -> int:
        chosen = (venue_day.venue == 0) & (venue_day.at_s >= start * H) & (venue_day.at_s < end * H)  # type: ignore[attr-defined]
        return int((venue_day.entries + venue_day.denied)[chosen].sum())  # type: ignore[attr-defined]

    fewer = entries(before, 18, 20) - entries(after, 18, 20)
    assert fewer == pytest.approx(0.2 * entries(before, 18, 20), abs=8)
    assert entries(after, 21, 22) - entries(before, 21, 22) == pytest.approx(fewer, abs=8)
    assert entries(before, 6, 18) == entries(after, 6, 18)
    others = before.venue != 0
    assert np.array_equal(before.load[others], after.load[others])


def test_a_door_cap_holds(day: Experiment) -> None:
    day.act(DoorCap(0, 17 * H, 19 * H, people=60))
    after = day._venues
    capped = (after.venue == 0) & (after.at_s >= 18 * H) & (after.at_s < 19 * H)
    assert after.load[capped].max() <= 60
    assert after.denied[capped].sum() > 0


def test_who_lets_a_bus_go_boards_a_later_one_and_is_not_counted_as_denied(day: Experiment) -> None:
    route = busiest_route(day)
    before = visits(day, route)
    row = next(row for row in np.flatnonzero(before.departed_s > 8 * H) if before.stop[row] == 2)
    bus, direction = int(before.bus[row]), int(before.direction[row])
    day.act(WaitForNext(route, direction, bus, float(before.departed_s[row - 1]) + 1, share=0.5))
    after = visits(day, route)

    assert after.boardings[row] == before.boardings[row] - int(0.5 * before.boardings[row])
    assert after.load[row] < before.load[row] and after.denied[row] == before.denied[row] == 0
    assert after.boardings.sum() == pytest.approx(before.boardings.sum(), abs=60)


def test_nobody_counts_at_a_door_until_it_is_capped(city: City) -> None:
    crowd = next(
        day for number in range(60) for day in [Experiment(city, ON + timedelta(days=number))] if overfull(day)
    )
    venue = overfull(crowd)[0]
    capacity = city.venues[venue].capacity
    assert crowd._venues.load[crowd._venues.venue == venue].max() <= round(1.15 * capacity)
    cap = DoorCap(venue, 0, 24 * H, capacity)
    assert crowd.avoided_by([cap]) > 0
    assert venue in overfull(crowd)  # it was only tried
    crowd.act(cap)
    assert venue not in overfull(crowd)


def overfull(day: Experiment) -> list[int]:
    inside = day._venues
    return [
        venue.index
        for venue in day.city.venues
        if inside.load[inside.venue == venue.index].max(initial=0) > venue.capacity
    ]
