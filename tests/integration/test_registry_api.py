"""Sites and devices over the API: tenant by tenant, and a secret is told once."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from plimsoll.settings import Settings
from serving.app import create_app

pytestmark = pytest.mark.integration
KEYS = {"default": "k-default-0123456789abcdef", "other": "k-other-0123456789abcdef"}


@pytest.fixture(scope="module")
def service(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The API in production mode; it needs no Kafka for this."""
    patch = pytest.MonkeyPatch()
    patch.setenv("PLIMSOLL_API_KEYS", ",".join(f"{key}:{tenant}" for tenant, key in KEYS.items()))
    patch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    home: Path = tmp_path_factory.mktemp("home")
    app = create_app(Settings(home=home, database_url=SecretStr(database_url), mode="production"))
    with TestClient(app, raise_server_exceptions=False, headers={"X-API-Key": KEYS["default"]}) as client:
        yield client
    patch.undo()


@pytest.fixture
def name() -> str:
    return f"x-{uuid.uuid4().hex[:10]}"


def other(service: TestClient, method: str, path: str, **json: object) -> int:
    """The status that the other tenant gets."""
    return service.request(method, path, headers={"X-API-Key": KEYS["other"]}, json=json or None).status_code


def test_a_site_lives(service: TestClient, name: str) -> None:
    added = service.post("/api/sites", json={"site_id": name, "kind": "bus", "seats": 30, "standing": 50})
    again = service.post("/api/sites", json={"site_id": name, "kind": "bus"})
    changed = service.patch(f"/api/sites/{name}", json={"capacity": 70})
    retired = service.delete(f"/api/sites/{name}")
    found = service.get(f"/api/sites/{name}").json()

    assert (added.status_code, added.json()["capacity"], added.json()["name"]) == (201, 80, name)
    assert (again.status_code, again.json()["code"]) == (409, "already_registered")
    assert (changed.status_code, changed.json()["capacity"], changed.json()["seats"]) == (200, 70, 30)
    assert retired.status_code == 204
    assert (found["is_active"], found["capacity"]) == (False, 70)


def test_a_devices_secret_is_told_at_its_making_only(
    service: TestClient, connection: psycopg.Connection, name: str
) -> None:
    added = service.post("/api/devices", json={"device_id": name, "site_id": "bus-1"})
    found, listed = service.get(f"/api/devices/{name}"), service.get("/api/devices?limit=500")
    moved = service.patch(f"/api/devices/{name}", json={"site_id": "bus-2"})
    renewed = service.post(f"/api/devices/{name}/secret", json={"overlap_hours": 1})

    secret = added.json()["secret"]
    assert added.status_code == 201 and added.headers["cache-control"] == "no-store"
    assert connection.execute("SELECT count(*) FROM registry.devices WHERE secret = %s", [secret]).fetchone() == (2,)
    assert all(secret not in answer.text for answer in (found, listed, moved, renewed))
    assert (found.json()["signs"], found.json()["state"], moved.json()["site_id"]) == (True, "active", "bus-2")
    assert renewed.json()["secret"] not in (None, secret)


def test_a_revoked_device_stays_visible_as_such(service: TestClient, name: str) -> None:
    service.post("/api/devices", json={"device_id": name, "signs": False})

    revoked = service.delete(f"/api/devices/{name}")

    assert revoked.status_code == 204
    assert service.get(f"/api/devices/{name}").json()["state"] == "revoked"
    assert service.patch(f"/api/devices/{name}", json={"site_id": "b"}).status_code == 409
    assert service.post("/api/devices", json={"device_id": name}).status_code == 201


