"""When a replay sends which row."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

from ingest.gateways.replay import _Pace


def test_rows_without_a_time_wait_for_nothing_and_the_others_keep_their_distance() -> None:
    pace, first = _Pace(600, threading.Event()), datetime(2016, 7, 1, tzinfo=UTC)
    waited = []

    for at in (None, first, None, first + timedelta(minutes=2)):
        started = time.monotonic()
        assert pace.wait_for(at)
        waited.append(time.monotonic() - started)

    assert waited[3] > 0.1, "two minutes at six hundred times the speed"
    assert sum(waited[:3]) < 0.1
