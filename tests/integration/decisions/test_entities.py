"""What is judged: sites, watched roads, routes by their busiest stretch, areas."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from forecasting.hotspots import detect
from forecasting.hotspots.areas import boundary
from forecasting.recommendations import recommend_for_site

pytestmark = pytest.mark.integration
NOW = datetime(2026, 3, 2, 5, tzinfo=UTC)  # a Monday


def at(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def test_a_route_and_direction_is_judged_by_its_busiest_stretch(
    connection: psycopg.Connection, tenant: str, scene: Any
) -> None:
    scene.route()
    scene.bus("A", 80, NOW, "S0")
    scene.bus("B", 72, NOW, "S2")
    scene.bus("C", 4, NOW, "S5")
    [raised] = detect(connection, tenant, NOW).raised
    assert (raised.entity.kind, raised.entity.entity_id, raised.entity.direction_id) == ("route", "1", 0)
    assert raised.load_factor == 0.95
    assert raised.evidence["busiest_stretch"]["to_stop"] == "Stop 2"


def test_a_bus_that_reports_only_its_position_is_placed_at_the_nearest_stop(
    connection: psycopg.Connection, tenant: str, scene: Any
) -> None:
    scene.route()
    places = {"capacity": 80, "route_id": "1", "direction_id": 0, "lat": -6.2 + 7.2 / 111.2, "lon": 106.8}
    scene.count("A", 80, NOW, **places)
    [raised] = detect(connection, tenant, NOW).raised
    assert raised.evidence["busiest_stretch"]["from_stop"] == "Stop 7"


def test_a_crowded_road_is_a_site_found_by_its_stream(connection: psycopg.Connection, tenant: str, scene: Any) -> None:
    stream = scene.road(195, NOW)
    [raised] = detect(connection, tenant, NOW).raised
    assert (raised.entity.kind, raised.entity.entity_id, raised.load_factor) == ("site", stream, 0.975)


def test_a_road_is_never_told_to_close_its_doors(connection: psycopg.Connection, tenant: str, scene: Any) -> None:
    stream = scene.road(230, NOW)
    scene.predict(stream, [60.0, 230.0, 220.0, 60.0], at(60))
    actions = {one.action for one in recommend_for_site(connection, tenant, stream, NOW)}
    assert actions == {"quiet_hour_advice"}


def test_an_area_is_crowded_when_its_sites_are_so_together(
    connection: psycopg.Connection, tenant: str, scene: Any
) -> None:
    here, far = {"lat": -6.2000, "lon": 106.8200}, {"lat": -6.3000, "lon": 106.8200}
    scene.site("gym", **here)
    scene.site("hall", capacity=300, **here)
    scene.site("pool", **far)
    scene.count("gym", 99, NOW)
    scene.count("hall", 281, NOW)
    scene.count("pool", 99, NOW)
    scene.road(30, NOW, latitude=-6.3, longitude=106.82)

    areas = [one for one in detect(connection, tenant, NOW).raised if one.entity.kind == "area"]

    [area] = areas  # around the pool it is one of 300 places that are not taken
    assert (area.load_factor, area.excess_passengers) == (0.95, pytest.approx(9 + 11))
    assert area.evidence["name"] == "around hall"
    outline = boundary(area.entity.entity_id)["coordinates"][0]
    assert min(lon for lon, _ in outline) < 106.82 < max(lon for lon, _ in outline)
    assert min(lat for _, lat in outline) < -6.2 < max(lat for _, lat in outline)


def test_an_area_is_forecast_from_its_sites(connection: psycopg.Connection, tenant: str, scene: Any) -> None:
    for name in ("gym", "hall"):
        scene.site(name, lat=-6.2, lon=106.82)
    scene.predict("gym", [40.0, 99.0, 90.0], at(60))
    scene.predict("hall", [99.0, 87.0, 99.0], at(60))

    raised = {one.entity.kind: one for one in detect(connection, tenant, NOW).raised}

    assert (raised["area"].window_from, raised["area"].window_to) == (at(120), at(240))
    assert raised["area"].peak_load_factor == pytest.approx(0.945)


def test_an_area_whose_buses_have_left_is_unknown_and_expires(
    connection: psycopg.Connection, tenant: str, scene: Any
) -> None:
    scene.route()
    for minutes in (0, 4, 8, 12):
        for name in "AB":
            scene.bus(name, 79, at(minutes), "S3")
        result = detect(connection, tenant, at(minutes))
    assert "area" in {one.entity.kind for one in result.fired}
    ended = set()
    for minutes in range(16, 48, 4):
        scene.bus("A", 10, at(minutes), "S3")
        scene.bus("B", 10, at(minutes), "S8")
        result = detect(connection, tenant, at(minutes))
        ended |= {(one.entity.kind, one.state) for one in (*result.cleared, *result.expired)}
    assert ended == {("route", "resolved"), ("area", "expired")}


def test_forecast_windows_become_hotspots_and_stale_forecasts_do_not(
    connection: psycopg.Connection, tenant: str, scene: Any
) -> None:
    for name in ("gym", "pool"):
        scene.site(name)
    scene.predict("gym", [50.0, 92.0, 95.0, 40.0], at(60))
    scene.predict("pool", [99.0] * 40, NOW - timedelta(hours=29), origin=NOW - timedelta(hours=30))

    [raised] = detect(connection, tenant, NOW).raised

    assert raised.state == "firing" and raised.source == "forecast" and raised.entity.entity_id == "gym"
    assert (raised.window_from, raised.window_to) == (at(120), at(240))
    assert raised.crowded_passenger_minutes == pytest.approx((2 + 5) * 60)
