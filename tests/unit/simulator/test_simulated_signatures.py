"""The city's devices sign what they send live, nearly always rightly."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

from ingest.gateways.signatures import sign
from ingest.simulator import City, CityConfig, Faults
from ingest.simulator.feed import _by_address


def test_devices_sign_with_their_registered_secrets_but_for_the_share_of_bad_signatures() -> None:
    city = City.build(CityConfig(buses=28, venues=2, areas=2, faults=Faults(bad_signature=0.25)))
    secrets = {device["device_id"]: device["secret"] for device in city.devices()}
    batch = list(islice(city.upcoming(datetime(2026, 10, 20, 3, 30, tzinfo=UTC)), 2000))

    sent = [p for payloads in _by_address(batch, secrets, 0.25).values() for p in payloads]
    again = [p for payloads in _by_address(batch, secrets, 0.25).values() for p in payloads]

    signed = [p for p in sent if "device_id" in p]
    right = sum(p["sig"] == sign(p, secrets[p["device_id"]]) for p in signed)
    assert len(signed) > 1000
    assert 0.70 < right / len(signed) < 0.80
    assert all("sig" not in p for p in sent if "device_id" not in p)
    assert sent == again
