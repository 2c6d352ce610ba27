"""Hours of routes follow the vehicles: who turns out not to have served a route leaves it without a trace."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from mart_events import DAY, HOUR, MINUTE, MODELS, TODAY, Dbt, Event, connected, count, land

pytestmark = pytest.mark.integration


def served(bus: str, at: datetime, route: str | None, occupancy: int = 9) -> Event:
    return count(bus, at, occupancy, route_id=route, direction_id=0 if route else None)


def routes(database_url: str, hour: datetime) -> dict[str, Any]:
    """Mean load, vehicles, instant of the last change and writing transaction of each route in that hour."""
    with connected(database_url) as connection:
        found = connection.execute(
            "SELECT route_id, mean_occupancy, vehicles, refreshed_at, xmin::text"
            " FROM marts.fct_route_occupancy_hourly WHERE hour = %s",
            [hour],
        ).fetchall()
    return {route: figures for route, *figures in found}


def test_vehicle_that_ends_its_route_is_not_projected_onto_it(marts: str, dbt: Dbt) -> None:
    late_evening = TODAY - 5 * DAY + 22 * HOUR
    with connected(marts) as connection:
        land(connection, [served("B-3", late_evening + 58 * MINUTE, "R1")])
        dbt("run", "--select", *MODELS)
        assert routes(marts, late_evening + HOUR).keys() == {"R1"}

        land(connection, [served("B-3", late_evening + 59 * MINUTE, None)])
    dbt("run", "--select", *MODELS)

    assert routes(marts, late_evening).keys() == {"R1"}
    assert not routes(marts, late_evening + HOUR)


def test_route_that_a_vehicle_leaves_counts_as_changed(marts: str, dbt: Dbt) -> None:
    """What judges forecasts takes what is newer than all it has read."""
    hour = TODAY - 6 * DAY + 10 * HOUR
    with connected(marts) as connection:
        land(connection, [served("B-1", hour - 2 * MINUTE, "R1", 30), served("B-2", hour + 20 * MINUTE, "R1", 10)])
        dbt("run", "--select", *MODELS)
        before = routes(marts, hour)["R1"]
        read_until = connection.execute("SELECT max(refreshed_at) FROM marts.fct_route_occupancy_hourly").fetchone()

        land(connection, [served("B-1", hour - MINUTE, "R2", 30)])
    dbt("run", "--select", *MODELS)

    after = routes(marts, hour)
    assert (before[1], after["R1"][1], after["R2"][1]) == (2, 1, 1)
    assert read_until is not None
    assert after["R1"][2] > read_until[0]


def test_venue_of_another_tenant_rewrites_no_route(marts: str, dbt: Dbt) -> None:
    hour = TODAY - 5 * DAY + 12 * HOUR
    with connected(marts) as connection:
        land(connection, [served("B-3", hour, "R1")])
        dbt("run", "--select", *MODELS)
        before = routes(marts, hour)

        land(connection, [count("V-9", hour, 5, tenant_id="other")])
    dbt("run", "--select", *MODELS)

    assert routes(marts, hour) == before
