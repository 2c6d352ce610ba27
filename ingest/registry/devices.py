"""Devices: register, move, exchange secrets, revoke. A device's past registrations stay, with their dates."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import dict_row

from ingest.registry.entries import NewDevice, RegistryError
from ingest.registry.registrations import (
    Changes,
    Registration,
    lock_device,
    new_registration,
    registrations,
    write,
)

# One row per device: the registration that counts now, else the next one, else the last one. Never the secret.
DEVICES = """
    SELECT DISTINCT ON (device_id)
        device_id, site_id, secret IS NOT NULL AS signs,
        CASE WHEN valid_to <= now() THEN 'revoked' WHEN valid_from > now() THEN 'planned' ELSE 'active' END AS state,
        nullif(valid_from, '-infinity') AS valid_from, nullif(valid_to, 'infinity') AS valid_to, created_at
    FROM registry.devices AS d
    WHERE tenant_id = %(tenant_id)s
        AND (%(device_id)s::text IS NULL OR device_id = %(device_id)s)
        AND (%(after)s::text IS NULL OR device_id > %(after)s)
        AND (%(site_id)s::text IS NULL OR (site_id = %(site_id)s AND valid_from <= now() AND now() < valid_to))
    ORDER BY d.device_id, d.valid_to <= now(), d.valid_from > now(),
        CASE WHEN d.valid_from > now() THEN d.valid_from END, d.valid_from DESC
    LIMIT %(limit)s
"""

Row = dict[str, Any]


@dataclass(frozen=True)
class ExchangedSecret:
    """A device's new secret.

    Attributes:
        secret: nothing tells it again.
        old_until: until when the one before counts beside it; None: it does not, or there was none.
    """

    secret: str
    old_until: datetime | None


def list_devices(
    connection: psycopg.Connection,
    tenant_id: str,
    *,
    device_id: str | None = None,
    site_id: str | None = None,
    after: str | None = None,
    limit: int | None = None,
) -> list[Row]:
    """A tenant's devices in the order of their ids, those after `after`; without their secrets."""
    parameters = {
        "tenant_id": tenant_id, "device_id": device_id, "site_id": site_id, "after": after, "limit": limit,
    }  # fmt: skip
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(DEVICES, parameters).fetchall()


def find_device(connection: psycopg.Connection, tenant_id: str, device_id: str) -> Row:
    """One device.

    Raises:
        RegistryError: unknown_device.
    """
    found = list_devices(connection, tenant_id, device_id=device_id)
    if not found:
        raise RegistryError("unknown_device", f"no device '{device_id}' is registered", "device_id")
    return found[0]


def add_device(connection: psycopg.Connection, tenant_id: str, device: NewDevice) -> str | None:
    """Register a device; return its secret, which nothing tells afterwards (None: it need not sign).

    Raises:
        RegistryError: already_registered, for a time in which it is registered; invalid_device, if it was registered
            before and this registration would end before it begins.
    """
    with connection.transaction():
        now = lock_device(connection, tenant_id, device.device_id)
        known = registrations(connection, tenant_id, [device.device_id]).get(device.device_id, [])
        registration = new_registration(device, known, now)
        write(connection, tenant_id, Changes(begun=[registration]))
    return registration.secret


def move_device(connection: psycopg.Connection, tenant_id: str, device_id: str, site_id: str | None) -> Row:
    """Let a device count for another site from now on; its secret stays, its past stays where it was.

    Raises:
        RegistryError: unknown_device, or not_active when no registration counts now.
    """
    with connection.transaction():
        now = lock_device(connection, tenant_id, device_id)
        counting = _counting(connection, tenant_id, device_id, now)
        if counting[-1].site_id != site_id:
            changes = Changes()
            changes.move(counting, site_id, now)
            write(connection, tenant_id, changes)
    return find_device(connection, tenant_id, device_id)


def exchange_secret(
    connection: psycopg.Connection, tenant_id: str, device_id: str, overlap: timedelta
) -> ExchangedSecret:
    """Give a device a new secret; the old one counts for as long as `overlap` beside it, but not beyond its own end.

    Raises:
        RegistryError: unknown_device, or not_active when no registration counts now.
    """
    with connection.transaction():
        now = lock_device(connection, tenant_id, device_id)
        counting = _counting(connection, tenant_id, device_id, now)
        last = counting[-1]
        # A device that need not sign has no old secret; its old registration must not go on beside the new one.
        old_until = min(now + overlap, last.valid_to) if last.secret else now
        new = replace(last, secret=secrets.token_urlsafe(32), valid_from=now)
        write(connection, tenant_id, Changes([new], [(r, old_until) for r in counting if r.valid_to > old_until]))
        # Where a move is planned, the old secret must not come back with it.
        connection.execute(
            "UPDATE registry.devices SET secret = %s"
            " WHERE tenant_id = %s AND device_id = %s AND valid_from > %s AND secret IS NOT DISTINCT FROM %s",
            [new.secret, tenant_id, device_id, now, last.secret],
        )
    return ExchangedSecret(str(new.secret), old_until.astimezone(UTC) if old_until > now else None)


def revoke_device(connection: psycopg.Connection, tenant_id: str, device_id: str) -> None:
    """End what counts of a device now, and drop what is planned; its events are refused from then on.

    Raises:
        RegistryError: unknown_device.
    """
    with connection.transaction():
        now = lock_device(connection, tenant_id, device_id)
        find_device(connection, tenant_id, device_id)
        connection.execute(
            "DELETE FROM registry.devices WHERE tenant_id = %s AND device_id = %s AND valid_from >= %s",
            [tenant_id, device_id, now],
        )
        connection.execute(
            "UPDATE registry.devices SET valid_to = %s WHERE tenant_id = %s AND device_id = %s AND valid_to > %s",
            [now, tenant_id, device_id, now],
        )


def _counting(connection: psycopg.Connection, tenant_id: str, device_id: str, now: datetime) -> list[Registration]:
    known = registrations(connection, tenant_id, [device_id]).get(device_id, [])
    counting = [r for r in known if r.counts_at(now)]
    if not counting:
        find_device(connection, tenant_id, device_id)
        raise RegistryError(
            "not_active", f"no registration of '{device_id}' counts now: register it again", "device_id"
        )
    return counting
