"""The arithmetic that makes a bus's forecast of its route's."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecasting.vehicles import (
    LARGEST_RATIO,
    PRIOR_HOURS,
    ROUTE_HALF_LIFE_H,
    VEHICLE_HALF_LIFE_H,
    Evidence,
    RouteHour,
    faded,
    forecast_vehicle,
    running_ratio,
)

ROUTE = [RouteHour(ahead, 0.5, 0.4, 0.6) for ahead in range(48)]
shares = st.floats(0, 1.5)
evidence = st.lists(st.builds(Evidence, shares, shares, st.floats(0, 24)), max_size=4)


def test_without_evidence_a_bus_has_its_routes_load_factor_times_its_own_capacity() -> None:
    hours = forecast_vehicle(ROUTE, capacity=60)

    assert [hour.expected for hour in hours] == pytest.approx([30.0] * 48)


def test_a_bus_that_runs_fuller_than_its_route_is_expected_fuller_and_less_so_with_every_hour() -> None:
    hours = forecast_vehicle(ROUTE, 60, vehicle=[Evidence(actual=0.75, expected=0.5, hours=PRIOR_HOURS)])

    expected = [hour.expected for hour in hours]
    assert expected[0] == pytest.approx(30 * math.sqrt(1.5))  # as many hours as the prior: half of the logarithm
    assert expected == sorted(expected, reverse=True)
    assert expected[-1] == pytest.approx(30, rel=0.001)


def test_what_the_route_and_the_bus_do_is_multiplied_and_each_fades_at_its_own_pace() -> None:
    fuller = [Evidence(0.75, 0.5, 6.0)]
    ratio = running_ratio(fuller)

    hours = forecast_vehicle(ROUTE, 60, route=fuller, vehicle=fuller)

    at_3 = 30 * faded(ratio, 3, ROUTE_HALF_LIFE_H) * faded(ratio, 3, VEHICLE_HALF_LIFE_H)
    assert hours[3].expected == pytest.approx(at_3)


def test_the_adjustment_halves_with_every_half_life() -> None:
    assert faded(1.44, 0, 3) == pytest.approx(1.44)
    assert faded(1.44, 3, 3) == pytest.approx(1.2)
    assert faded(1.44, 6, 3) == pytest.approx(math.sqrt(1.2))


def test_one_odd_hour_cannot_carry_a_forecast_away() -> None:
    assert running_ratio([Evidence(1.5, 0.03, 1000.0)]) < LARGEST_RATIO
    assert running_ratio([Evidence(0.0, 1.0, 1000.0)]) > 1 / LARGEST_RATIO


def test_ratios_of_nearly_nothing_say_nothing() -> None:
    assert running_ratio([Evidence(0.2, 0.001, 5.0)]) == 1.0
    assert running_ratio([Evidence(0.2, 0.5, 0.0)]) == 1.0


def test_a_single_bus_has_a_wider_band_than_the_mean_of_its_route() -> None:
    (hour,) = forecast_vehicle(ROUTE[:1], 100, spread=0.12)

    assert hour.p10 < 40 and hour.p90 > 60
    (certain,) = forecast_vehicle(ROUTE[:1], 100, spread=0)
    assert (certain.p10, certain.p90) == pytest.approx((40, 60))


@given(
    load=shares,
    below=st.floats(0, 1),
    above=st.floats(0, 1),
    capacity=st.integers(1, 300),
    route=evidence,
    bus=evidence,
)
def test_the_band_always_holds_the_forecast_and_nothing_is_negative(
    load: float, below: float, above: float, capacity: int, route: list[Evidence], bus: list[Evidence]
) -> None:
    hours = [RouteHour(ahead, load, max(0.0, load - below), load + above) for ahead in (0, 1, 24, 167)]

    for hour in forecast_vehicle(hours, capacity, route, bus):
        assert 0 <= hour.p10 <= hour.expected <= hour.p90
        assert hour.expected <= load * capacity * LARGEST_RATIO**2
