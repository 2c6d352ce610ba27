"""What a gateway remembers of the registry: briefly, and longer while the database is away."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from ingest.gateways import devices
from ingest.gateways.devices import ASK_AGAIN_S, MAX_AGE_S, TTL_S, Devices, Registration

ROW = {
    "device_id": "d", "site_id": "gym", "secrets": ["s"], "is_valid": True,
    "other_site_ids": None, "other_from": None, "other_to": None,
}  # fmt: skip


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def registry(asked: list[set[str]]) -> Devices:
    """A registry that holds the device `d` alone, and notes what it was asked."""

    async def find(tenant_id: str, device_ids: list[str]) -> list[dict[str, Any]]:
        asked.append(set(device_ids))
        return [ROW] if "d" in device_ids else []

    return Devices(find)


def test_a_device_is_asked_for_once_in_a_while_known_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, asked = Clock(), list[set[str]]()
    monkeypatch.setattr(devices.Registrations.__init__, "__defaults__", (clock,))
    known = registry(asked)

    def look_up(tenant_id: str, *device_ids: str) -> dict[str, Registration]:
        return asyncio.run(known.look_up(tenant_id, device_ids))

    look_up("t", "d", "stranger")
    found = look_up("t", "d", "stranger")
    look_up("another tenant", "d")
    clock.now += TTL_S
    look_up("t", "d", "stranger")

    assert (found["d"].site_id, found["stranger"].is_known) == ("gym", False)
    assert asked == [{"d", "stranger"}, {"d"}, {"d", "stranger"}]


def test_a_planned_move_counts_from_its_time_on_however_old_the_memory_is() -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    row = ROW | {"other_site_ids": ["annex", "pool"], "other_from": [at, None], "other_to": [None, at - timedelta(9)]}

    found = devices.registrations(["d"], [row])["d"]

    times = [at - timedelta(10), at - timedelta(seconds=1), at, at + timedelta(99)]
    assert [found.site_at(time) for time in times] == ["pool", "gym", "annex", "annex"]


def test_names_that_the_registry_cannot_hold_are_not_asked_for() -> None:
    asked: list[set[str]] = []

    assert asyncio.run(registry(asked).look_up("t", ["a\x00b", "x" * 129])) == {}
    assert asked == []


def test_strangers_that_fill_the_memory_make_no_known_device_a_stranger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "MAX_REMEMBERED", 3)
    asked: list[set[str]] = []
    known = registry(asked)

    asyncio.run(known.look_up("t", ["d"]))
    found = asyncio.run(known.look_up("t", ["d", "x1", "x2", "x3"]))
    asyncio.run(known.look_up("t", ["x1", "x2", "x3"]))

    assert found["d"].secrets == ("s",)
    assert asked == [{"d"}, {"x1", "x2", "x3"}], "only the oldest is forgotten"


def test_strangers_push_no_registered_device_out_of_the_memory_which_stays_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(devices, "MAX_REMEMBERED", 3)
    asked: list[set[str]] = []
    known = registry(asked)

    for name in ("d", "x1", "x2", "x3", "x4", "x5", "d", "x4", "x5", "x1"):
        asyncio.run(known.look_up("t", [name]))

    assert asked == [{"d"}, {"x1"}, {"x2"}, {"x3"}, {"x4"}, {"x5"}, {"x1"}]


def test_of_a_device_that_is_registered_or_taken_out_only_the_newest_is_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, rows = Clock(), list[dict[str, Any]]()
    monkeypatch.setattr(devices.Registrations.__init__, "__defaults__", (clock,))

    async def find(tenant_id: str, device_ids: list[str]) -> list[dict[str, Any]]:
        return rows

    known, found = Devices(find), []
    for answer in ([], [ROW], []):
        rows[:] = answer
        asyncio.run(known.look_up("t", ["d"]))
        found.append(asyncio.run(known.look_up("t", ["d"]))["d"].is_known)
        clock.now += TTL_S

    assert found == [False, True, False]


def test_a_device_stays_known_while_another_request_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "MAX_REMEMBERED", 3)
    answer = asyncio.Event()

    async def find(tenant_id: str, device_ids: list[str]) -> list[dict[str, Any]]:
        if "late" in device_ids:
            await answer.wait()
        return [ROW] if "d" in device_ids else []

    async def two_requests() -> dict[str, Registration]:
        known = Devices(find)
        await known.look_up("t", ["d"])
        waiting = asyncio.create_task(known.look_up("t", ["d", "late"]))
        await asyncio.sleep(0)  # its question is under way
        await known.look_up("t", ["x1", "x2", "x3"])
        answer.set()
        return await waiting

    assert asyncio.run(two_requests())["d"].secrets == ("s",)


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


def test_a_database_that_is_away_is_not_waited_for_with_every_event(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, asked = Clock(), list[str]()
    monkeypatch.setattr(devices.Registrations.__init__, "__defaults__", (clock,))
    is_down = False

    async def find(tenant_id: str, device_ids: list[str]) -> list[dict[str, Any]]:
        asked.extend(device_ids)
        if is_down:
            raise psycopg.OperationalError("the server is away")
        return [ROW | {"device_id": device_id} for device_id in device_ids]

    known = Devices(find)
    asyncio.run(known.look_up("t", ["d", "e"]))
    is_down = True
    clock.now += TTL_S
    found = [asyncio.run(known.look_up("t", [device_id])) for device_id in "ded"]
    while_away = asked[2:]
    clock.now += ASK_AGAIN_S
    is_down = False
    asyncio.run(known.look_up("t", ["e"]))

    assert all(registration.is_known for one in found for registration in one.values())
    assert while_away == ["d"]
    assert asked[3:] == ["e"]
