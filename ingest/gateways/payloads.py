"""What devices send, turned into the canonical event's fields. No checking here beyond what the turning needs.

Each function takes the decoded JSON object and returns a new mapping; fields it does not know stay as they are
and end in `extra`. A signature is checked before and not kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ingest.gateways.signatures import FIELD
from plimsoll.contracts import InvalidEvent

Payload = Mapping[str, Any]
_OTHER_NAMES = {
    "site_id": ("bus_id",), "occupancy": ("count",), "ts_device": ("ts", "timestamp"), "battery_percent": ("battery",),
}  # fmt: skip
"""What devices call the fields of an event."""


def bus_event(payload: Payload) -> dict[str, Any]:
    """An occupancy event of a bus (`bus_id`, `ts_device`, …) or one that is canonical already (`site_id`)."""
    event = _unsigned(payload)
    if "bus_id" in event:
        event.setdefault("site_id", event.pop("bus_id"))
    return _with_instant(event, "ts_device")


def venue_event(payload: Payload, received_at: datetime | None) -> dict[str, Any]:
    """A venue's head count (`count`, `device_id`, `ts` or `ts_device`).

    Without a time it was counted on arrival; with None for that, it has to tell its time.
    """
    event = _unsigned(payload)
    if "count" in event:
        event.setdefault("occupancy", event.pop("count"))
    if "occupancy" not in event:
        raise InvalidEvent("missing_field", "is required", "count")
    sent_as = "ts" if event.get("ts") else "ts_device"
    counted_at = event.pop("ts", None) or event.get("ts_device") or received_at
    if counted_at is None:
        raise InvalidEvent("missing_field", "is required of a device that signs: its text would count each time", "ts")
    return _with_instant(event | {"ts_device": counted_at}, "ts_device", sent_as)


def traffic_count(payload: Payload) -> dict[str, Any]:
    """A traffic count (`stream_id`, `timestamp`, …); the offset of its local time is kept for the local day."""
    event = dict(payload)
    if "timestamp" in event:
        event.setdefault("ts_device", event.pop("timestamp"))
    if "ts_device" not in event:
        raise InvalidEvent("missing_field", "is required", "timestamp")
    event = _with_instant(event, "ts_device", "timestamp")
    at = event.get("ts_device")
    if isinstance(at, datetime) and "utc_offset_s" not in event:
        offset = at.utcoffset()
        event["utc_offset_s"] = int(offset.total_seconds()) if offset else 0
        event["ts_device"] = at.astimezone(UTC)
    return event


def device_report(payload: Payload, device_id: str | None, received_at: datetime) -> dict[str, Any]:
    """A status or heartbeat; the address it was sent to may name the device, and a missing time is now."""
    event = _unsigned(payload)
    if device_id is not None and event.setdefault("device_id", device_id) != device_id:
        raise InvalidEvent("invalid_field", f"is not the device of the address ({device_id})", "device_id")
    for name, sent_as in (("ts_device", "ts"), ("ts_device", "timestamp"), ("battery_percent", "battery")):
        if sent_as in event:
            event.setdefault(name, event.pop(sent_as))
    event["ts_device"] = event.get("ts_device") or received_at
    return _with_instant(event, "ts_device")


def as_sent(error: InvalidEvent, payload: Payload) -> InvalidEvent:
    """The refusal of a payload with the field named as its sender did."""
    if error.field is None or error.field in payload:
        return error
    sent_as = [name for name in _OTHER_NAMES.get(error.field, ()) if name in payload]
    return InvalidEvent(error.code, error.reason, sent_as[0]) if sent_as else error


def _unsigned(payload: Payload) -> dict[str, Any]:
    return {name: value for name, value in payload.items() if name != FIELD}


def _with_instant(event: dict[str, Any], name: str, sent_as: str | None = None) -> dict[str, Any]:
    """Read ISO 8601 as devices write it: `Z`, `+07:00` and `+0700` all count; a time without zone does not."""
    value = event.get(name)
    if not isinstance(value, str):
        return event
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        raise InvalidEvent("invalid_field", f"'{value[:40]}' is not an ISO 8601 time", sent_as or name) from None
    if at.tzinfo is None:
        raise InvalidEvent("invalid_field", "has no time zone: end it with Z or an offset", sent_as or name)
    try:
        at.astimezone(UTC)
    except OverflowError:  # a default such as 0001-01-01T00:00:00+07:00
        raise InvalidEvent("invalid_field", f"'{value[:40]}' lies outside years 1 to 9999", sent_as or name) from None
    return event | {name: at}
