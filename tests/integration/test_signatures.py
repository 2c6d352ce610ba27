"""Who may send in a device's name: secrets, signatures and registrations, over real HTTP."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest

from ingest.gateways.signatures import sign
from plimsoll.stack.local import LocalStack
from plimsoll.stack.ports import free_port
from plimsoll.stack.readiness import http_ready
from plimsoll.stack.supervisor import Supervisor

pytestmark = pytest.mark.integration
SECRET = "correct-horse-battery-staple-0001"
API_KEY = "k-default-0123456789abcdef"
EVENT = {"in_count": 3, "out_count": 1, "occupancy": 37, "lat": -6.25, "ts_device": "2026-01-15T12:34:56Z"}


@pytest.fixture(scope="module")
def modes(
    stack: LocalStack, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, httpx.Client]]:
    """The API in both modes, as clients."""
    home = tmp_path_factory.mktemp("api")
    clients = {}
    with Supervisor(home) as supervisor:
        for mode in ("development", "production"):
            port = free_port()
            environment = {
                **os.environ, "DATABASE_URL": database_url, "KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
                "PLIMSOLL_API_PORT": str(port), "PLIMSOLL_HOME": str(home), "PLIMSOLL_MODE": mode,
                "PLIMSOLL_API_KEYS": f"{API_KEY}:default",
            }  # fmt: skip
            url = f"http://127.0.0.1:{port}"
            command = [sys.executable, "-m", "plimsoll", "api"]
            supervisor.start(f"api-{mode}", command, env=environment, ready=http_ready(f"{url}/healthz"))
            clients[mode] = httpx.Client(base_url=url, headers={"X-API-Key": API_KEY})
        yield clients
        for client in clients.values():
            client.close()


@pytest.fixture
def api(modes: dict[str, httpx.Client]) -> httpx.Client:
    return modes["development"]


@pytest.fixture
def register(connection: psycopg.Connection) -> Callable[..., str]:
    def add(secret: str | None = SECRET, device_id: str | None = None, **validity: datetime) -> str:
        device_id = device_id or f"edge-{uuid.uuid4().hex[:8]}"
        connection.execute(
            "INSERT INTO registry.devices (tenant_id, device_id, site_id, secret, valid_from, valid_to)"
            " VALUES ('default', %s, 'bus-1', %s, %s, %s)",
            [device_id, secret, validity.get("valid_from", "-infinity"), validity.get("valid_to", "infinity")],
        )
        return device_id

    return add


def event(device_id: str, secret: str | None = None, **changes: object) -> dict[str, Any]:
    payload: dict[str, Any] = EVENT | {"bus_id": "bus-1", "device_id": device_id} | changes
    return payload | {"sig": sign(payload, secret)} if secret else payload


def test_a_signed_event_is_taken(api: httpx.Client, register: Callable[..., str]) -> None:
    assert api.post("/api/occupancy/ingest", json=event(register(), SECRET)).status_code == 202


@pytest.mark.parametrize("secret", [None, "somebody-elses-secret"])
def test_a_wrong_or_missing_signature_is_a_401_that_names_the_field(
    api: httpx.Client, register: Callable[..., str], secret: str | None
) -> None:
    answer = api.post("/api/occupancy/ingest", json=event(register(), secret))

    assert (answer.status_code, answer.json()["code"]) == (401, "bad_signature")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["field"] == "sig"


def test_a_changed_event_does_not_fit_its_signature(api: httpx.Client, register: Callable[..., str]) -> None:
    answer = api.post("/api/occupancy/ingest", json=event(register(), SECRET) | {"occupancy": 1})

    assert answer.status_code == 401


def test_of_a_list_only_the_badly_signed_is_refused(api: httpx.Client, register: Callable[..., str]) -> None:
    signer = register()

    answer = api.post("/api/occupancy/ingest", json=[event(signer, SECRET), event(signer), event("never-registered")])

    assert answer.status_code == 207
    assert [(e["index"], e["code"], e["field"]) for e in answer.json()["errors"]] == [(1, "bad_signature", "sig")]


def test_a_list_refused_for_mixed_reasons_is_an_invalid_one(api: httpx.Client, register: Callable[..., str]) -> None:
    signer = register()

    answer = api.post("/api/occupancy/ingest", json=[event(signer), event(signer, SECRET, in_count=-1)])

    assert (answer.status_code, {e["code"] for e in answer.json()["errors"]}) == (
        422,
        {"bad_signature", "invalid_field"},
    )


def test_the_dummy_signature_of_an_unregistered_device_does_no_harm(api: httpx.Client) -> None:
    assert api.post("/api/occupancy/ingest", json=event("EDGE-A1B2") | {"sig": "HMAC_SHA256_BASE64"}).is_success


def test_a_device_registered_without_secret_need_not_sign(api: httpx.Client, register: Callable[..., str]) -> None:
    assert api.post("/api/occupancy/ingest", json=event(register(secret=None))).is_success


def test_status_heartbeat_and_venue_counts_are_signed_too(api: httpx.Client, register: Callable[..., str]) -> None:
    device_id = register()
    for address, payload in (
        (f"/api/devices/{device_id}/status", {"status": "online"}),
        (f"/api/devices/{device_id}/heartbeat", {"uptime_s": 5, "battery": 98.0}),
        ("/ingest", {"count": 12, "device_id": device_id, "ts": EVENT["ts_device"]}),
    ):
        assert api.post(address, json=payload).status_code == 401
        assert api.post(address, json=payload | {"sig": sign(payload, SECRET)}).status_code == 202


def test_a_signed_venue_count_tells_its_time_for_it_would_count_each_time_it_is_sent(
    api: httpx.Client, register: Callable[..., str]
) -> None:
    signed, unsigned = ({"count": 12, "device_id": register(secret)} for secret in (SECRET, None))

    answer = api.post("/ingest", json=signed | {"sig": sign(signed, SECRET)})

    assert (answer.status_code, answer.json()["code"]) == (422, "missing_field")
    assert answer.json()["errors"][0]["field"] == "ts"
    assert api.post("/ingest", json=unsigned).status_code == 202


@pytest.mark.parametrize("days", [(-9, -1), (1, 9)])
def test_a_registration_counts_in_its_time_only(
    api: httpx.Client, register: Callable[..., str], days: tuple[int, int]
) -> None:
    valid_from, valid_to = (datetime.now(UTC) + timedelta(days=n) for n in days)

    answer = api.post("/api/occupancy/ingest", json=event(register(valid_from=valid_from, valid_to=valid_to), SECRET))

    assert (answer.status_code, answer.json()["code"]) == (401, "revoked_device")


def test_both_secrets_count_while_their_registrations_overlap(api: httpx.Client, register: Callable[..., str]) -> None:
    device_id = register()
    register("the-new-secret-of-this-device", device_id, valid_from=datetime.now(UTC) - timedelta(hours=1))

    for secret, status in ((SECRET, 202), ("the-new-secret-of-this-device", 202), ("neither", 401)):
        assert api.post("/api/occupancy/ingest", json=event(device_id, secret)).status_code == status


def test_production_takes_events_of_registered_devices_only(
    modes: dict[str, httpx.Client], register: Callable[..., str]
) -> None:
    api = modes["production"]
    anonymous = event("x")
    del anonymous["device_id"]

    stranger = api.post("/api/occupancy/ingest", json=event("EDGE-A1B2"))
    nameless = api.post("/api/occupancy/ingest", json=anonymous)
    signed = api.post("/api/occupancy/ingest", json=event(register(), SECRET))

    assert (stranger.status_code, stranger.json()["code"]) == (401, "unregistered_device")
    assert (nameless.status_code, nameless.json()["errors"][0]["field"]) == (422, "device_id")
    assert signed.status_code == 202
