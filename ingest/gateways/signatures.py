"""Signatures of devices: HMAC-SHA256 over the canonical JSON of what they send.

`sig` is base64(HMAC-SHA256(secret, canonical JSON of the payload without `sig`)). Canonical is RFC 8785: keys sorted,
no spaces, UTF-8, numbers as ECMAScript writes them. Many devices sort keys and leave their numbers as they print them
(`98.0`, `1e3`); such a text stands for the same values, so a signature over it fits as well.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from functools import cached_property
from json.encoder import encode_basestring
from typing import Any

import msgspec

FIELD = "sig"
_MAX_DEPTH = 100


class WrittenNumber(float):
    """A number with a fraction or exponent that remembers how its sender wrote it."""

    text: str

    def __new__(cls, text: str) -> WrittenNumber:
        """Keep the text beside the value."""
        number = super().__new__(cls, text)
        number.text = text
        return number


_AS_WRITTEN = msgspec.json.Decoder(float_hook=WrittenNumber)


class SentText:
    """The JSON text of one event or a list of events.

    It is decoded a second time only when a signature asks how its numbers were written.
    """

    def __init__(self, text: bytes) -> None:
        self._text = text

    def event(self, index: int) -> Any:
        """The event at that place, its fractions as `WrittenNumber`."""
        return self._events[index]

    @cached_property
    def _events(self) -> list[Any]:
        document = _AS_WRITTEN.decode(self._text)
        return document if isinstance(document, list) else [document]


def canonical_json(value: Any) -> bytes:
    """The canonical form (RFC 8785) of a decoded JSON value; a `WrittenNumber` stays as it was written.

    Raises:
        ValueError: it has none: nested too deeply, a number that is not finite, a half of a surrogate pair.
    """
    if type(value) is dict and all(map(_is_plain, value.values())) and all(map(str.isascii, value)):
        return msgspec.json.encode(value, order="sorted")  # the usual event, ten times as fast
    parts: list[str] = []
    _write(value, parts, 0)
    return "".join(parts).encode()


def sign(payload: Mapping[str, Any], secret: str) -> str:
    """The signature of a payload as a device computes it; a `sig` in it does not count."""
    return base64.b64encode(_digest(_unsigned(payload), secret)).decode()


def fits(payload: Mapping[str, Any], sent: SentText, index: int, secrets: Iterable[str]) -> bool:
    """Whether the payload's `sig` was made with one of the secrets; compared in constant time.

    Args:
        payload: the event at place `index` of what was sent, decoded.
        sent: the text it was sent in.
        index: its place there.
        secrets: those that count now; two while a secret is being exchanged.
    """
    signature = payload.get(FIELD)
    if not isinstance(signature, str):
        return False
    try:
        claimed = base64.b64decode(signature, validate=True)
        return _any_fits(_unsigned(payload), claimed, secrets) or (
            _has_fraction(payload) and _any_fits(_unsigned(sent.event(index)), claimed, secrets)
        )
    except (binascii.Error, ValueError):
        return False


def _any_fits(payload: Mapping[str, Any], claimed: bytes, secrets: Iterable[str]) -> bool:
    # All are tried: the time taken must not tell which of two secrets is in use.
    found = False
    for secret in secrets:
        found |= hmac.compare_digest(_digest(payload, secret), claimed)
    return found


def _digest(payload: Mapping[str, Any], secret: str) -> bytes:
    return hmac.digest(secret.encode(), canonical_json(payload), hashlib.sha256)  # type: ignore[arg-type]


def _unsigned(payload: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in payload.items() if name != FIELD}


def _has_fraction(value: Any, depth: int = 0) -> bool:
    if isinstance(value, Mapping):
        value = value.values()
    elif not isinstance(value, list):
        return isinstance(value, float)
    return depth < _MAX_DEPTH and any(_has_fraction(item, depth + 1) for item in value)


def _is_plain(value: Any) -> bool:
    """Whether every JSON writer puts this value the same way."""
    kind = type(value)
    if kind is float:
        return bool(1e-5 <= abs(value) < 1e15 and value % 1 != 0)
    return value is None or kind in (str, bool) or bool(kind is int and abs(value) < 2**63)


def _write(value: Any, parts: list[str], depth: int) -> None:
    if isinstance(value, str):
        parts.append(encode_basestring(value))
    elif value is None or isinstance(value, bool):
        parts.append({None: "null", True: "true", False: "false"}[value])
    elif isinstance(value, int):
        parts.append(str(value))
    elif isinstance(value, float):
        parts.append(value.text if isinstance(value, WrittenNumber) else _number(value))
    elif depth >= _MAX_DEPTH:
        raise ValueError("nested too deeply")
    elif isinstance(value, Mapping):
        # By UTF-16 code units, as the RFC asks: it differs from code points beyond U+FFFF.
        names = sorted(value) if all(map(str.isascii, value)) else sorted(value, key=_utf16)
        for number, name in enumerate(names):
            parts.append("," if number else "{")
            parts.append(encode_basestring(name))
            parts.append(":")
            _write(value[name], parts, depth + 1)
        parts.append("}" if names else "{}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            parts.append("," if number else "[")
            _write(item, parts, depth + 1)
        parts.append("]" if value else "[]")
    else:
        raise ValueError(f"{type(value).__name__} is no JSON value")


def _utf16(name: str) -> bytes:
    return name.encode("utf-16-be")


def _number(value: float) -> str:
    """A number as ECMAScript's Number::toString writes it, which RFC 8785 prescribes."""
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError("a number that is not finite has no JSON form")
    if value == 0:
        return "0"
    sign, digits, exponent = _shortest(value)
    point = len(digits) + exponent  # digits before the decimal point
    if exponent >= 0 and point <= 21:
        return sign + digits + "0" * exponent
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{fraction}e{point - 1:+d}"


def _shortest(value: float) -> tuple[str, str, int]:
    """Sign, shortest digits that read back as the value, and the power of ten of the last digit."""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = fraction.rstrip("0")
    digits = (whole + fraction).lstrip("0")
    trailing = len(digits) - len(digits.rstrip("0"))
    return "-" if value < 0 else "", digits.rstrip("0"), int(exponent or 0) - len(fraction) + trailing
