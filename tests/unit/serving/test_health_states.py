"""When the lander is said to be down, and when it merely has nothing to do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from serving.health import landing_part, marts_part

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def _rows(age_s: float) -> list[dict[str, Any]]:
    at = NOW - timedelta(seconds=age_s)
    return [{"topic": "occupancy.events", "last_landed_at": at, "newest_event_at": at}]


@pytest.mark.parametrize(
    ("age_s", "lag", "state"),
    [
        (1, 0, "ok"),
        (86_400, 0, "ok"),  # nothing to land is no fault of the lander
        (5, 20_000, "ok"),  # it works at it
        (61, 1, "down"),
        (1, None, "unknown"),
    ],
)
def test_a_lander_is_down_when_messages_wait_and_nothing_is_landed(age_s: float, lag: int | None, state: str) -> None:
    assert landing_part(_rows(age_s), lag, NOW).state == state


def test_a_lander_that_never_landed_anything_is_unknown() -> None:
    assert landing_part([], 0, NOW).state == "unknown"


@pytest.mark.parametrize(
    ("refreshed_ago_h", "landed_ago_h", "state"),
    [
        (0.1, 0.0, "ok"),
        (3.0, 0.1, "degraded"),
        (300.0, 301.0, "ok"),  # nothing landed since: there was nothing to refresh
        (None, 1.0, "unknown"),
    ],
)
def test_marts_are_behind_when_what_landed_is_much_younger(
    refreshed_ago_h: float | None, landed_ago_h: float, state: str
) -> None:
    refreshed_at = None if refreshed_ago_h is None else NOW - timedelta(hours=refreshed_ago_h)

    assert (
        marts_part({"refreshed_at": refreshed_at, "landed_at": NOW - timedelta(hours=landed_ago_h)}, NOW).state == state
    )
