"""Recommendations as recorded: proposed from the situation, brought up to date, ended with their hotspot."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from forecasting.hotspots import detect
from forecasting.lifecycle import UnknownRecord
from forecasting.recommendations import recommend, recommend_for_site

pytestmark = pytest.mark.integration
NOW = datetime(2026, 3, 2, 5, tzinfo=UTC)  # a Monday


def at(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def test_no_trip_is_recommended_without_a_spare_vehicle(
    connection: psycopg.Connection, tenant: str, scene: Any
) -> None:
    scene.crowded_route(spare_vehicles=0)
    assert recommend(connection, tenant, NOW) == []


def test_an_open_proposal_is_brought_up_to_date_and_ends_with_its_hotspot(
    connection: psycopg.Connection, tenant: str, scene: Any
) -> None:
    scene.crowded_route()
    [first] = recommend(connection, tenant, NOW)
    scene.predict("route:1:0", [20.0, 20.0, 51.0, 52.0, 20.0], at(60), origin=at(30))
    detect(connection, tenant, at(30))
    [moved] = recommend(connection, tenant, at(30))
    assert moved.recommendation_id == first.recommendation_id
    assert (first.expires_at, moved.expires_at) == (at(120), at(180))

    scene.predict("route:1:0", [20.0] * 6, at(60), origin=at(50))
    detect(connection, tenant, at(50))

    assert recommend(connection, tenant, at(50)) == []
    [(state, reason)] = connection.execute(
        "SELECT to_state, reason FROM ops.recommendation_events WHERE tenant_id = %s AND from_state = 'proposed'",
        [tenant],
    ).fetchall()
    assert (state, reason) == ("expired", "the hotspot is resolved")


@pytest.fixture
def route_mart(connection: psycopg.Connection) -> Iterator[None]:
    connection.execute(
        """
        CREATE SCHEMA IF NOT EXISTS marts;
        CREATE TABLE marts.fct_route_occupancy_hourly (
            route_hour_key text, tenant_id text, route_id text, direction_id smallint, hour timestamptz,
            mean_occupancy double precision, capacity double precision, load_factor double precision,
            max_load_factor double precision, boardings bigint, alightings bigint, vehicles bigint,
            vehicle_minutes double precision, crowded_passenger_minutes double precision,
            coverage double precision, refreshed_at timestamptz)
        """
    )
    yield
    connection.execute("DROP TABLE marts.fct_route_occupancy_hourly")


@pytest.mark.usefixtures("route_mart")
def test_larger_vehicles_are_recommended_for_three_crowded_weeks_of_four(
    connection: psycopg.Connection, tenant: str, scene: Any
) -> None:
    scene.route()
    connection.execute("UPDATE registry.routes SET time_zone = 'Asia/Jakarta' WHERE tenant_id = %s", [tenant])
    scene.site("big", kind="bus", capacity=120, route_id="1")
    row = {"tenant_id": tenant, "route_id": "1", "direction_id": 0, "capacity": 80, "vehicle_minutes": 360}
    monday_7 = datetime(2026, 2, 2, tzinfo=UTC)  # 07:00 in Jakarta
    weeks = [monday_7 + timedelta(weeks=number) for number in range(4)]
    scene.insert(
        "marts.fct_route_occupancy_hourly",
        [row | {"hour": week, "mean_occupancy": 50} for week in weeks[:3]]
        + [row | {"hour": weeks[3], "mean_occupancy": 30}]
        + [row | {"hour": week + timedelta(hours=1), "mean_occupancy": 50} for week in weeks[:2]],
    )

    [proposal] = recommend(connection, tenant, NOW - timedelta(hours=5))

    assert proposal.action == "larger_vehicle"
    assert "120 places" in proposal.summary and "Mondays 07:00." in proposal.summary
    assert proposal.evidence["recurring_hours"][0]["weeks_of_four"] == 3


def test_advice_for_one_site_records_nothing_and_knows_what_is_recorded(
    connection: psycopg.Connection, tenant: str, scene: Any
) -> None:
    scene.site("gym", time_zone="Asia/Jakarta")
    scene.predict("gym", [104.0, 30.0], at(60))
    detect(connection, tenant, NOW)
    advice = recommend_for_site(connection, tenant, "gym", NOW)
    assert {one.action for one in advice} == {"quiet_hour_advice", "staffing", "cap_at_door"}
    assert all(one.recommendation_id is None for one in advice)
    assert connection.execute("SELECT count(*) FROM ops.recommendations WHERE tenant_id = %s", [tenant]).fetchone() == (
        0,
    )

    recorded = {one.fingerprint: one.recommendation_id for one in recommend(connection, tenant, NOW)}
    advice = recommend_for_site(connection, tenant, "gym", NOW)
    assert {one.fingerprint: one.recommendation_id for one in advice} == recorded
    with pytest.raises(UnknownRecord, match="no site 'nowhere'"):
        recommend_for_site(connection, tenant, "nowhere", NOW)
    with pytest.raises(UnknownRecord):
        recommend_for_site(connection, "default", "gym", NOW)


def test_advice_for_a_bus_is_that_for_its_route(connection: psycopg.Connection, tenant: str, scene: Any) -> None:
    scene.crowded_route()
    [advice] = recommend_for_site(connection, tenant, "A", NOW)
    assert (advice.entity_kind, advice.entity_id, advice.action) == ("route", "1", "add_trip")
