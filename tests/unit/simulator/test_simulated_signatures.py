"""The city's devices sign what they send live, nearly always rightly, and count what the gateway says of it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import httpx
import pytest

from ingest.gateways.signatures import sign
from ingest.simulator.city import City
from ingest.simulator.config import CityConfig, Faults
from ingest.simulator.feed import _by_address, _post
from ingest.simulator.live import upcoming
from plimsoll.errors import PlimsollError


def test_devices_sign_with_their_registered_secrets_but_for_the_share_of_bad_signatures() -> None:
    city = City.build(CityConfig(buses=28, venues=2, areas=2, faults=Faults(bad_signature=0.25)))
    secrets = {device["device_id"]: device["secret"] for device in city.devices()}
    batch = list(islice(upcoming(city, datetime(2026, 10, 20, 3, 30, tzinfo=UTC)), 2000))

    sent = [p for payloads in _by_address(batch, secrets, 0.25).values() for p in payloads]
    again = [p for payloads in _by_address(batch, secrets, 0.25).values() for p in payloads]

    signed = [p for p in sent if "device_id" in p]
    right = sum(p["sig"] == sign(p, secrets[p["device_id"]]) for p in signed)
    assert len(signed) > 1000
    assert 0.70 < right / len(signed) < 0.80
    assert all("sig" not in p for p in sent if "device_id" not in p)
    assert sent == again


def gateway(*answers: tuple[int, dict[str, Any]], stop: threading.Event | None = None) -> httpx.Client:
    """A client whose gateway gives these answers, one after the other; with the last, `stop` is set."""
    left = list(answers)

    def answer(_: httpx.Request) -> httpx.Response:
        status, body = left.pop(0)
        if stop is not None and not left:
            stop.set()
        return httpx.Response(status, json=body, headers={"Retry-After": "0"})

    return httpx.Client(base_url="http://gateway", transport=httpx.MockTransport(answer))


BAD = {"index": 0, "field": "sig", "code": "bad_signature", "reason": "does not fit"}
BUSY = (503, {"code": "broker_unavailable"})


@pytest.mark.parametrize(
    ("answers", "counted"),
    [
        ([(202, {"accepted": 2})], (2, 0)),
        ([(207, {"errors": [BAD]})], (1, 1)),
        ([(401, {"errors": [BAD, BAD]})], (0, 2)),
        ([BUSY, (429, {}), (202, {})], (2, 0)),
    ],
)
def test_sent_is_what_the_gateway_took(
    answers: list[tuple[int, dict[str, Any]]], counted: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    assert _post(gateway(*answers), "/ingest", [{}, {}], threading.Event()) == counted
    assert len([one for one in caplog.records if one.levelname == "WARNING"]) == len(answers) - 1


@pytest.mark.parametrize("answer", [(401, {"code": "api_key"}), (503, {"code": "ingest_off"}), (413, {})])
def test_who_refuses_everything_is_not_asked_again(answer: tuple[int, dict[str, Any]]) -> None:
    with pytest.raises(PlimsollError, match=f"/ingest answered {answer[0]}"):
        _post(gateway(answer), "/ingest", [{}], threading.Event())


def test_what_nobody_took_before_the_stop_counts_as_neither_sent_nor_refused() -> None:
    stop = threading.Event()
    assert _post(gateway(BUSY, stop=stop), "/ingest", [{}], stop) == (0, 0)
