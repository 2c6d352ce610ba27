"""Many devices at once: effective dates kept, the registry asked once."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from subprocess import CompletedProcess
from typing import Any

import psycopg
import pytest
from counting import Counting

from ingest.registry.devices import add_device, exchange_secret, find_device, move_device, revoke_device
from ingest.registry.entries import NewDevice, RegistryError
from ingest.registry.imports import Imported, import_devices

pytestmark = pytest.mark.integration
Plimsoll = Callable[..., CompletedProcess[str]]
SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
LATER = SOON + timedelta(days=30)


@pytest.fixture
def device_id() -> str:
    return f"edge-{uuid.uuid4().hex[:8]}"


def taken(connection: psycopg.Connection, device_id: str, **fields: Any) -> Imported:
    return import_devices(connection, "default", {2: NewDevice(device_id=device_id, **fields)}, None)


def dated(connection: psycopg.Connection, device_id: str) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT site_id, secret, nullif(valid_from, '-infinity'), nullif(valid_to, 'infinity') FROM registry.devices"
        " WHERE device_id = %s ORDER BY valid_from",
        [device_id],
    ).fetchall()


def test_an_active_device_is_moved_when_its_row_says_and_not_before(
    connection: psycopg.Connection, device_id: str
) -> None:
    secret = add_device(connection, "default", NewDevice(device_id=device_id, site_id="bus-1"))

    first = taken(connection, device_id, site_id="bus-2", valid_from=SOON)
    again = taken(connection, device_id, site_id="bus-2", valid_from=SOON)

    assert (first, again) == (Imported(changed=1), Imported(unchanged=1))
    assert dated(connection, device_id) == [("bus-1", secret, None, SOON), ("bus-2", secret, SOON, None)]
    assert find_device(connection, "default", device_id)["site_id"] == "bus-1"


def test_a_planned_move_outlives_an_old_secret_and_ends_when_the_registration_does(
    connection: psycopg.Connection, device_id: str
) -> None:
    add_device(connection, "default", NewDevice(device_id=device_id, site_id="bus-1", valid_to=LATER))
    secret = exchange_secret(connection, "default", device_id, timedelta(hours=1)).secret

    taken(connection, device_id, site_id="bus-2", valid_from=SOON)

    assert [(row[0], row[3]) for row in dated(connection, device_id)][1:] == [("bus-1", SOON), ("bus-2", LATER)]
    assert dated(connection, device_id)[-1][1] == secret


def test_a_planned_move_takes_the_secret_that_is_exchanged_before_it(
    connection: psycopg.Connection, device_id: str
) -> None:
    add_device(connection, "default", NewDevice(device_id=device_id, site_id="bus-1"))
    taken(connection, device_id, site_id="bus-2", valid_from=SOON)

    secret = exchange_secret(connection, "default", device_id, timedelta(hours=1)).secret

    assert [row[:3:2] for row in dated(connection, device_id)][2:] == [("bus-2", SOON)]
    assert [row[1] == secret for row in dated(connection, device_id)] == [False, True, True]


def test_a_move_beside_another_that_is_planned_is_refused_and_one_from_now_on_leaves_it(
    connection: psycopg.Connection, device_id: str
) -> None:
    add_device(connection, "default", NewDevice(device_id=device_id, site_id="bus-1"))
    taken(connection, device_id, site_id="bus-2", valid_from=LATER)

    with pytest.raises(RegistryError, match=f"line 2: valid_from: .*is planned from {LATER:%Y-%m-%d} on"):
        taken(connection, device_id, site_id="bus-3", valid_from=SOON)
    moved = taken(connection, device_id, site_id="bus-3")

    assert moved == Imported(changed=1)
    assert [(row[0], row[3]) for row in dated(connection, device_id)[1:]] == [("bus-3", LATER), ("bus-2", None)]


@pytest.mark.parametrize("site", ["bus-2", None])
def test_a_row_may_register_an_active_device_again_after_its_end_with_its_secret(
    connection: psycopg.Connection, device_id: str, site: str | None
) -> None:
    secret = add_device(connection, "default", NewDevice(device_id=device_id, site_id="bus-1", valid_to=SOON))
    named = {"site_id": site} if site else {}

    first, again = (taken(connection, device_id, **named, valid_from=LATER) for _ in range(2))

    assert (first, again) == (Imported(changed=1), Imported(unchanged=1))
    assert dated(connection, device_id) == [("bus-1", secret, None, SOON), (site or "bus-1", secret, LATER, None)]


def test_an_old_secret_counts_no_longer_than_the_end_that_a_move_gives(
    connection: psycopg.Connection, device_id: str
) -> None:
    add_device(connection, "default", NewDevice(device_id=device_id, site_id="bus-1"))
    exchange_secret(connection, "default", device_id, timedelta(days=60))

    taken(connection, device_id, site_id="bus-2", valid_from=SOON, valid_to=LATER)

    assert [row[3] for row in dated(connection, device_id) if row[0] == "bus-2"] == [LATER, LATER]


@pytest.mark.parametrize("old_end", [None, LATER])
def test_the_end_that_a_row_gives_an_active_device_counts(
    connection: psycopg.Connection, device_id: str, old_end: datetime | None
) -> None:
    add_device(connection, "default", NewDevice(device_id=device_id, site_id="bus-1", valid_to=old_end))
    end = LATER + timedelta(days=1)

    first, again = (taken(connection, device_id, valid_to=end) for _ in range(2))

    assert (first, again) == (Imported(changed=1), Imported(unchanged=1))
    assert [row[3] for row in dated(connection, device_id)] == [end]


def test_an_end_that_is_past_ends_an_active_device_now_unless_it_was_an_earlier_registrations(
    connection: psycopg.Connection, device_id: str
) -> None:
    past = datetime.now(UTC) - timedelta(days=9)
    for name in (device_id, f"{device_id}-anew"):
        add_device(connection, "default", NewDevice(device_id=name, site_id="bus-1"))
    revoke_device(connection, "default", f"{device_id}-anew")
    add_device(connection, "default", NewDevice(device_id=f"{device_id}-anew", site_id="bus-1"))

    ended = taken(connection, device_id, valid_to=past)
    earlier = taken(connection, f"{device_id}-anew", valid_to=past)

    assert (ended, earlier) == (Imported(changed=1), Imported(unchanged=1))
    assert find_device(connection, "default", device_id)["state"] == "revoked"
    assert find_device(connection, "default", f"{device_id}-anew")["state"] == "active"


def test_an_end_beyond_a_planned_change_is_refused(connection: psycopg.Connection, device_id: str) -> None:
    add_device(connection, "default", NewDevice(device_id=device_id, site_id="bus-1"))
    taken(connection, device_id, site_id="bus-2", valid_from=SOON)

    with pytest.raises(RegistryError, match=f"line 2: valid_to: .*is planned from {SOON:%Y-%m-%d} on"):
        taken(connection, device_id, valid_to=LATER)


def test_of_several_planned_registrations_the_next_is_shown(connection: psycopg.Connection, device_id: str) -> None:
    for site, start, end in (("bus-1", SOON, LATER), ("bus-2", LATER, None)):
        device = NewDevice(device_id=device_id, site_id=site, valid_from=start, valid_to=end)
        add_device(connection, "default", device)

    assert find_device(connection, "default", device_id)["site_id"] == "bus-1"


def test_the_registry_is_asked_as_often_for_a_thousand_devices_as_for_one(
    connection: psycopg.Connection, device_id: str
) -> None:
    connection.cursor_factory = Counting
    asked = []
    for name, count in (("one", 1), ("many", 1000)):
        ids = [f"{device_id}-{name}-{number}" for number in range(count)]
        for site in ("bus-1", "bus-1", "bus-2"):
            entries = {line: NewDevice(device_id=id_, site_id=site) for line, id_ in enumerate(ids, start=2)}
            Counting.executed = 0
            import_devices(connection, "default", entries, None)
            asked.append(Counting.executed)

    assert asked[:3] == asked[3:]
    assert max(asked) < 10


def test_an_import_waits_for_a_change_that_is_under_way(
    connection: psycopg.Connection, database_url: str, device_id: str
) -> None:
    add_device(connection, "default", NewDevice(device_id=device_id, site_id="bus-1"))
    connection.execute("SET lock_timeout = '200ms'")
    with psycopg.connect(database_url) as other, other.transaction():
        move_device(other, "default", device_id, "bus-2")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            taken(connection, device_id, site_id="bus-3")

    assert taken(connection, device_id, site_id="bus-2") == Imported(unchanged=1)
