"""What the registry says about devices, remembered for half a minute; and who may send in whose name."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from ingest.gateways.signatures import FIELD, SentText, fits
from plimsoll.contracts import InvalidEvent

TTL_S = 30.0
"""A new, moved or revoked device is noticed after so long at most."""
MAX_AGE_S = 3600.0
"""How old a memory may be that stands in while the database does not answer."""
ASK_AGAIN_S = 10.0
"""How long memories stand in before a database that did not answer is asked again: each question may cost seconds."""
MAX_REMEMBERED = 200_000
"""Registered devices, and as many strangers beside them."""
LONGEST_ID = 128

REGISTRATIONS = """
    SELECT
        device_id,
        (array_agg(site_id ORDER BY valid_from DESC) FILTER (WHERE is_valid))[1] AS site_id,
        array_agg(secret) FILTER (WHERE is_valid AND secret IS NOT NULL) AS secrets,
        bool_or(is_valid) AS is_valid,
        array_agg(site_id ORDER BY valid_from DESC) FILTER (WHERE is_other) AS other_site_ids,
        array_agg(nullif(valid_from, '-infinity') ORDER BY valid_from DESC) FILTER (WHERE is_other) AS other_from,
        array_agg(nullif(valid_to, 'infinity') ORDER BY valid_from DESC) FILTER (WHERE is_other) AS other_to
    FROM (
        SELECT
            *,
            valid_from <= now() AND now() < valid_to AS is_valid,
            (valid_to <= now() OR now() < valid_from) AND site_id IS NOT NULL AS is_other
        FROM registry.devices
        WHERE tenant_id = %(tenant_id)s AND device_id = ANY(%(device_ids)s)
    ) AS assigned
    GROUP BY device_id
"""

Rows = Sequence[Mapping[str, Any]]


class OtherSite(NamedTuple):
    """A site that a device counted for or will, and from when (None: ever) until when (None: for good)."""

    site_id: str
    valid_from: datetime | None
    valid_to: datetime | None

    def covers(self, at: datetime) -> bool:
        """Whether it counts for the site then."""
        return (self.valid_from is None or self.valid_from <= at) and (self.valid_to is None or at < self.valid_to)


@dataclass(frozen=True, slots=True)
class Registration:
    """What is registered about a device.

    Attributes:
        site_id: the site that it counts for now.
        secrets: with one of these it signs; empty when it need not.
        is_known: whether it was ever registered.
        is_valid: whether a registration counts now; one that is known and not valid was revoked, or is not yet due.
        others: the sites that it counted for before, or will by a move that is planned.
    """

    site_id: str | None = None
    secrets: tuple[str, ...] = ()
    is_known: bool = False
    is_valid: bool = False
    others: tuple[OtherSite, ...] = ()

    def site_at(self, at: datetime) -> str | None:
        """The site that a count of that time is for: another one while it is registered there, else the present one."""
        return next((other.site_id for other in self.others if other.covers(at)), self.site_id)


UNKNOWN = Registration()


_Memory = OrderedDict[tuple[str, str], tuple[float, Registration]]
"""(tenant_id, device_id) to what was answered and when, oldest first."""


class Registrations:
    """A small memory before the registry, so that a device at 1 Hz does not cost a query each time.

    Strangers have one of their own: anybody may send made-up names, which must not push out registered devices.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._registered: _Memory = OrderedDict()
        self._strangers: _Memory = OrderedDict()
        self._away_until = -math.inf

    def of(self, tenant_id: str, device_ids: Iterable[str]) -> dict[str, Registration]:
        """Device to what is remembered about it; without those that the registry has to be asked about."""
        now = self._clock()
        since = now - (MAX_AGE_S if now < self._away_until else TTL_S)
        known = {device_id: self._remembered((tenant_id, device_id)) for device_id in device_ids}
        return {device_id: found[1] for device_id, found in known.items() if found and found[0] > since}

    def _remembered(self, key: tuple[str, str]) -> tuple[float, Registration] | None:
        return self._registered.get(key) or self._strangers.get(key)

    def remember(self, tenant_id: str, answered: Mapping[str, Registration]) -> None:
        """Take what the registry answered, and forget the oldest where it becomes too much."""
        now = self._clock()
        for device_id, registration in answered.items():
            key = tenant_id, device_id
            for memory in (self._registered, self._strangers):
                memory.pop(key, None)
            (self._registered if registration.is_known else self._strangers)[key] = (now, registration)
        for memory in (self._registered, self._strangers):
            while len(memory) > MAX_REMEMBERED:
                memory.popitem(last=False)

    def bridge_outage(
        self, tenant_id: str, asked: Sequence[str], error: psycopg.OperationalError
    ) -> dict[str, Registration]:
        """Older memories, while the database is away: Kafka keeps the events, so they may come in.

        Raises:
            psycopg.OperationalError: the given one, when nothing is remembered of some device.
        """
        self._away_until = self._clock() + ASK_AGAIN_S
        known = self.of(tenant_id, asked)
        if len(known) < len(asked):
            raise error
        return known


def registrable(device_ids: Iterable[str]) -> list[str]:
    """Those of the devices that the registry may hold."""
    return [device_id for device_id in device_ids if len(device_id) <= LONGEST_ID and "\x00" not in device_id]


def registrations(asked: Iterable[str], rows: Rows) -> dict[str, Registration]:
    """Device to its registration, by the registry's answer (rows of `REGISTRATIONS`) to a question about them."""
    return dict.fromkeys(asked, UNKNOWN) | {row["device_id"]: _registration(row) for row in rows}


def _registration(row: Mapping[str, Any]) -> Registration:
    others = zip(row["other_site_ids"] or (), row["other_from"] or (), row["other_to"] or (), strict=True)
    return Registration(
        site_id=row["site_id"],
        secrets=tuple(row["secrets"] or ()),
        is_known=True,
        is_valid=row["is_valid"],
        others=tuple(OtherSite(*facts) for facts in others),
    )


Find = Callable[[str, list[str]], Awaitable[Rows]]
"""(tenant_id, device_ids) to the rows of `REGISTRATIONS`."""


class Devices:
    """The registry's devices for an asynchronous gateway."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._remembered = Registrations()

    async def look_up(self, tenant_id: str, device_ids: Iterable[str]) -> dict[str, Registration]:
        """Device to its registration, with at most one query; without names that the registry cannot hold.

        Raises:
            psycopg.OperationalError: the database does not answer and nothing is remembered of some device.
        """
        device_ids = set(device_ids)
        known = self._remembered.of(tenant_id, device_ids)
        asked = registrable(device_ids - known.keys())
        if not asked:
            return known
        try:
            answered = registrations(asked, await self._find(tenant_id, asked))
        except psycopg.OperationalError as error:
            return known | self._remembered.bridge_outage(tenant_id, asked, error)
        self._remembered.remember(tenant_id, answered)
        return known | answered


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