@pytest.mark.parametrize("what", ["sites", "devices"])
def test_pages_neither_overlap_nor_skip(service: TestClient, name: str, what: str) -> None:
    key = "site_id" if what == "sites" else "device_id"
    made = [f"{name}-{n}" for n in range(5)]
    for one in made:
        body = {"site_id": one, "kind": "bus"} if what == "sites" else {"device_id": one}
        assert service.post(f"/api/{what}", json=body).status_code == 201

    seen, cursor = [], None
    while True:
        page = service.get(f"/api/{what}", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        seen += [item[key] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert [one for one in seen if one.startswith(name)] == made
    assert seen == sorted(set(seen))


def test_a_tenant_neither_sees_nor_changes_anothers(service: TestClient, name: str) -> None:
    service.post("/api/sites", json={"site_id": name, "kind": "venue"})
    service.post("/api/devices", json={"device_id": name})

    assert name not in service.get("/api/sites", headers={"X-API-Key": KEYS["other"]}).text
    assert name not in service.get("/api/devices", headers={"X-API-Key": KEYS["other"]}).text
    for method, path, body in (
        ("GET", f"/api/sites/{name}", {}),
        ("PATCH", f"/api/sites/{name}", {"capacity": 1}),
        ("DELETE", f"/api/sites/{name}", {}),
        ("GET", f"/api/devices/{name}", {}),
        ("PATCH", f"/api/devices/{name}", {"site_id": "mine"}),
        ("POST", f"/api/devices/{name}/secret", {"overlap_hours": 0}),
        ("DELETE", f"/api/devices/{name}", {}),
    ):
        assert other(service, method, path, **body) == 404, (method, path)
    assert service.get(f"/api/devices/{name}").json()["state"] == "active"
    assert other(service, "POST", "/api/devices", device_id=name) == 201


def test_without_a_key_nothing_is_told(service: TestClient) -> None:
    for path in ("/api/sites", "/api/devices", "/api/devices/x"):
        assert service.get(path, headers={"X-API-Key": ""}).status_code == 401


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/api/sites", {"site_id": "s", "kind": "pub"}, "kind"),
        ("/api/sites", {"site_id": "s", "kind": "bus", "time_zone": "Moon/Base"}, "time_zone"),
        ("/api/sites", {"site_id": "s\x00", "kind": "bus"}, "site_id"),
        ("/api/sites", {"site_id": "s", "kind": "bus", "colour": "red"}, "colour"),
        ("/api/devices", {"device_id": "a/b"}, "device_id"),
        ("/api/devices", {"device_id": "a", "secret": "short"}, "secret"),
        ("/api/devices", {"device_id": "a", "valid_from": "2026-01-01T00:00:00"}, "valid_from"),
        ("/api/devices", [], None),
    ],
)
def test_what_cannot_be_registered_is_a_problem_that_names_the_field(
    service: TestClient, path: str, body: object, field: str | None
) -> None:
    answer = service.post(path, json=body)

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert field is None or field in [error["field"] for error in answer.json()["errors"]]


@pytest.mark.parametrize("path", ["/api/devices/%00", "/api/sites/%00", "/api/devices?cursor=!!", "/api/sites?limit=0"])
def test_odd_requests_are_told_so(service: TestClient, path: str) -> None:
    assert service.get(path).status_code == 422


def test_a_closure_enters_the_calendar_and_leaves_it(service: TestClient, name: str) -> None:
    service.post("/api/sites", json={"site_id": name, "kind": "venue", "time_zone": "Asia/Jakarta"})
    event = {"site_id": name, "start": "2026-12-19", "end": "2027-01-03", "kind": "closure", "name": "Winter break"}
    added = service.post("/api/calendar-events", json=event)
    everywhere = service.post(
        "/api/calendar-events",
        json={"start": "2026-12-31T20:00", "end": "2027-01-01T02:00", "kind": "event", "name": "Fireworks"},
    )
    listed = service.get(f"/api/calendar-events?site_id={name}").json()["items"]
    path = f"/api/calendar-events/{added.json()['calendar_event_id']}"

    assert (added.status_code, everywhere.status_code) == (201, 201)
    assert added.json()["ends_at"] == "2027-01-04T00:00:00"  # the last day is included
    assert everywhere.json()["ends_at"] == "2027-01-01T02:00:00"
    assert [(item["name"], item["site_id"]) for item in listed] == [("Winter break", name), ("Fireworks", "*")]
    assert other(service, "DELETE", path) == 404
    assert service.delete(path).status_code == 204
    assert service.delete(path).status_code == 404
    service.delete(f"/api/calendar-events/{everywhere.json()['calendar_event_id']}")


