"""Counts that a contract allows and nobody believes: they spoil no refresh, neither of their site nor of the others."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from mart_events import DAY, HOUR, MODELS, TODAY, Dbt, Event, connected, land

pytestmark = pytest.mark.integration
MORNING = TODAY - DAY + 8 * HOUR


def at_door(site_id: str, at: datetime, came_in: int, went_out: int = 0) -> Event:
    return {
        "site_id": site_id, "device_id": f"D-{site_id}", "ts_device": at, "in_count": came_in, "out_count": went_out,
    }  # fmt: skip


def test_a_broken_counter_counts_nobody_and_no_sum_of_counts_is_too_large(marts: str, dbt: Dbt) -> None:
    second = timedelta(seconds=1)
    broken = [at_door("X-1", MORNING + n * second, 1_000_000_000) for n in range(3)]
    # Each just believed; together, twice the product of their sums is beyond a bigint.
    wild = [at_door("X-2", MORNING + n * second, 1_000_000, 1_000_000) for n in range(2_200)]

    with connected(marts) as connection:
        land(connection, [*broken, at_door("X-1", MORNING + 5 * second, 7), *wild])
    dbt("run", "--select", *MODELS)

    with connected(marts) as connection:
        found = connection.execute(
            "SELECT site_id, max(max_occupancy), sum(boardings) FROM marts.fct_occupancy_hourly"
            " WHERE site_id LIKE 'X-_' GROUP BY site_id ORDER BY site_id"
        ).fetchall()
    assert found == [("X-1", 7.0, 7), ("X-2", 0.0, 2_200_000_000)]
