"""What a gateway remembers of the registry: briefly, and longer while the database is away."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from ingest.gateways import devices
from ingest.gateways.devices import MAX_AGE_S, TTL_S, Devices, Registrations

ROW = {"device_id": "d", "site_id": "gym", "secrets": ["s"], "is_valid": True}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_device_is_asked_for_once_in_a_while_known_or_not() -> None:
    clock = Clock()
    remembered = Registrations(clock)

    assert set(remembered.forgotten("t", ["d", "stranger"])) == {"d", "stranger"}
    remembered.remember("t", ["d", "stranger"], [ROW])
    assert remembered.forgotten("t", ["d", "stranger"]) == []
    assert remembered.forgotten("another tenant", ["d"]) == ["d"]
    clock.now += TTL_S
    assert set(remembered.forgotten("t", ["d", "stranger"])) == {"d", "stranger"}
    assert (remembered.of("t", "d").site_id, remembered.of("t", "stranger").is_known) == ("gym", False)


def test_names_that_the_registry_cannot_hold_are_not_asked_for() -> None:
    assert Registrations().forgotten("t", ["a\x00b", "x" * 129]) == []


def test_memories_bridge_an_outage_of_the_database_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(devices.Registrations.__init__, "__defaults__", (clock,))
    is_down = False

    async def find(tenant_id: str, device_ids: list[str]) -> list[dict[str, Any]]:
        if is_down:
            raise psycopg.OperationalError("the server is away")
        return [ROW]

    known = Devices(find)
    asyncio.run(known.look_up("t", ["d"]))
    is_down = True
    clock.now += MAX_AGE_S - 1
    assert asyncio.run(known.look_up("t", ["d"]))["d"].secrets == ("s",)
    with pytest.raises(psycopg.OperationalError):
        asyncio.run(known.look_up("t", ["d", "new"]))
    clock.now += 2
    with pytest.raises(psycopg.OperationalError):
        asyncio.run(known.look_up("t", ["d"]))
