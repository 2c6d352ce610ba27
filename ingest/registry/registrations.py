"""Registrations of devices, each with its dates: read, judged and written for one device as for thousands at once."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import psycopg

from ingest.registry.entries import NewDevice, RegistryError
from ingest.registry.tenants import put_tenant

EVER = datetime.min.replace(tzinfo=UTC)
FOR_GOOD = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Registration:
    """From when until when a device counts for a site, and signs with a secret (None: it need not)."""

    device_id: str
    site_id: str | None
    secret: str | None
    valid_from: datetime = EVER
    valid_to: datetime = FOR_GOOD

    def counts_at(self, at: datetime) -> bool:
        """Whether it counts then."""
        return self.valid_from <= at < self.valid_to


@dataclass
class Changes:
    """What to write: registrations that begin, and when others end."""

    begun: list[Registration] = field(default_factory=list)
    ended: list[tuple[Registration, datetime]] = field(default_factory=list)

    def move(self, counting: Sequence[Registration], site_id: str | None, at: datetime) -> None:
        """Let those that count at an instant (two while a secret is being exchanged) go on for another site then."""
        self.ended += [(r, at) for r in counting]
        self.begun += [
            replace(r, site_id=site_id, valid_from=at + timedelta(microseconds=number))
            for number, r in enumerate(counting)
        ]

    def end(self, counting: Sequence[Registration], at: datetime) -> None:
        """Let the last of those that count end at an instant, and none of the others later."""
        self.ended += [(r, at) for r in counting if r.valid_to > at or r is counting[-1]]


def lock_device(connection: psycopg.Connection, tenant_id: str, device_id: str) -> datetime:
    """One change of a device at a time, for overlap is checked by reading; return the database's time from then."""
    connection.execute(
        "SELECT pg_advisory_xact_lock_shared(hashtextextended(%s, 0)), pg_advisory_xact_lock(hashtextextended(%s, 0))",
        [f"devices/{tenant_id}", f"device/{tenant_id}/{device_id}"],
    )
    return _clock(connection)


def lock_devices(connection: psycopg.Connection, tenant_id: str) -> datetime:
    """The same for all devices of a tenant."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"devices/{tenant_id}"])
    return _clock(connection)


def _clock(connection: psycopg.Connection) -> datetime:
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    return row[0]  # type: ignore[no-any-return]


def registrations(
    connection: psycopg.Connection, tenant_id: str, device_ids: Iterable[str]
) -> dict[str, list[Registration]]:
    """Device to its registrations, by their beginning; without those that were never registered."""
    found: dict[str, list[Registration]] = {}
    rows = connection.execute(
        "SELECT device_id, site_id, secret, nullif(valid_from, '-infinity'), nullif(valid_to, 'infinity')"
        " FROM registry.devices WHERE tenant_id = %s AND device_id = ANY(%s) ORDER BY device_id, valid_from",
        [tenant_id, list(device_ids)],
    )
    for device_id, site_id, secret, valid_from, valid_to in rows:
        registration = Registration(device_id, site_id, secret, valid_from or EVER, valid_to or FOR_GOOD)
        found.setdefault(device_id, []).append(registration)
    return found


def main_registration(known: Sequence[Registration], now: datetime) -> Registration:
    """Of a device's registrations the one that counts now, else the next one, else the last one."""
    planned = [r for r in known if r.valid_from > now]
    counting = [r for r in known if r.counts_at(now)]
    return (counting[-1:] or planned[:1] or known[-1:])[0]


def new_registration(device: NewDevice, known: Sequence[Registration], now: datetime) -> Registration:
    """The registration that a new device, or one that is registered anew, gets; one that signs gets a secret.

    Raises:
        RegistryError: already_registered, for a time in which it is registered; invalid_device, if it was registered
            before and this registration would end before it begins.
    """
    # Data from before its registration are its own too, unless somebody had the name before.
    valid_from = device.valid_from or (now if known else EVER)
    valid_to = device.valid_to or FOR_GOOD
    if valid_to <= valid_from:
        raise RegistryError(
            "invalid_device",
            f"valid_to of '{device.device_id}' must be after valid_from, which is now: it was registered before",
            "valid_to",
        )
    if any(r.valid_from < valid_to and valid_from < r.valid_to for r in known):
        raise RegistryError(
            "already_registered",
            f"the device '{device.device_id}' is registered for that time already: move it, exchange its secret, "
            "or revoke it first",
            "device_id",
        )
    secret = (device.secret or secrets.token_urlsafe(32)) if device.signs else None
    return Registration(device.device_id, device.site_id, secret, valid_from, valid_to)


def write(connection: psycopg.Connection, tenant_id: str, changes: Changes) -> None:
    """Write the changes, within the caller's transaction and lock: first what ends, then what begins."""
    ended = [(r.device_id, _text(r.valid_from), _text(at)) for r, at in changes.ended]
    connection.execute(
        """
        UPDATE registry.devices AS d SET valid_to = e.valid_to
        FROM unnest(%s::text[], %s::timestamptz[], %s::timestamptz[]) AS e (device_id, valid_from, valid_to)
        WHERE d.tenant_id = %s AND d.device_id = e.device_id AND d.valid_from = e.valid_from
        """,
        [*_columns(ended, 3), tenant_id],
    )
    if changes.begun:
        put_tenant(connection, tenant_id)
    begun = [(r.device_id, r.site_id, r.secret, _text(r.valid_from), _text(r.valid_to)) for r in changes.begun]
    connection.execute(
        """
        INSERT INTO registry.devices (tenant_id, device_id, site_id, secret, valid_from, valid_to)
        SELECT %s, * FROM unnest(%s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[])
        """,
        [tenant_id, *_columns(begun, 5)],
    )


def _text(at: datetime) -> str:
    return {EVER: "-infinity", FOR_GOOD: "infinity"}.get(at) or at.isoformat()


def _columns(rows: Sequence[tuple[str | None, ...]], width: int) -> list[list[str | None]]:
    return [[row[column] for row in rows] for column in range(width)]
