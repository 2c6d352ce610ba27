"""What devices send, turned into canonical fields: above all, the instant that it is about."""

from __future__ import annotations

import pytest

from ingest.gateways.payloads import traffic_count
from plimsoll.contracts import InvalidEvent


@pytest.mark.parametrize("written", ["0001-01-01T00:00:00+07:00", "9999-12-31T23:59:59-07:00"])
def test_an_instant_that_utc_cannot_write_is_refused_by_the_field_it_came_in(written: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        traffic_count({"stream_id": "s", "timestamp": written})

    assert (refused.value.code, refused.value.field) == ("invalid_field", "timestamp")
