"""Canonical JSON (RFC 8785) and the signatures over it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.gateways import signatures
from ingest.gateways.signatures import SentText, canonical_json, fits, sign

SECRET = "s" * 32
EVENT = {
    "bus_id": "TJ-0345", "bus_code": "TJ", "door_id": 1, "in_count": 3, "out_count": 1, "occupancy": 37,
    "ts_device": "2025-01-15T12:34:56Z", "device_id": "EDGE-A1B2", "fw_version": "1.7.3",
}  # fmt: skip

text = st.text(st.characters(exclude_categories=["Cs"]))
# Beyond 2**53 a float is written like an integer that reads back as another number; the standard's table covers those.
scalars = st.none() | st.booleans() | st.integers() | st.floats(-1e15, 1e15) | text
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(text, inner), max_leaves=20)


def checked(text_sent: bytes, secret: str = SECRET) -> bool:
    return fits(msgspec.json.decode(text_sent), SentText(text_sent), 0, [secret])


@pytest.mark.parametrize(
    ("bits", "expected"),
    [  # RFC 8785, appendix B
        ("0000000000000000", "0"), ("8000000000000000", "0"), ("0000000000000001", "5e-324"),
        ("8000000000000001", "-5e-324"), ("7fefffffffffffff", "1.7976931348623157e+308"),
        ("4340000000000000", "9007199254740992"), ("c340000000000000", "-9007199254740992"),
        ("4430000000000000", "295147905179352830000"), ("44b52d02c7e14af5", "9.999999999999997e+22"),
        ("44b52d02c7e14af6", "1e+23"), ("44b52d02c7e14af7", "1.0000000000000001e+23"),
        ("444b1ae4d6e2ef4e", "999999999999999700000"), ("444b1ae4d6e2ef4f", "999999999999999900000"),
        ("444b1ae4d6e2ef50", "1e+21"), ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("3eb0c6f7a0b5ed8d", "0.000001"), ("41b3de4355555553", "333333333.3333332"),
        ("41b3de4355555557", "333333333.33333343"), ("becbf647612f3696", "-0.0000033333333333333333"),
        ("43143ff3c1cb0959", "1424953923781206.2"),
    ],
)  # fmt: skip
def test_numbers_are_written_as_ecmascript_does(bits: str, expected: str) -> None:
    (number,) = struct.unpack(">d", bytes.fromhex(bits))

    assert canonical_json({"n": number}) == f'{{"n":{expected}}}'.encode()


def test_the_example_of_the_standard() -> None:
    sent = rb"""{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}"""

    assert canonical_json(msgspec.json.decode(sent)) == (
        rb'{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        rb'"string":"' + "€$".encode() + rb"\u000f\nA'B\"\\\\\"/" + b'"}'
    )


def test_keys_are_sorted_by_utf16_units_as_the_standard_asks() -> None:
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]

    written = list(json.loads(canonical_json(dict.fromkeys(keys, 0))))

    assert written == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]


@given(values)
def test_canonical_text_means_the_same_and_is_canonical_itself(value: Any) -> None:
    written = canonical_json(value)

    assert json.loads(written) == value
    assert canonical_json(json.loads(written)) == written


@given(st.dictionaries(text, scalars))
def test_the_quick_way_for_plain_events_writes_what_the_full_way_does(payload: dict[str, Any]) -> None:
    parts: list[str] = []
    signatures._write(payload, parts, 0)

    assert canonical_json(payload) == "".join(parts).encode()


def test_a_signature_is_what_openssl_computes() -> None:
    # printf '%s' '{"bus_code":…}' | openssl dgst -sha256 -hmac "$SECRET" -binary | base64
    canonical = json.dumps(EVENT, sort_keys=True, separators=(",", ":")).encode()

    assert (
        sign(EVENT, SECRET) == base64.b64encode(hmac.new(SECRET.encode(), canonical, hashlib.sha256).digest()).decode()
    )


@given(st.dictionaries(text.filter(lambda name: name != "sig"), values, max_size=6))
def test_what_is_signed_fits_in_any_order_and_spacing(payload: dict[str, Any]) -> None:
    signed = {"sig": sign(payload, SECRET)} | dict(reversed(payload.items()))

    assert checked(json.dumps(signed, indent=2).encode())
    assert not checked(json.dumps(signed).encode(), secret="another")
    assert not checked(json.dumps(signed | {"occupancy": 1, "more": "x"}).encode())


@pytest.mark.parametrize("number", ["98.0", "1e3", "-6.20", "1.0E-2"])
def test_numbers_may_be_signed_as_the_device_writes_them(number: str) -> None:
    signed_text = f'{{"battery":{number},"device_id":"d"}}'
    signature = base64.b64encode(hmac.new(SECRET.encode(), signed_text.encode(), hashlib.sha256).digest()).decode()

    assert checked(f'{{"device_id": "d", "battery": {number}, "sig": "{signature}"}}'.encode())
    assert not checked(f'{{"device_id": "d", "battery": {number}1, "sig": "{signature}"}}'.encode())


@pytest.mark.parametrize("signature", [None, 5, "", "HMAC_SHA256_BASE64", "ä", "=", {"a": 1}])
def test_nonsense_is_no_signature(signature: object) -> None:
    assert not checked(json.dumps(EVENT | {"sig": signature}).encode())


def test_two_secrets_count_while_one_replaces_the_other() -> None:
    sent = json.dumps(EVENT | {"sig": sign(EVENT, "new" * 10)}).encode()

    assert fits(msgspec.json.decode(sent), SentText(sent), 0, [SECRET, "new" * 10])
