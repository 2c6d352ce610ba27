"""What devices send, turned into canonical fields: above all, the instant that it is about."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from ingest.gateways.payloads import traffic_count, venue_event
from plimsoll.contracts import InvalidEvent


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
