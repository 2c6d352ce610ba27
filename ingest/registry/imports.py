"""Many devices at once: all of them or none."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import psycopg

from ingest.registry.csv_files import at_line
from ingest.registry.entries import NewDevice, RegistryError
from ingest.registry.registrations import (
    EVER,
    FOR_GOOD,
    Changes,
    Registration,
    lock_devices,
    main_registration,
    new_registration,
    registrations,
    write,
)
from plimsoll.errors import PlimsollError


@dataclass
class Imported:
    """What became of the devices of a file."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0


def import_devices(
    connection: psycopg.Connection, tenant_id: str, entries: Mapping[int, NewDevice], secrets_to: Path | None
) -> Imported:
    """Register the devices of a file, or bring those that are registered up to date; all or none.

    Args:
        connection: to the database, in autocommit.
        tenant_id: their owner.
        entries: one per device, by line.
        secrets_to: where the secrets go that are made for devices without one; None: such devices need not sign.

    Raises:
        RegistryError: a device was revoked, or is registered otherwise than its line says; the message names the line.
        PlimsollError: the secrets cannot be written.
    """
    done, made, changes = Imported(), dict[str, str](), Changes()
    with connection.transaction():
        now = lock_devices(connection, tenant_id)
        known = registrations(connection, tenant_id, [entry.device_id for entry in entries.values()])
        for line, entry in entries.items():
            with at_line(line):
                held = known.get(entry.device_id, [])
                if any(r.counts_at(now) for r in held) or _says_the_same(entry, held, now):
                    _require_no_other(entry, held, now)
                    is_changed = _bring_up_to_date(entry, held, now, changes)
                    done.changed += is_changed
                    done.unchanged += not is_changed
                    continue
                _require_purpose(entry, held, now)
                registration = new_registration(_signing(entry, secrets_to is not None), held, now)
                changes.begun.append(registration)
                done.added += 1
                if registration.secret and entry.secret is None:
                    made[entry.device_id] = registration.secret
        write(connection, tenant_id, changes)
        if secrets_to is not None:
            _write_secrets(secrets_to, made)
    return done


def _says_the_same(entry: NewDevice, held: Sequence[Registration], now: datetime) -> bool:
    """Whether a registration that does not count now, as it is planned or over, is the one that the file means."""
    if not held:
        return False
    known = main_registration(held, now)
    has_moved = "site_id" in entry.model_fields_set and entry.site_id != known.site_id
    dates = entry.valid_from or EVER, entry.valid_to or FOR_GOOD
    return not has_moved and dates == (known.valid_from, known.valid_to)


def _require_purpose(entry: NewDevice, held: Sequence[Registration], now: datetime) -> None:
    """Refuse to bring back a device that was revoked, stolen perhaps, because it still stands in the fleet's file."""
    if not held:
        return
    ended_at = main_registration(held, now).valid_to
    if ended_at <= now and (entry.valid_from or EVER) < ended_at:
        raise RegistryError(
            "revoked_device",
            f"the device '{entry.device_id}' was revoked on {ended_at:%Y-%m-%d}: take it out of the file, or "
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


def _require_no_other(entry: NewDevice, held: Sequence[Registration], now: datetime) -> None:
    """Refuse a line that means a device which signs otherwise than the one that is registered."""
    known = main_registration(held, now)
    signs = known.secret is not None
    if "signs" in entry.model_fields_set and entry.signs != signs:
        raise RegistryError(
            "already_registered",
            f"the device '{entry.device_id}' is registered as one that {'has to' if signs else 'need not'} "
            "sign: revoke it first, or give it a secret with `plimsoll devices rotate`",
            "signs",
        )
    # One that is over is the file's own, to the date: nobody signs with its secret any more.
    valid = {r.secret for r in held if now < r.valid_to or known.valid_to <= now}
    if entry.secret is not None and entry.secret not in valid:
        raise RegistryError(
            "already_registered",
            f"the device '{entry.device_id}' is registered with another secret: exchange that with "
            "`plimsoll devices rotate`, or revoke the device first",
            "secret",
        )


def _bring_up_to_date(entry: NewDevice, held: Sequence[Registration], now: datetime, changes: Changes) -> bool:
    """Note what a line changes of a device that is registered: its site, from when the line says, and its end."""
    at = max(now, entry.valid_from or now)
    then = [r for r in held if r.counts_at(at)]
    if not then:
        return _register_again(entry, held, at, now, changes)
    last = then[-1]
    end = entry.valid_to or last.valid_to
    if end <= last.valid_from:  # the line is about an earlier registration
        return False
    is_moved = "site_id" in entry.model_fields_set and entry.site_id != last.site_id and at < end
    if is_moved and at > now:
        _require_nothing_planned(entry, held, now, "valid_from")
    if end > last.valid_to:
        _require_nothing_planned(entry, held, last.valid_from, "valid_to")
    if is_moved:
        still = [replace(r, valid_to=min(r.valid_to, end)) for r in then[:-1]]
        changes.move([*still, replace(last, valid_to=end)], entry.site_id, at)
    elif end != last.valid_to:
        changes.end(then, max(end, now))
    return is_moved or end != last.valid_to


def _register_again(
    entry: NewDevice, held: Sequence[Registration], at: datetime, now: datetime, changes: Changes
) -> bool:
    """Note a registration that a line plans for a time after the present one; the device keeps what it leaves out."""
    if at == now:  # over, and the file says nothing else
        return False
    known = main_registration(held, now)
    kept = {"secret": known.secret, "signs": known.secret is not None}
    if "site_id" not in entry.model_fields_set:
        kept["site_id"] = known.site_id
    changes.begun.append(new_registration(entry.model_copy(update=kept), held, now))
    return True


def _require_nothing_planned(entry: NewDevice, held: Sequence[Registration], after: datetime, field: str) -> None:
    planned = [r.valid_from for r in held if r.valid_from > after]
    if planned:
        raise RegistryError(
            "already_registered",
            f"another registration of '{entry.device_id}' is planned from {planned[0]:%Y-%m-%d} on, which a file does "
            "not change: revoke the device and register it anew",
            field,
        )


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
