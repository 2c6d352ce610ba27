"""From a message's bytes to a typed event, by contract; and the reason when it is not one.

A `msgspec` struct is built once per contract. The common message, which has only known fields, is decoded
straight into it; one with unknown fields takes a second, slower way that keeps those as JSON in `extra`.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from operator import attrgetter
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from plimsoll.contracts.model import Contract, Field

MAX_EXTRA_BYTES = 16_384
MAX_REASON_LENGTH = 500
_NUL = b"\\u0000"
_WITH_PATH = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<path>[^`]*)`)?$", re.DOTALL)
_NAMED_FIELD = re.compile(r"required field `(?P<field>[^`]+)`")


class InvalidEvent(ValueError):
    """A message that its contract refuses.

    Attributes:
        code: a stable word for counting: not_json, invalid_field, missing_field, incomplete, clock_ahead, …
        field: the field at fault, if one is.
        reason: the sentence for the sender; cut after 500 characters, for it may quote the whole message.
    """

    def __init__(self, code: str, reason: str, field: str | None = None) -> None:
        if len(reason) > MAX_REASON_LENGTH:
            reason = reason[:MAX_REASON_LENGTH] + "…"
        super().__init__(f"{field}: {reason}" if field else reason)
        self.code = code
        self.field = field
        self.reason = reason


class Event(NamedTuple):
    """A valid event: the contract's struct, and unknown fields as JSON text (None when there are none)."""

    values: Any
    extra: str | None


