"""Many devices at once: all of them or none."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psycopg

from ingest.registry.devices import add_device, find_device, list_devices, move_device
from ingest.registry.entries import NewDevice, RegistryError
from plimsoll.errors import PlimsollError


@dataclass
class Imported:
    """What became of the devices of a file."""

    added: int = 0
    moved: int = 0
    unchanged: int = 0


def import_devices(
    connection: psycopg.Connection, tenant_id: str, entries: Iterable[NewDevice], secrets_to: Path | None
) -> Imported:
    """Register devices, or move those that are registered; all or none.

    Args:
        connection: to the database, in autocommit.
        tenant_id: their owner.
        entries: one per device.
        secrets_to: where the secrets go that are made for devices without one; None: such devices need not sign.

    Raises:
        RegistryError: a device is registered for that time, and not active.
        PlimsollError: the secrets cannot be written.
    """
    done, made = Imported(), dict[str, str]()
    with connection.transaction():
        for entry in entries:
            if any(d["state"] == "active" for d in list_devices(connection, tenant_id, device_id=entry.device_id)):
                _bring_up_to_date(connection, tenant_id, entry, done)
                continue
            signs = entry.secret is not None or secrets_to is not None
            secret = add_device(connection, tenant_id, entry.model_copy(update={"signs": entry.signs and signs}))
            done.added += 1
            if secret and entry.secret is None:
                made[entry.device_id] = secret
        if secrets_to is not None:
            _write_secrets(secrets_to, made)
    return done


def _bring_up_to_date(connection: psycopg.Connection, tenant_id: str, entry: NewDevice, done: Imported) -> None:
    if entry.secret is not None:
        known = connection.execute(
            "SELECT FROM registry.devices WHERE tenant_id = %s AND device_id = %s AND secret = %s"
            " AND valid_from <= now() AND now() < valid_to",
            [tenant_id, entry.device_id, entry.secret],
        ).fetchone()
        if known is None:
            raise RegistryError(
                "already_registered",
                f"the device '{entry.device_id}' is registered with another secret: exchange that with "
                "`plimsoll devices rotate`, or revoke the device first",
                "secret",
            )
    has_moved = find_device(connection, tenant_id, entry.device_id)["site_id"] != entry.site_id
    if "site_id" not in entry.model_fields_set or not has_moved:
        done.unchanged += 1
    else:
        move_device(connection, tenant_id, entry.device_id, entry.site_id)
        done.moved += 1


def _write_secrets(file: Path, made: dict[str, str]) -> None:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", newline="") as opened:
            writer = csv.writer(opened)
            writer.writerow(["device_id", "secret"])
            writer.writerows(made.items())
    except OSError as error:
        raise PlimsollError(
            f"--secrets-to {file}: cannot be written: {error.strerror}; nothing was imported"
        ) from error
