"""Hotspots and recommendations as the API lists them and lets people decide."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", autouse=True)
def registry(seed: Any) -> None:
    seed.site("hall", kind="venue")
    seed.site("bus-1", route_id="1")
    seed.insert(
        "registry.routes", tenant_id="default", route_id="1", direction_id=0, route_name="Corridor 1", headsign="Kota"
    )


def test_hotspots_are_ranked_by_crowded_passenger_minutes_and_named(client: TestClient, seed: Any) -> None:
    seed.hotspot("hall", 10)
    seed.hotspot("1", 500, entity_kind="route", direction_id=0)
    seed.hotspot("hall", 900, state="resolved", ended_at="2026-01-01T00:00:00Z")

    items = client.get("/api/hotspots").json()["items"]

    assert [(item["name"], item["crowded_passenger_minutes"]) for item in items] == [
        ("Corridor 1 → Kota", 500),
        ("Site hall", 10),
    ]
    assert items[0]["evidence"] == {"count": 76} and items[0]["age_s"] >= 0
    assert len(client.get("/api/hotspots?state=all").json()["items"]) == 3
    assert client.get("/api/hotspots?source=forecast").json()["items"] == []


def test_areas_come_with_their_outline_and_can_be_asked_for_alone(client: TestClient, seed: Any) -> None:
    seed.hotspot("888c1069a9fffff", 700, entity_kind="area")

    [area] = client.get("/api/hotspots?kind=area").json()["items"]

    assert area["boundary"]["type"] == "Polygon" and len(area["boundary"]["coordinates"][0]) == 7
    assert [item["boundary"] for item in client.get("/api/hotspots?kind=site").json()["items"]] == [None]
    assert client.get("/api/hotspots?kind=planet").status_code == 422


@pytest.mark.parametrize("path", ["/api/hotspots", "/api/recommendations"])
def test_pages_are_complete_and_do_not_overlap(client: TestClient, seed: Any, path: str) -> None:
    for number in range(5):
        seed.hotspot("hall", 33, entity_kind="site") if "hotspots" in path else seed.recommendation(
            "hall", ago_s=number
        )
    everything = client.get(path, params={"limit": 200}).json()["items"]

    seen: list[dict[str, Any]] = []
    cursor = ""
    while cursor is not None:
        page = client.get(path, params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        seen += page["items"]
        cursor = page["next_cursor"]

    key = "hotspot_id" if "hotspots" in path else "recommendation_id"
    assert [item[key] for item in seen] == [item[key] for item in everything]
    assert len(everything) >= 5


def test_a_decision_is_recorded_with_who_and_why(client: TestClient, seed: Any, connection: psycopg.Connection) -> None:
    wanted = seed.recommendation("1")

    accepted = client.post(f"/api/recommendations/{wanted}/accept", json={"actor": "ani", "reason": "bus sent"})

    assert accepted.status_code == 200, accepted.text
    assert (accepted.json()["state"], accepted.json()["decided_by"], accepted.json()["reason"]) == (
        "accepted", "ani", "bus sent",
    )  # fmt: skip
    done = client.post(f"/api/recommendations/{wanted}/execute")
    assert (done.status_code, done.json()["state"]) == (200, "executed")
    audit = connection.execute(
        "SELECT from_state, to_state, actor FROM ops.recommendation_events WHERE recommendation_id = %s ORDER BY 1",
        [wanted],
    ).fetchall()
    assert audit == [("accepted", "executed", "api"), ("proposed", "accepted", "ani")]
    assert wanted not in [item["recommendation_id"] for item in client.get("/api/recommendations").json()["items"]]


def test_deciding_the_same_again_changes_nothing_and_otherwise_is_refused(client: TestClient, seed: Any) -> None:
    wanted = seed.recommendation("1")
    first = client.post(f"/api/recommendations/{wanted}/dismiss", json={"actor": "ani"}).json()

    again = client.post(f"/api/recommendations/{wanted}/dismiss", json={"actor": "budi"})
    assert (again.status_code, again.json()["decided_by"]) == (200, first["decided_by"])

    refused = client.post(f"/api/recommendations/{wanted}/accept")
    assert (refused.status_code, refused.json()["code"]) == (409, "wrong_state")
    assert refused.headers["content-type"] == "application/problem+json"
    assert "dismissed" in refused.json()["detail"]


def test_what_has_run_out_is_not_listed_and_cannot_be_accepted(
    client: TestClient, seed: Any, connection: psycopg.Connection
) -> None:
    wanted = seed.recommendation("1", ago_s=7200)
    connection.execute(
        "UPDATE ops.recommendations SET expires_at = now() - interval '1 minute' WHERE recommendation_id = %s", [wanted]
    )

    assert wanted not in client.get("/api/recommendations?limit=200").text
    answer = client.post(f"/api/recommendations/{wanted}/accept")
    assert (answer.status_code, answer.json()["code"]) == (409, "expired")


def test_what_is_accepted_stands_until_its_window_is_over(client: TestClient, seed: Any) -> None:
    """A trip is proposed until its window begins; who accepted it must be able to carry it out in the window."""
    over = (datetime.now(UTC) + timedelta(hours=3)).replace(microsecond=0)
    wanted = seed.recommendation("1", evidence={"window_to": over.isoformat()})

    accepted = client.post(f"/api/recommendations/{wanted}/accept").json()

    assert datetime.fromisoformat(accepted["expires_at"]) == over
    assert client.post(f"/api/recommendations/{wanted}/execute").status_code == 200


def test_a_firing_hotspot_is_acknowledged_once(client: TestClient, seed: Any, connection: psycopg.Connection) -> None:
    hotspot = seed.hotspot("hall", 5)

    for _ in range(2):
        answer = client.post(f"/api/hotspots/{hotspot}/acknowledge", json={"actor": "ani"})
        assert (answer.status_code, answer.json()["state"]) == (200, "acknowledged"), answer.text
    events = connection.execute("SELECT count(*) FROM ops.hotspot_events WHERE hotspot_id = %s", [hotspot]).fetchone()
    assert events == (1,)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        (f"/api/recommendations/{uuid.UUID(int=7)}/accept", 404, "unknown_recommendation"),
        (f"/api/hotspots/{uuid.UUID(int=7)}/acknowledge", 404, "unknown_hotspot"),
        ("/api/recommendations/seven/accept", 422, "invalid_request"),
    ],
)
def test_what_does_not_exist_cannot_be_decided(client: TestClient, path: str, status: int, code: str) -> None:
    answer = client.post(path)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    ("body", "field"),
    [({"actor": ""}, "actor"), ({"actor": "a" * 201}, "actor"), ({"reason": 5}, "reason"), ({"who": "me"}, "who")],
)
def test_a_decision_out_of_bounds_names_the_field(client: TestClient, seed: Any, body: Any, field: str) -> None:
    wanted = seed.recommendation("1")

    answer = client.post(f"/api/recommendations/{wanted}/accept", json=body)

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


@pytest.mark.parametrize(
    ("headers", "body", "status", "code", "said"),
    [
        ({"Content-Type": "application/json"}, '{"actor": "me', 422, "not_json", "at character 10"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, '{"actor": "me"}', 415, "unsupported_media_type",
         "Content-Type: application/json"),
        ({}, '{"actor": "me"}', 415, "unsupported_media_type", "Content-Type: application/json"),
    ],
)  # fmt: skip
def test_a_body_that_cannot_be_read_as_json_is_told_why(
    client: TestClient, seed: Any, headers: dict[str, str], body: str, status: int, code: str, said: str
) -> None:
    """The second is what `curl -d` sends."""
    answer = client.post(f"/api/recommendations/{seed.recommendation('1')}/accept", content=body, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert said in answer.json()["detail"]


def test_text_that_no_table_can_store_is_refused(client: TestClient, seed: Any) -> None:
    wanted = seed.recommendation("1")

    for answer in (
        client.post(f"/api/recommendations/{wanted}/accept", json={"actor": "a\x00b"}),
        client.get("/api/hotspots?entity_id=a%00b"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize("site_id", ["hall", "bus-1"])
def test_on_demand_answers_for_a_venue_and_for_a_bus(client: TestClient, site_id: str) -> None:
    answer = client.get("/api/recommendation", params={"site_id": site_id})

    assert answer.status_code == 200, answer.text
    assert (answer.json()["site_id"], answer.json()["items"]) == (site_id, [])


def test_on_demand_of_an_unknown_site_is_not_found(client: TestClient) -> None:
    answer = client.get("/api/recommendation", params={"site_id": "nowhere"})

    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_site")
