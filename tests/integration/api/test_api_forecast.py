"""Forecasts as the API gives them: of venues, areas, routes and buses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from fastapi.testclient import TestClient

pytestmark = pytest.mark.integration

STREAM = "550e8400-e29b-41d4-a716-446655440000"
OLD_SHAPE = {"ts", "predicted"}


@pytest.fixture(scope="module", autouse=True)
def predictions(seed: Any) -> None:
    seed.site("gym", kind="venue", capacity=80, hold_s=1800)
    seed.forecast("gym", [40.4 + ahead for ahead in range(170)])
    seed.forecast("gym", [1.0] * 170, origin_ago_h=5, model="older")
    seed.traffic(STREAM, 120)
    seed.forecast(STREAM, [100.0] * 30)
    seed.forecast("route:1:0", [50.0] * 170)
    seed.forecast("route:1:1", [20.0] * 170)
    for ago in range(1, 5):
        seed.route_hour("1", ago, mean=40)
        seed.route_hour("1", ago, mean=40, direction_id=1)
    seed.site("bus-usual", capacity=60, route_id="1")
    seed.site("bus-full", capacity=60, route_id="1")
    for ago in range(1, 5):
        seed.hour("bus-full", ago, mean=36, capacity=60, load_factor=0.6)  # its route ran at 0.4
    seed.site("bus-lost")
    seed.site("empty-hall", kind="venue", is_active=True)
    seed.site("retired", kind="venue", is_active=False)
    seed.forecast("retired", [9.0] * 24)
    seed.site("secret", kind="venue", tenant_id="other")
    seed.forecast("secret", [9.0] * 24, tenant_id="other")


def _hourly(client: TestClient, **params: Any) -> list[dict[str, Any]]:
    answer = client.get("/api/forecast/hourly", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_old_shape_is_kept_with_the_new_fields_beside_it(client: TestClient) -> None:
    before = datetime.now(UTC)

    hours = _hourly(client, site_id="gym")

    first = hours[0]
    present = {at.replace(minute=0, second=0, microsecond=0) for at in (before, datetime.now(UTC))}
    assert datetime.fromisoformat(first["ts"]) in present
    assert all(type(hour["predicted"]) is int for hour in hours)
    assert OLD_SHAPE | {"p10", "p90", "load_factor", "level", "model_version", "method", "origin"} <= set(first)
    assert (first["model_version"], first["method"]) == ("test-1", "champion")
    assert first["p10"] < first["predicted"] < first["p90"]


def test_the_newest_origin_speaks(client: TestClient) -> None:
    hours = _hourly(client, site_id="gym", hours=3)

    assert [hour["expected"] for hour in hours] == pytest.approx([40.4, 41.4, 42.4], abs=1.01)
    assert hours[0]["load_factor"] == pytest.approx(hours[0]["expected"] / 80, abs=1e-3)


def test_the_old_service_answers_the_same_at_its_own_address(client: TestClient) -> None:
    assert client.get("/forecast/hourly?hours=24&site_id=gym").json() == _hourly(client, site_id="gym", hours=24)


@pytest.mark.parametrize("hours", [1, 24, 168])
def test_as_many_hours_come_as_are_asked_for(client: TestClient, hours: int) -> None:
    found = _hourly(client, site_id="gym", hours=hours)

    starts = [datetime.fromisoformat(hour["ts"]) for hour in found]
    assert len(starts) == hours
    assert all(b - a == timedelta(hours=1) for a, b in pairwise(starts))


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"hours": 0}, "hours"),
        ({"hours": 169}, "hours"),
        ({"hours": "many"}, "hours"),
        ({"route_id": "1"}, "direction_id"),
        ({"route_id": "1", "direction_id": 2}, "direction_id"),
        ({"route_id": "1", "direction_id": 0, "site_id": "gym"}, "route_id"),
        ({}, "site_id"),  # two venues, no default
    ],
)
def test_bounds_are_problems_that_name_the_field(client: TestClient, params: dict[str, Any], field: str) -> None:
    answer = client.get("/api/forecast/hourly", params=params)

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


@pytest.mark.parametrize(
    ("site_id", "code"),
    [
        ("nowhere", "unknown_site"),
        ("secret", "unknown_site"),
        ("retired", "unknown_site"),
        ("empty-hall", "no_forecast"),
        ("bus-lost", "no_forecast"),
        ("route:77:0", "no_forecast"),
    ],
)
def test_no_forecast_says_why(client: TestClient, site_id: str, code: str) -> None:
    answer = client.get("/api/forecast/hourly", params={"site_id": site_id})

    assert (answer.status_code, answer.json()["code"]) == (404, code)
    assert site_id in answer.json()["detail"]


def test_no_forecast_of_a_route_names_the_route(client: TestClient) -> None:
    answer = client.get("/api/forecast/hourly", params={"route_id": "77", "direction_id": 0})

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (404, "route_id")


def test_an_area_is_known_by_its_stream(client: TestClient) -> None:
    first = _hourly(client, site_id=STREAM)[0]

    assert (first["predicted"], first["capacity"], first["load_factor"]) == (100, 200, 0.5)


def test_a_route_is_asked_for_by_series_or_by_route_and_direction(client: TestClient) -> None:
    by_series = _hourly(client, site_id="route:1:0")

    assert by_series == _hourly(client, route_id="1", direction_id=0)
    assert (by_series[0]["predicted"], by_series[0]["capacity"], by_series[0]["load_factor"]) == (50, 100, 0.5)


def test_a_bus_has_its_routes_load_factor_times_its_own_capacity(client: TestClient) -> None:
    bus = _hourly(client, site_id="bus-usual", direction_id=0)[0]

    assert (bus["predicted"], bus["capacity"], bus["load_factor"]) == (30, 60, 0.5)
    assert (bus["series_id"], bus["method"]) == ("route:1:0", "champion+vehicle")
    assert bus["p10"] < 0.8 * 30 and bus["p90"] > 1.2 * 30
    back = _hourly(client, site_id="bus-usual", direction_id=1)[0]
    assert back["predicted"] == 12


def test_a_bus_that_runs_fuller_today_is_expected_fuller_for_the_next_hours(client: TestClient) -> None:
    hours = _hourly(client, site_id="bus-full", hours=48)

    assert 33 < hours[0]["expected"] < 45
    assert hours[0]["expected"] > hours[3]["expected"] > hours[12]["expected"]
    assert hours[47]["expected"] == pytest.approx(30, abs=0.1)


def test_what_a_bus_carries_now_moves_its_next_hours(client: TestClient, seed: Any, api: Any) -> None:
    seed.site("bus-now", capacity=100, route_id="1")
    seed.live("bus-now", 90, route_id="1", direction_id=0)
    with api() as fresh:
        hours = _hourly(fresh, site_id="bus-now", hours=24)

    assert hours[0]["expected"] > 50.5
    assert hours[23]["expected"] == pytest.approx(50, abs=1.5)
