"""Devices: register, move, exchange secrets, revoke. A device's past registrations stay, with their dates."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import dict_row

from ingest.registry.entries import NewDevice, RegistryError
from ingest.registry.tenants import put_tenant

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
    ORDER BY d.device_id, d.valid_to <= now(), d.valid_from > now(), d.valid_from DESC
    LIMIT %(limit)s
"""
_COUNTING_NOW = """
    SELECT site_id, secret, nullif(valid_to, 'infinity') AS valid_to
    FROM registry.devices
    WHERE tenant_id = %s AND device_id = %s AND valid_from <= clock_timestamp() AND clock_timestamp() < valid_to
    ORDER BY valid_from
    FOR UPDATE
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
    secret = (device.secret or secrets.token_urlsafe(32)) if device.signs else None
    with connection.transaction():
        put_tenant(connection, tenant_id)
        now = _lock(connection, tenant_id, device.device_id)
        known = list_devices(connection, tenant_id, device_id=device.device_id)
        # Data from before its registration are its own too, unless somebody had the name before.
        valid_from = device.valid_from or (now if known else None)
        if valid_from is not None and device.valid_to is not None and device.valid_to <= valid_from:
            raise RegistryError(
                "invalid_device",
                f"valid_to of '{device.device_id}' must be after valid_from, which is now: it was registered before",
                "valid_to",
            )
        overlapping = connection.execute(
            "SELECT FROM registry.devices WHERE tenant_id = %s AND device_id = %s"
            " AND valid_from < coalesce(%s::timestamptz, 'infinity')"
            " AND coalesce(%s::timestamptz, '-infinity') < valid_to",
            [tenant_id, device.device_id, device.valid_to, valid_from],
        ).fetchone()
        if overlapping is not None:
            raise RegistryError(
                "already_registered",
                f"the device '{device.device_id}' is registered for that time already: move it, exchange its secret, "
                "or revoke it first",
                "device_id",
            )
        _insert(connection, tenant_id, device.device_id, device.site_id, secret, valid_from, device.valid_to)
    return secret


def move_device(connection: psycopg.Connection, tenant_id: str, device_id: str, site_id: str | None) -> Row:
    """Let a device count for another site from now on; its secret stays, its past stays where it was.

    Raises:
        RegistryError: unknown_device, or not_active when no registration counts now.
    """
    with connection.transaction():
        now = _lock(connection, tenant_id, device_id)
        counting = _counting(connection, tenant_id, device_id)
        if counting[-1]["site_id"] != site_id:
            _end(connection, tenant_id, device_id, now)
            for number, row in enumerate(counting):  # two while its secret is being exchanged
                valid_from = now + timedelta(microseconds=number)
                _insert(connection, tenant_id, device_id, site_id, row["secret"], valid_from, row["valid_to"])
    return find_device(connection, tenant_id, device_id)


def exchange_secret(
    connection: psycopg.Connection, tenant_id: str, device_id: str, overlap: timedelta
) -> ExchangedSecret:
    """Give a device a new secret; the old one counts for as long as `overlap` beside it, but not beyond its own end.

    Raises:
        RegistryError: unknown_device, or not_active when no registration counts now.
    """
    with connection.transaction():
        now = _lock(connection, tenant_id, device_id)
        last = _counting(connection, tenant_id, device_id)[-1]
        # A device that need not sign has no old secret; its old registration must not go on beside the new one.
        old_until = min(now + overlap, last["valid_to"] or datetime.max.replace(tzinfo=UTC)) if last["secret"] else now
        _end(connection, tenant_id, device_id, old_until)
        secret = secrets.token_urlsafe(32)
        _insert(connection, tenant_id, device_id, last["site_id"], secret, now, last["valid_to"])
    return ExchangedSecret(secret, old_until.astimezone(UTC) if old_until > now else None)


def revoke_device(connection: psycopg.Connection, tenant_id: str, device_id: str) -> None:
    """End what counts of a device now, and drop what is planned; its events are refused from then on.

    Raises:
        RegistryError: unknown_device.
    """
    with connection.transaction():
        now = _lock(connection, tenant_id, device_id)
        find_device(connection, tenant_id, device_id)
        connection.execute(
            "DELETE FROM registry.devices WHERE tenant_id = %s AND device_id = %s AND valid_from >= %s",
            [tenant_id, device_id, now],
        )
        _end(connection, tenant_id, device_id, now)


def _counting(connection: psycopg.Connection, tenant_id: str, device_id: str) -> list[Row]:
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(_COUNTING_NOW, [tenant_id, device_id]).fetchall()
    if not found:
        find_device(connection, tenant_id, device_id)
        raise RegistryError(
            "not_active", f"no registration of '{device_id}' counts now: register it again", "device_id"
        )
    return found


def _end(connection: psycopg.Connection, tenant_id: str, device_id: str, at: datetime) -> None:
    # What is planned goes on: only revoking drops it.
    connection.execute(
        "UPDATE registry.devices SET valid_to = %s WHERE tenant_id = %s AND device_id = %s"
        " AND valid_from <= clock_timestamp() AND valid_from < %s AND valid_to > %s",
        [at, tenant_id, device_id, at, at],
    )


def _insert(
    connection: psycopg.Connection,
    tenant_id: str,
    device_id: str,
    site_id: str | None,
    secret: str | None,
    valid_from: datetime | None,
    valid_to: datetime | None,
) -> None:
    connection.execute(
        "INSERT INTO registry.devices (tenant_id, device_id, site_id, secret, valid_from, valid_to)"
        " VALUES (%s, %s, %s, %s, coalesce(%s::timestamptz, '-infinity'), coalesce(%s::timestamptz, 'infinity'))",
        [tenant_id, device_id, site_id, secret, valid_from, valid_to],
    )


def _lock(connection: psycopg.Connection, tenant_id: str, device_id: str) -> datetime:
    """One change of a device at a time, for overlap is checked by reading; return the database's time from then."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"device/{tenant_id}/{device_id}"])
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    return row[0]  # type: ignore[no-any-return]
