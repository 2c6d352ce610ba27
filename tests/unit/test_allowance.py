"""A client's allowance of events a minute, as requests spend it. Without Kafka, 503 is what comes after it."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.requests import HTTPConnection

from ingest.gateways.devices import Devices
from ingest.gateways.gateway import Gateway
from ingest.gateways.http import RequestRefused, create_router, refused_response


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_030.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("time.time", clock)
    return clock


def client(events_per_minute: int) -> TestClient:
    async def tenant(_: HTTPConnection) -> str:
        return "default"

    async def find(*_: Any) -> list[dict[str, Any]]:
        return []

    app = FastAPI()
    app.state.gateway, app.state.devices = Gateway(None, {}), Devices(find)
    app.add_exception_handler(RequestRefused, refused_response)
    router = create_router(
        tenant, max_body_bytes=10_000, max_events_per_minute=events_per_minute, unregistered_devices=True
    )
    app.include_router(router)
    return TestClient(app)


@pytest.mark.parametrize("before", [0, 1, 20])
def test_a_list_beyond_a_minutes_allowance_is_taken_by_who_waits_as_told(clock: Clock, before: int) -> None:
    sender, started_at = client(20), clock.now
    for _ in range(before):
        sender.post("/api/traffic/ingest", json={})

    while (answer := sender.post("/api/traffic/ingest", json=[{}] * 50)).status_code == 429:
        clock.now += int(answer.headers["Retry-After"])
        assert clock.now - started_at <= 120

    assert answer.json()["code"] == "ingest_off"
    assert sender.post("/api/traffic/ingest", json={}).status_code == 429  # it took the whole of it


def test_an_empty_list_counts_like_an_event(clock: Clock) -> None:
    sender = client(2)

    assert [sender.post("/api/traffic/ingest", json=[]).status_code for _ in range(3)] == [503, 503, 429]
