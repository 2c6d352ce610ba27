"""How simulated buses share the passengers of a route."""

from datetime import date

import numpy as np
import pytest

from ingest.simulator.city import City
from ingest.simulator.conditions import conditions_of
from ingest.simulator.config import CityConfig
from ingest.simulator.demand import DayDemand, day_demand
from ingest.simulator.operation import Visits, run_route

ON = date(2026, 10, 20)
SEED = 7


@pytest.fixture(scope="module")
def city() -> City:
    return City.build(CityConfig())


def run(city: City, demand: DayDemand, buses: int) -> Visits:
    service = city.services[0]
    conditions = conditions_of(ON, SEED, 14)
    return Visits.of(run_route(service, list(service.fleet[:buses]), city.buses, demand, conditions, SEED))


def test_who_is_left_behind_boards_a_later_bus(city: City) -> None:
    demand = day_demand(city.demands[0], city.services[0].route, conditions_of(ON, SEED, 14), SEED)
    few, many = run(city, demand, 3), run(city, demand, 8)

    assert few.denied.sum() > many.denied.sum()
    came = demand.arrived[:, :, -1].sum()
    assert few.denied.sum() <= came
    for visits in (few, many):
        assert 0.9 * came < visits.boardings.sum() <= came
        assert (visits.load <= 115).all() and (visits.load >= 0).all()


def test_load_is_what_came_on_less_what_got_off(city: City) -> None:
    demand = day_demand(city.demands[0], city.services[0].route, conditions_of(ON, SEED, 14), SEED)
    visits = run(city, demand, 8)

    trips = visits.direction * 1000 + visits.trip
    for trip in np.unique(trips):
        of = np.flatnonzero(trips == trip)
        of = of[np.argsort(visits.stop[of])]
        assert (np.cumsum(visits.boardings[of] - visits.alightings[of]) == visits.load[of]).all()
        assert visits.load[of[-1]] == 0
        assert (np.diff(visits.departed_s[of]) > 0).all()


def test_buses_of_one_direction_do_not_pass_each_other(city: City) -> None:
    demand = day_demand(city.demands[0], city.services[0].route, conditions_of(ON, SEED, 14), SEED)
    visits = run(city, demand, 8)

    for stop in (1, 10, 19):
        at = np.flatnonzero((visits.direction == 0) & (visits.stop == stop))
        at = at[np.argsort(visits.departed_s[at])]
        assert (np.diff(visits.trip[at]) == 1).all()


def test_demand_does_not_depend_on_the_buses(city: City) -> None:
    conditions = conditions_of(ON, SEED, 14)
    route = city.services[0].route
    once, again = (day_demand(city.demands[0], route, conditions, SEED) for _ in range(2))

    assert (once.arrived == again.arrived).all()
    assert (np.diff(once.arrived, axis=2) >= 0).all()
    assert (once.arrived[:, -1, -1] == 0).all()  # nobody waits at the last stop
    assert np.allclose(once.alight_share[:, :, -1], 1.0)


def test_gaps_between_buses_become_uneven_along_the_way(city: City) -> None:
    demand = day_demand(city.demands[0], city.services[0].route, conditions_of(ON, SEED, 14), SEED)
    visits = run(city, demand, 8)

    def spread(stop: int) -> float:
        at = visits.departed_s[(visits.direction == 0) & (visits.stop == stop)]
        gaps = np.diff(np.sort(at[(at > 10 * 3600) & (at < 15 * 3600)]))
        return float(gaps.std() / gaps.mean())

    assert spread(18) > spread(0)
