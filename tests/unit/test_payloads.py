"""What devices send, turned into canonical fields: above all, the instant that it is about."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from ingest.gateways.gateway import Encoder, Normalise
from ingest.gateways.payloads import bus_event, device_report, traffic_count, venue_event
from plimsoll.contracts import InvalidEvent, load_contracts
from plimsoll.settings import PROJECT_DIR


@pytest.mark.parametrize("written", ["0001-01-01T00:00:00+07:00", "9999-12-31T23:59:59-07:00"])
def test_an_instant_that_utc_cannot_write_is_refused_by_the_field_it_came_in(written: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        traffic_count({"stream_id": "s", "timestamp": written})

    assert (refused.value.code, refused.value.field) == ("invalid_field", "timestamp")


COUNT = {"count": 42, "device_id": "door"}
ARRIVAL = datetime(2026, 1, 15, 18, 0, tzinfo=UTC)
NOON, EVENING = "2026-01-15T12:00:00Z", "2026-01-15T17:00:00Z"


@pytest.mark.parametrize(
    ("times", "counted_at"),
    [
        ({"ts": NOON}, datetime.fromisoformat(NOON)),
        ({"ts_device": NOON}, datetime.fromisoformat(NOON)),
        ({"ts": None, "ts_device": NOON}, datetime.fromisoformat(NOON)),
        ({"ts": NOON, "ts_device": EVENING}, datetime.fromisoformat(NOON)),
        ({}, ARRIVAL),
    ],
)
def test_a_head_count_keeps_the_time_that_came_with_it(times: dict[str, Any], counted_at: datetime) -> None:
    assert venue_event(COUNT | times, ARRIVAL)["ts_device"] == counted_at


@pytest.mark.parametrize("times", [{}, {"ts": None}, {"ts": "", "ts_device": None}])
def test_a_head_count_that_has_to_tell_its_time_and_does_not_is_refused(times: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvent) as refused:
        venue_event(COUNT | times, None)

    assert (refused.value.code, refused.value.field) == ("missing_field", "ts")


@pytest.mark.parametrize("field", ["ts", "ts_device"])
def test_a_head_count_with_a_wrong_time_is_refused_by_the_field_it_came_in(field: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        venue_event(COUNT | {field: "noon"}, ARRIVAL)

    assert refused.value.field == field


ROAD = {"stream_id": "550e8400-e29b-41d4-a716-446655440000", "longitude": 106.8, "latitude": -6.2, "total_in_area": 9}
REPORT: Normalise = partial(device_report, device_id="door", received_at=ARRIVAL)


@pytest.mark.parametrize(
    ("topic", "normalise", "payload", "code", "field"),
    [
        ("occupancy.events", bus_event, {"bus_id": 5, "occupancy": 1, "ts_device": NOON}, "invalid_field", "bus_id"),
        ("occupancy.events", bus_event, {"site_id": 5, "occupancy": 1, "ts_device": NOON}, "invalid_field", "site_id"),
        ("occupancy.events", bus_event, {"occupancy": 1, "ts_device": NOON}, "missing_field", "site_id"),
        (
            "occupancy.events", partial(venue_event, received_at=ARRIVAL),
            {"site_id": "gym", "count": "many"}, "invalid_field", "count",
        ),
        ("traffic.counts", traffic_count, ROAD, "missing_field", "timestamp"),
        ("traffic.counts", traffic_count, ROAD | {"timestamp": 5}, "invalid_field", "timestamp"),
        ("traffic.counts", traffic_count, ROAD | {"timestamp": "2099-01-01T00:00:00Z"}, "clock_ahead", "timestamp"),
        ("device.heartbeats", REPORT, {"ts": 5}, "invalid_field", "ts"),
        ("device.heartbeats", REPORT, {"timestamp": "noon"}, "invalid_field", "timestamp"),
        ("device.heartbeats", REPORT, {"battery": 500}, "invalid_field", "battery"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_field_as_its_sender_did(
    topic: str, normalise: Normalise, payload: dict[str, Any], code: str, field: str
) -> None:
    encoder = Encoder(load_contracts(PROJECT_DIR / "data" / "contracts"))

    with pytest.raises(InvalidEvent) as refused:
        encoder.encode(topic, payload, normalise, "default", ARRIVAL)

    assert (refused.value.code, refused.value.field) == (code, field)