def test_an_event_that_is_copied_back_as_it_is_listed_stays_as_long_as_it_was(service: TestClient, name: str) -> None:
    service.post("/api/sites", json={"site_id": name, "kind": "venue"})
    event = {"site_id": name, "start": "2026-12-19", "end": "2026-12-20", "kind": "closure", "name": "works"}
    first = service.post("/api/calendar-events", json=event).json()
    copy = event | {"start": first["starts_at"], "end": first["ends_at"]}

    second = service.post("/api/calendar-events", json=copy).json()
    for added in (first, second):
        service.delete(f"/api/calendar-events/{added['calendar_event_id']}")

    assert first["ends_at"] == second["ends_at"] == "2026-12-21T00:00:00"


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"kind": "party"}, 422, "kind"),
        ({"end": "2026-12-18"}, 422, None),
        ({"end": "2028-12-18"}, 422, None),
        ({"start": "3026-12-19", "end": "3026-12-20"}, 422, "start"),
        ({"start": "0206-12-19"}, 422, "start"),
        ({"end": "9999-12-31"}, 422, "end"),
        ({"known_at": "9999-12-31T23:59:59-12:00"}, 422, "known_at"),
        ({"known_at": "0001-01-01T00:00:00+14:00"}, 422, "known_at"),
        ({"start": "2026-12-19T00:00:00Z"}, 422, "start"),
        ({"site_id": "nowhere"}, 404, "site_id"),
    ],
)
def test_an_event_that_makes_no_sense_is_refused_with_its_field(
    service: TestClient, change: dict[str, str], status: int, field: str | None
) -> None:
    event = {"start": "2026-12-19", "end": "2026-12-20", "kind": "closure", "name": "works"} | change
    answer = service.post("/api/calendar-events", json=event)

    assert answer.status_code == status, answer.text
    assert field is None or field in [error["field"] for error in answer.json()["errors"]]


def test_the_calendar_comes_in_pages_and_is_each_tenants_own(service: TestClient) -> None:
    for day in range(1, 6):
        event = {"start": f"2026-05-0{day}", "end": f"2026-05-0{day}", "kind": "event", "name": f"fair {day}"}
        assert service.post("/api/calendar-events", json=event).status_code == 201
    first = service.get("/api/calendar-events?limit=3").json()
    second = service.get("/api/calendar-events", params={"limit": 3, "cursor": first["next_cursor"]}).json()
    theirs = service.get("/api/calendar-events", headers={"X-API-Key": KEYS["other"]}).json()

    assert [item["name"] for item in first["items"] + second["items"]] == [f"fair {day}" for day in range(1, 6)]
    assert second["next_cursor"] is None
    assert theirs["items"] == []


def test_a_site_names_the_country_whose_holidays_count(service: TestClient, name: str) -> None:
    added = service.post("/api/sites", json={"site_id": name, "kind": "venue", "country": "US-CA"})
    refused = service.patch(f"/api/sites/{name}", json={"country": "US-XX"})
    kept = service.patch(f"/api/sites/{name}", json={"capacity": 10})
    gone = service.patch(f"/api/sites/{name}", json={"country": None})

    assert added.json()["country"] == "US-CA"
    assert (refused.status_code, "no subdivision 'XX'" in refused.text) == (422, True)
    assert kept.json()["country"] == "US-CA"
    assert gone.json()["country"] is None


def test_a_site_with_a_slash_in_its_name_is_reached_like_any_other(service: TestClient, name: str) -> None:
    service.post("/api/sites", json={"site_id": f"{name} 3/east", "kind": "venue"})
    address = f"/api/sites/{name}%203%2Feast"

    answers = [
        service.get(address),
        service.patch(address, json={"capacity": 20}),
        service.get(address.replace("sites", "occupancy")),
        service.delete(address),
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 204]
