"""What the registry says about devices, remembered for half a minute; and who may send in whose name."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from ingest.gateways.signatures import FIELD, SentText, fits
from plimsoll.contracts import InvalidEvent

TTL_S = 30.0
"""A new, moved or revoked device is noticed after so long at most."""
MAX_AGE_S = 3600.0
"""How old a memory may be that stands in while the database does not answer."""
MAX_REMEMBERED = 200_000
LONGEST_ID = 128

REGISTRATIONS = """
    SELECT
        device_id,
        (array_agg(site_id ORDER BY valid_from DESC) FILTER (WHERE is_valid))[1] AS site_id,
        array_agg(secret) FILTER (WHERE is_valid AND secret IS NOT NULL) AS secrets,
        bool_or(is_valid) AS is_valid
    FROM (
        SELECT *, valid_from <= now() AND now() < valid_to AS is_valid FROM registry.devices
        WHERE tenant_id = %(tenant_id)s AND device_id = ANY(%(device_ids)s)
    ) AS assigned
    GROUP BY device_id
"""

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Registration:
    """What is registered about a device.

    Attributes:
        site_id: the site that it counts for now.
        secrets: with one of these it signs; empty when it need not.
        is_known: whether it was ever registered.
        is_valid: whether a registration counts now; one that is known and not valid was revoked, or is not yet due.
    """

    site_id: str | None = None
    secrets: tuple[str, ...] = ()
    is_known: bool = False
    is_valid: bool = False


UNKNOWN = Registration()


class Registrations:
    """A small memory before the registry, so that a device at 1 Hz does not cost a query each time.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[tuple[str, str], tuple[float, Registration]] = {}

    def forgotten(self, tenant_id: str, device_ids: Iterable[str], max_age_s: float = TTL_S) -> list[str]:
        """Those of the devices that the registry has to be asked about; names that it cannot hold are left out."""
        since = self._clock() - max_age_s
        possible = {i for i in device_ids if len(i) <= LONGEST_ID and "\x00" not in i}
        return [device_id for device_id in possible if not self._is_fresh(tenant_id, device_id, since)]

    def remember(self, tenant_id: str, asked: Sequence[str], rows: Rows) -> None:
        """Take the registry's answer (rows of `REGISTRATIONS`) to a question about these devices."""
        if len(self._known) + len(asked) > MAX_REMEMBERED:
            self._known.clear()
        now = self._clock()
        for device_id in asked:
            self._known[tenant_id, device_id] = (now, UNKNOWN)
        for row in rows:
            found = Registration(row["site_id"], tuple(row["secrets"] or ()), True, bool(row["is_valid"]))
            self._known[tenant_id, row["device_id"]] = (now, found)

    def of(self, tenant_id: str, device_id: str) -> Registration:
        """What is remembered about a device."""
        known = self._known.get((tenant_id, device_id))
        return known[1] if known else UNKNOWN

    def bridge_outage(self, tenant_id: str, asked: Sequence[str], error: psycopg.OperationalError) -> None:
        """Let older memories count while the database is away: Kafka keeps the events, so they may come in.

        Raises:
            psycopg.OperationalError: the given one, when nothing is remembered of some device.
        """
        if self.forgotten(tenant_id, asked, MAX_AGE_S):
            raise error

    def _is_fresh(self, tenant_id: str, device_id: str, since: float) -> bool:
        known = self._known.get((tenant_id, device_id))
        return known is not None and known[0] > since


Find = Callable[[str, list[str]], Awaitable[Rows]]
"""(tenant_id, device_ids) to the rows of `REGISTRATIONS`."""


class Devices:
    """The registry's devices for an asynchronous gateway."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._remembered = Registrations()

    async def look_up(self, tenant_id: str, device_ids: Iterable[str]) -> dict[str, Registration]:
        """Device to its registration, with at most one query.

        Raises:
            psycopg.OperationalError: the database does not answer and nothing is remembered of some device.
        """
        device_ids = set(device_ids)
        asked = self._remembered.forgotten(tenant_id, device_ids)
        if asked:
            try:
                self._remembered.remember(tenant_id, asked, await self._find(tenant_id, asked))
            except psycopg.OperationalError as error:
                self._remembered.bridge_outage(tenant_id, asked, error)
        return {device_id: self._remembered.of(tenant_id, device_id) for device_id in device_ids}


def sender_of(payload: Any, addressed: str | None = None) -> str | None:
    """The device that a payload comes from: the one of the address, else the one it names."""
    named = payload.get("device_id") if isinstance(payload, Mapping) else None
    return addressed or (named if isinstance(named, str) else None)


REFUSED_SENDER = frozenset({"bad_signature", "revoked_device", "unregistered_device"})
"""Codes of events that are refused for who sent them."""


def check_sender(
    payload: Any,
    sent: SentText,
    index: int,
    registrations: Mapping[str, Registration],
    *,
    addressed: str | None,
    unregistered_devices: bool,
) -> None:
    """Refuse an event whose sender may not send it; whether the event itself is right is the contract's business.

    Args:
        payload: the event, decoded, as it was sent.
        sent: the text that it came in.
        index: its place there.
        registrations: what is registered about the senders.
        addressed: the device that the topic or URL names, if it does.
        unregistered_devices: whether devices that the registry lacks are welcome.

    Raises:
        InvalidEvent: codes bad_signature, revoked_device, unregistered_device, missing_field.
    """
    if not isinstance(payload, Mapping):
        return
    device_id = sender_of(payload, addressed)
    if device_id is None:
        if not unregistered_devices and payload.get("device_id") is None:
            raise InvalidEvent("missing_field", "is required: events come from registered devices only", "device_id")
        return
    registration = registrations.get(device_id, UNKNOWN)
    if not registration.is_known:
        if not unregistered_devices:
            raise InvalidEvent("unregistered_device", f"'{device_id[:64]}' is not registered", "device_id")
    elif not registration.is_valid:
        raise InvalidEvent("revoked_device", f"the registration of '{device_id[:64]}' is not valid now", "device_id")
    elif registration.secrets and not fits(payload, sent, index, registration.secrets):
        missing = FIELD not in payload
        reason = "is missing, and this device must sign" if missing else "does not fit this payload and device"
        raise InvalidEvent("bad_signature", reason, FIELD)
