"""Many devices at once: all of them or none."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from ingest.registry.csv_files import at_line
from ingest.registry.devices import Row, add_device, list_devices, move_device
from ingest.registry.entries import NewDevice, RegistryError
from plimsoll.errors import PlimsollError


@dataclass
class Imported:
    """What became of the devices of a file."""

    added: int = 0
    moved: int = 0
    unchanged: int = 0


def import_devices(
    connection: psycopg.Connection, tenant_id: str, entries: Mapping[int, NewDevice], secrets_to: Path | None
) -> Imported:
    """Register the devices of a file, or move those that are registered; all or none.

    Args:
        connection: to the database, in autocommit.
        tenant_id: their owner.
        entries: one per device, by line.
        secrets_to: where the secrets go that are made for devices without one; None: such devices need not sign.

    Raises:
        RegistryError: a device was revoked, or is registered otherwise than its line says; the message names the line.
        PlimsollError: the secrets cannot be written.
    """
    done, made = Imported(), dict[str, str]()
    with connection.transaction():
        for line, entry in entries.items():
            with at_line(line):
                known = next(iter(list_devices(connection, tenant_id, device_id=entry.device_id)), None)
                if known is not None and (known["state"] == "active" or _says_the_same(entry, known)):
                    _bring_up_to_date(connection, tenant_id, entry, known, done)
                    continue
                if known is not None and known["state"] == "revoked":
                    _require_purpose(entry, known)
                secret = add_device(connection, tenant_id, _signing(entry, secrets_to is not None))
                done.added += 1
                if secret and entry.secret is None:
                    made[entry.device_id] = secret
        if secrets_to is not None:
            _write_secrets(secrets_to, made)
    return done


def _says_the_same(entry: NewDevice, known: Row) -> bool:
    """Whether a registration that does not count now, as it is planned or over, is the one that the file means."""
    has_moved = "site_id" in entry.model_fields_set and entry.site_id != known["site_id"]
    return not has_moved and (entry.valid_from, entry.valid_to) == (known["valid_from"], known["valid_to"])


def _require_purpose(entry: NewDevice, known: Row) -> None:
    """Refuse to bring back a device that was revoked, stolen perhaps, because it still stands in the fleet's file."""
    if entry.valid_from is None or entry.valid_from < known["valid_to"]:
        raise RegistryError(
            "revoked_device",
            f"the device '{entry.device_id}' was revoked on {known['valid_to']:%Y-%m-%d}: take it out of the file, or "
            f"register it anew, with `plimsoll devices add {entry.device_id}` or a valid_from after that",
            "device_id",
        )


def _signing(entry: NewDevice, makes_secrets: bool) -> NewDevice:
    if entry.secret is not None or makes_secrets:
        return entry
    if entry.signs and "signs" in entry.model_fields_set:
        raise RegistryError(
            "invalid_device",
            f"the device '{entry.device_id}' is to sign and has no secret: give it one, or let --secrets-to make it",
            "signs",
        )
    return entry.model_copy(update={"signs": False})


def _bring_up_to_date(
    connection: psycopg.Connection, tenant_id: str, entry: NewDevice, known: Row, done: Imported
) -> None:
    if "signs" in entry.model_fields_set and entry.signs != known["signs"]:
        raise RegistryError(
            "already_registered",
            f"the device '{entry.device_id}' is registered as one that {'has to' if known['signs'] else 'need not'} "
            "sign: revoke it first, or give it a secret with `plimsoll devices rotate`",
            "signs",
        )
    if entry.secret is not None:
        # One that is over is the file's own, to the date: nobody signs with its secret any more.
        matching = connection.execute(
            "SELECT FROM registry.devices WHERE tenant_id = %s AND device_id = %s AND secret = %s"
            " AND (now() < valid_to OR %s = 'revoked')",
            [tenant_id, entry.device_id, entry.secret, known["state"]],
        ).fetchone()
        if matching is None:
            raise RegistryError(
                "already_registered",
                f"the device '{entry.device_id}' is registered with another secret: exchange that with "
                "`plimsoll devices rotate`, or revoke the device first",
                "secret",
            )
    if "site_id" not in entry.model_fields_set or entry.site_id == known["site_id"]:
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
