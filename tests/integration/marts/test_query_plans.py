"""What a refresh reads, by the plans of its queries."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from mart_events import DAY, HOUR, MINUTE, MODELS, TODAY, Dbt, connected, count, land

pytestmark = pytest.mark.integration


def test_refresh_reads_no_day_on_which_nothing_new_landed(marts: str, dbt: Dbt, target: Path) -> None:
    """The plans of the models that read raw rows: other landing days are left out, event times found by the index."""
    stream = {"longitude": 106.8, "latitude": -6.2, "estimated_max_people": 200, "utc_offset_s": 25200}
    stream |= {"stream_id": "550e8400-e29b-41d4-a716-446655440001", "total_in_area": 7}
    beat = {"device_id": "D-9", "uptime_s": 60, "battery_percent": 80}
    new = {
        "int_occupancy__runs": ("occupancy.events", count("V-1", TODAY + 5 * MINUTE, 33)),
        "fct_traffic_hourly": ("traffic.counts", {"ts_device": TODAY + 5 * MINUTE, **stream}),
        "fct_device_health_daily": ("device.heartbeats", {"ts_device": TODAY + 5 * MINUTE, **beat}),
    }
    with connected(marts) as connection:
        for topic, event in new.values():
            for days_ago in (3, 2, 1, 0):
                at = TODAY - days_ago * DAY
                land(connection, [{**event, "ts_device": at}], at + HOUR, topic=topic)
        dbt("run", "--select", *new)
        for topic, event in new.values():
            land(connection, [event], topic=topic)
        nodes = {model: plan_of(model, connection, dbt, target) for model in new}

    for model, (topic, _) in new.items():
        table = topic.replace(".", "_")
        scans = [node for node in nodes[model] if node.get("Relation Name", "").startswith(f"{table}_p")]
        by_landing = [node for node in scans if "_landed_at >" in json.dumps(node)]
        assert by_landing, f"{model} does not ask what landed in {table}"
        assert min(node["Relation Name"] for node in by_landing) >= f"{table}_p{TODAY:%Y%m%d}"
        assert all("ts_device >=" in json.dumps(node) for node in scans if node not in by_landing)


def test_late_event_is_read_by_the_index_on_event_time(marts: str, dbt: Dbt, target: Path) -> None:
    with connected(marts) as connection:
        land(connection, [count("V-1", TODAY - 2 * DAY + 15 * HOUR + 5 * MINUTE, 33)])
        nodes = plan_of("int_occupancy__runs", connection, dbt, target)

    by_event_time = [n for n in nodes if "ts_device_idx" in n.get("Index Name", "")]
    assert by_event_time
    assert all("ts_device >=" in n["Index Cond"] for n in by_event_time)


def test_hourly_mart_takes_over_only_the_service_dates_that_changed(marts: str, dbt: Dbt, target: Path) -> None:
    with connected(marts) as connection:
        land(connection, [count("V-1", TODAY - 2 * DAY + 16 * HOUR + 5 * MINUTE, 33)])
        dbt("run", "--select", "int_occupancy__runs", "int_occupancy__hourly_by_route")
        nodes = plan_of("fct_occupancy_hourly", connection, dbt, target)
        dbt("run", "--select", *MODELS)

    scans = [json.dumps(n) for n in nodes if n.get("Relation Name") == "int_occupancy__hourly_by_route"]
    assert ["service_date = " in scan or "occupancy_hour_key = " in scan for scan in scans] == [True, True]


def plan_of(model: str, connection: psycopg.Connection, dbt: Dbt, target: Path) -> list[dict[str, Any]]:
    """The nodes of the plan of a model's next run, where tables of a test's size are not simply read whole."""
    dbt("compile", "--select", model)
    (file,) = (target / "compiled" / "plimsoll" / "models").glob(f"*/*/{model}.sql")  # unit tests have theirs, deeper
    compiled = file.read_text()
    connection.execute("SET enable_seqscan = off")
    plan = connection.execute("EXPLAIN (FORMAT JSON) " + compiled).fetchone()
    assert plan is not None
    return list(walk(plan[0][0]["Plan"]))


def walk(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from walk(child)