class Decoder:
    """Decodes and checks the messages of one contract."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.columns = tuple(f.name for f in contract.fields)
        self.struct = _struct(contract)
        self._strict = msgspec.json.Decoder(_struct(contract, forbid_unknown=True))
        self._known = frozenset(self.columns)
        oldest = contract.field(contract.event_time).options.get("minimum", "0001-01-01T00:00:00Z")
        self._oldest = datetime.fromisoformat(oldest.replace("Z", "+00:00"))
        self._at = attrgetter(contract.event_time)
        # With the event time, which is never missing, beside it, a group of one field is a tuple as well.
        self._groups = [attrgetter(*group, contract.event_time) for group in contract.require_one_of]

    def decode(self, payload: bytes | None, received_at: datetime) -> Event:
        """Decode a message's value; `received_at` (UTC) is when the broker got it.

        Raises:
            InvalidEvent: with the field and the reason.
        """
        if not payload:
            raise InvalidEvent("empty", "the message has no value")
        if holds_nul(payload):
            raise _nul_character()
        try:
            event = Event(self._strict.decode(payload), None)
        except msgspec.ValidationError as error:
            if "unknown field" not in str(error):
                raise _invalid(error) from error
            return self.validate(_as_object(payload), received_at)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidEvent("not_json", f"not valid JSON: {error}") from error
        except RecursionError as error:
            raise InvalidEvent("too_deep", "the JSON is nested too deeply") from error
        self._check(event.values, received_at)
        return event

    def decode_all(self, payloads: Sequence[bytes | None], received: Sequence[datetime]) -> list[Any] | None:
        """Decode a run of messages' values at once, at half the cost of one by one.

        Args:
            payloads: the messages' values.
            received: when the broker got each (UTC).

        Returns:
            The contract's structs; None if any message is invalid or has unknown fields: then decode one by one.
        """
        try:
            if holds_nul(b"".join(payloads)):  # type: ignore[arg-type]
                return None
            events = list(map(self._strict.decode, payloads))  # type: ignore[arg-type]
        except (msgspec.DecodeError, UnicodeDecodeError, TypeError, RecursionError):
            return None
        instants = list(map(self._at, events))
        is_sane = max(instants) - min(received) <= self.contract.max_ahead and min(instants) >= self._oldest
        return events if is_sane and all(map(self._is_complete, events)) else None

    def validate(self, message: Mapping[str, Any], received_at: datetime) -> Event:
        """Check a message that is a mapping already; unknown fields go to `extra`.

        Raises:
            InvalidEvent: with the field and the reason.
        """
        try:
            values = msgspec.convert({k: v for k, v in message.items() if k in self._known}, self.struct)
        except msgspec.ValidationError as error:
            raise _invalid(error) from error
        self._check(values, received_at)
        return Event(values, self._extra(message))

    def encode(self, event: Event) -> bytes:
        """The canonical message of an event, as gateways produce it: known fields that are set, then unknown ones.

        Raises:
            InvalidEvent: text holds a NUL character.
        """
        known = {
            k: v for k, v in zip(self.columns, msgspec.structs.astuple(event.values), strict=True) if v is not None
        }
        if event.extra:
            known |= msgspec.json.decode(event.extra)
        encoded = msgspec.json.encode(known)
        if holds_nul(encoded):
            raise _nul_character()
        return encoded

    def _extra(self, message: Mapping[str, Any]) -> str | None:
        unknown = {k: v for k, v in message.items() if k not in self._known}
        if not unknown:
            return None
        try:
            text = msgspec.json.encode(unknown).decode()
        except (RecursionError, TypeError, UnicodeError) as error:
            raise InvalidEvent("invalid_extra", f"unknown fields cannot be kept: {error}") from error
        if len(text) > MAX_EXTRA_BYTES:
            raise InvalidEvent("too_large", f"unknown fields take more than {MAX_EXTRA_BYTES} bytes")
        if holds_nul(text.encode()):
            raise _nul_character()
        return text

    def _is_complete(self, values: Any) -> bool:
        # A loop, because a generator would cost as much as the decoding.
        for group in self._groups:
            if None not in group(values):
                return True
        return not self._groups

    def _check(self, values: Any, received_at: datetime) -> None:
        if not self._is_complete(values):
            wanted = ", or ".join(" and ".join(group) for group in self.contract.require_one_of)
            raise InvalidEvent("incomplete", f"needs {wanted}", self.contract.require_one_of[0][0])
        at: datetime = self._at(values)
        if at - received_at > self.contract.max_ahead:
            ahead = at - received_at
            raise InvalidEvent("clock_ahead", f"lies {_span(ahead)} ahead of its arrival", self.contract.event_time)
        if at < self._oldest:
            raise InvalidEvent("clock_behind", f"lies before {self._oldest:%Y-%m-%d}", self.contract.event_time)


def holds_nul(text: bytes) -> bool:
    """Whether a JSON text holds the escape of a NUL character; a backslash that is itself escaped begins none."""
    return _NUL in text and _NUL in text.replace(rb"\\", b"")


def _nul_character() -> InvalidEvent:
    return InvalidEvent("nul_character", "text holds a NUL character, which no table can store")


def _as_object(payload: bytes) -> dict[str, Any]:
    try:
        message = msgspec.json.decode(payload)
    except RecursionError as error:
        raise InvalidEvent("too_deep", "the JSON is nested too deeply") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidEvent("not_json", f"not valid JSON: {error}") from error
    return dict(message)


def _struct(contract: Contract, forbid_unknown: bool = False) -> Any:
    required = [(f.name, _python_type(f)) for f in contract.fields if f.is_required and f.default is None]
    optional = [
        (f.name, _python_type(f) if f.is_required else _python_type(f) | None, f.default)
        for f in contract.fields
        if not (f.is_required and f.default is None)
    ]
    order = {f.name: i for i, f in enumerate(contract.fields)}
    # kw_only keeps the contract's order of columns although optional fields stand between required ones.
    fields: list[Any] = sorted([*required, *optional], key=lambda item: order[item[0]])
    return msgspec.defstruct(
        "".join(part.title() for part in re.split(r"\W+", contract.name)),
        fields,
        kw_only=True,
        gc=False,
        forbid_unknown_fields=forbid_unknown,
    )


def _python_type(field: Field) -> Any:
    options = field.options
    if field.allowed_values:
        return Literal[field.allowed_values]
    if field.logical_type == "string":
        if options.get("format") == "uuid":
            return uuid.UUID
        limits = {"min_length": options.get("minLength"), "max_length": options.get("maxLength")}
        return Annotated[str, msgspec.Meta(pattern=options.get("pattern"), **limits)]
    if field.logical_type == "integer":
        low, high = field.bounds
        return Annotated[int, msgspec.Meta(ge=low, le=high)]
    if field.logical_type == "number":
        return Annotated[float, msgspec.Meta(ge=options.get("minimum"), le=options.get("maximum"))]
    if field.logical_type == "timestamp":
        return Annotated[datetime, msgspec.Meta(tz=True)]
    return {"boolean": bool, "date": date, "object": dict[str, Any], "array": list[Any]}[field.logical_type]


def _invalid(error: msgspec.ValidationError) -> InvalidEvent:
    match = _WITH_PATH.match(str(error))
    what, path = (match["what"], match["path"]) if match else (str(error), None)
    missing = _NAMED_FIELD.search(what)
    if missing:
        return InvalidEvent("missing_field", "is required", missing["field"])
    return InvalidEvent("invalid_field", what[:1].lower() + what[1:], path or None)


def _span(delta: timedelta) -> str:
    return f"{delta.days} days" if delta.days else f"{delta.seconds // 60} minutes"
