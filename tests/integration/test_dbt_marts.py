"""The marts on a real PostgreSQL: exact, incremental by what landed, and cheap to refresh."""

from __future__ import annotations

import itertools
import json
import os
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import psycopg
import pytest
from psycopg import sql

from plimsoll.contracts import load_contracts
from plimsoll.contracts.ddl import day_partition
from plimsoll.environment import client_environment
from plimsoll.settings import PROJECT_DIR, Settings

pytestmark = pytest.mark.integration

TOPIC = "occupancy.events"
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
MODELS = (
    "int_occupancy__runs",
    "int_occupancy__hourly_by_route",
    "fct_occupancy_hourly",
    "fct_route_occupancy_hourly",
    "fct_occupancy_daily",
)
FIGURES = """
    occupancy_hour_key, mean_occupancy, max_occupancy, p95_occupancy, boardings, alightings, capacity,
    minutes_above_threshold, crowded_passenger_minutes, samples, coverage, is_imputed, first_landed_at, last_landed_at
"""
PARTS = 4
ROUTE_FIGURES = "route_hour_key, mean_occupancy, max_load_factor, boardings, alightings, vehicles, vehicle_minutes"
Event = dict[str, Any]
Dbt = Callable[..., None]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dbt")


@pytest.fixture(scope="module")
def dbt(database_url: str, target: Path) -> Iterator[Dbt]:
    """Run dbt in this process; a run that does not end as expected fails the test with its messages."""
    from dbt.cli.main import dbtRunner

    settings = Settings(database_url=database_url, home=target)
    runner = dbtRunner()

    def run(*arguments: str, succeeds: bool = True) -> None:
        places = ["--target-path", str(target), "--log-path", str(target / "logs"), "--quiet", "--no-use-colors"]
        done = runner.invoke([*arguments, *places])
        if done.success != succeeds:
            failed = [f"{r.node.name}: {r.status} {r.message}" for r in getattr(done.result, "results", [])]
            pytest.fail(f"dbt {' '.join(arguments)}: {done.exception}\n" + "\n".join(failed))

    with mock.patch.dict(os.environ, client_environment(settings)):
        yield run


@pytest.fixture(scope="module")
def marts(database_url: str, dbt: Dbt) -> str:
    """Two venues and two buses over three days, landed as they happened, and a whole build with every test."""
    with connected(database_url) as connection:
        register(connection)
        for days_ago in (3, 2, 1):
            day = TODAY - days_ago * DAY
            land(
                connection,
                [*venue_day("V-1", day), *venue_day("V-2", day), *bus_day("B-1", day), *bus_day("B-2", day)],
                day + 23 * HOUR,
            )
    dbt("build")
    return database_url


def connected(database_url: str) -> psycopg.Connection:
    return psycopg.connect(database_url, autocommit=True, options="-c timezone=UTC")


def register(connection: psycopg.Connection) -> None:
    connection.execute(
        """
        INSERT INTO registry.sites (tenant_id, site_id, name, kind, capacity, time_zone, hold_s)
        SELECT 'default', site_id, site_id, kind, capacity, 'UTC', hold_s
        FROM (VALUES ('V-1', 'venue', 50, 1800), ('V-2', 'venue', 50, 5400), ('V-3', 'venue', 50, 1800),
                     ('B-1', 'bus', 80, 300), ('B-2', 'bus', 80, 300), ('B-3', 'bus', 80, 300))
             AS sites (site_id, kind, capacity, hold_s)
        """
    )


def land(
    connection: psycopg.Connection,
    events: list[Event],
    landed_at: datetime | None = None,
    partition: int = 0,
    topic: str = TOPIC,
) -> None:
    """Write rows and ledger in one transaction, as the lander does; later than anything landed before."""
    contract = load_contracts(PROJECT_DIR / "data" / "contracts")[topic]
    with connection.transaction():
        known = connection.execute("SELECT max(landed_at) FROM ingest.offsets WHERE topic = %s", [topic]).fetchone()
        after = (known[0] if known and known[0] else datetime(2000, 1, 1, tzinfo=UTC)) + timedelta(microseconds=1)
        at = max(landed_at or datetime.now(UTC), after)
        connection.execute(day_partition(contract, at.date()))
        landing = {"_topic": topic, "_partition": partition, "_broker_at": at, "_landed_at": at}
        for offset, event in enumerate(events):
            row = {"tenant_id": "default", **event, **landing, "_offset": offset}
            connection.execute(
                sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                    sql.Identifier(*contract.schema_table),
                    sql.SQL(", ").join(map(sql.Identifier, row)),
                    sql.SQL(", ").join(sql.Placeholder() * len(row)),
                ),
                list(row.values()),
            )
        connection.execute(
            """
            INSERT INTO ingest.offsets (topic, partition, cluster_id, topic_id, next_offset, landed_at)
            VALUES (%s, %s, 'c', 't', 0, %s)
            ON CONFLICT (topic, partition) DO UPDATE SET landed_at = excluded.landed_at
            """,
            [topic, partition, at],
        )


def count(site_id: str, at: datetime, occupancy: int, **more: object) -> Event:
    return {"site_id": site_id, "device_id": f"D-{site_id}", "ts_device": at, "occupancy": occupancy, **more}


def venue_day(site_id: str, day: datetime) -> list[Event]:
    return [count(site_id, day + 8 * HOUR + n * 10 * MINUTE, 10 + n % 7) for n in range(60)]


def bus_day(site_id: str, day: datetime, trips: int = 10) -> list[Event]:
    """Trips of 48 minutes with a stop every 4; a tenth of those who get off is overlooked."""
    chance = random.Random(f"{site_id} {day}")
    events: list[Event] = []
    for trip in range(trips):
        load, reported = 0, 0
        for stop in range(12):
            on = chance.randint(0, 9) if stop < 8 else 0
            off = load if stop == 11 else chance.randint(0, load)
            seen_off = sum(chance.random() < 0.9 for _ in range(off))
            load += on - off
            reported = max(0, reported + on - seen_off)
            at = day + 6 * HOUR + trip * HOUR + stop * 4 * MINUTE
            served = {"trip_id": f"{day:%d}-{trip}", "route_id": "1", "direction_id": trip % 2}
            doors = {"in_count": on, "out_count": seen_off, "count_mode": "delta", "seq": len(events) + 1}
            events.append(count(site_id, at, reported, **doors, **served))
    return events


def rows(
    database_url: str, table: str = "fct_occupancy_hourly", key: str = "occupancy_hour_key"
) -> dict[str, tuple[Any, ...]]:
    """Every row of a mart by its key, with the transaction that wrote it: a row that was replaced is another."""
    with connected(database_url) as connection:
        found = connection.execute(f"SELECT {key}::text, xmin::text, mart.* FROM marts.{table} AS mart").fetchall()
    return {row[0]: row[1:] for row in found}


def changed(before: dict[str, tuple[Any, ...]], after: dict[str, tuple[Any, ...]]) -> set[tuple[str, object]]:
    """(site, hour or day) of the rows that are not what they were."""
    assert before.keys() <= after.keys()
    return {(row[3], row[4]) for key, row in after.items() if before.get(key) != row}


def test_event_a_day_late_corrects_only_its_hours(marts: str, dbt: Dbt) -> None:
    yesterday = TODAY - DAY
    before = rows(marts)
    daily_before = rows(marts, "fct_occupancy_daily", "occupancy_day_key")

    with connected(marts) as connection:
        land(connection, [count("V-1", yesterday + 10 * HOUR + 55 * MINUTE, 44)])
    dbt("run", "--select", *MODELS)

    after = rows(marts)
    # Its next event comes after 5 minutes, at the full hour, so that it holds in its own hour only.
    assert changed(before, after) == {("V-1", yesterday + 10 * HOUR)}
    daily = rows(marts, "fct_occupancy_daily", "occupancy_day_key")
    assert changed(daily_before, daily) == {("V-1", yesterday.date())}


def test_late_event_that_holds_into_the_next_hour_corrects_both(marts: str, dbt: Dbt) -> None:
    evening = TODAY - DAY + 17 * HOUR
    before = rows(marts)

    with connected(marts) as connection:
        land(connection, [count("V-1", evening + 55 * MINUTE, 30)])
    dbt("run", "--select", *MODELS)

    assert changed(before, rows(marts)) == {("V-1", evening), ("V-1", evening + HOUR)}


def test_build_without_new_data_touches_no_row(marts: str, dbt: Dbt) -> None:
    tables = {
        "fct_occupancy_hourly": "occupancy_hour_key",
        "fct_route_occupancy_hourly": "route_hour_key",
        "fct_occupancy_daily": "occupancy_day_key",
    }
    dbt("run", "--select", *MODELS)
    before = {table: rows(marts, table, key) for table, key in tables.items()}

    dbt("run", "--select", *MODELS)

    assert all(before.values())
    assert {table: rows(marts, table, key) for table, key in tables.items()} == before


def test_repeats_do_not_count(marts: str, dbt: Dbt) -> None:
    day = TODAY - 2 * DAY
    by_id = [count("V-3", day + 9 * HOUR, 5, event_id="E-1"), count("V-3", day + 9 * HOUR, 6, event_id="E-2")]
    by_sequence = [count("V-3", day + 10 * HOUR, 7, seq=1), count("V-3", day + 10 * HOUR, 7, seq=2)]
    by_content = [count("V-3", day + 11 * HOUR, 8), count("V-3", day + 11 * HOUR, 9)]
    with connected(marts) as connection:
        land(connection, [*by_id, *by_sequence, *by_content])
        dbt("run", "--select", *MODELS)
        before = rows(marts)
        samples = connection.execute(
            "SELECT samples FROM marts.fct_occupancy_hourly WHERE site_id = 'V-3' AND samples > 0 ORDER BY hour"
        ).fetchall()

        land(connection, [*by_id, *by_sequence, *by_content, *venue_day("V-1", day), *bus_day("B-1", day)], partition=1)
    dbt("run", "--select", *MODELS)

    assert samples == [(2,), (2,), (2,)]
    assert rows(marts) == before


def test_late_bus_event_corrects_only_the_hours_of_its_block(marts: str, dbt: Dbt) -> None:
    trip = TODAY - DAY + 9 * HOUR  # a block of its own, from 9:00 to 9:44
    before, routes_before = rows(marts), rows(marts, "fct_route_occupancy_hourly", "route_hour_key")

    with connected(marts) as connection:
        late = count("B-2", trip + 10 * MINUTE, 20, in_count=4, out_count=4, seq=500, count_mode="delta",
                     trip_id=f"{TODAY - DAY:%d}-3", route_id="1", direction_id=1)  # fmt: skip
        land(connection, [late])
    dbt("run", "--select", *MODELS)

    assert changed(before, rows(marts)) == {("B-2", trip)}
    routes = rows(marts, "fct_route_occupancy_hourly", "route_hour_key")
    assert {row[5] for key, row in routes.items() if routes_before[key][1:] != row[1:]} == {trip}


def test_failed_model_reads_the_same_again(marts: str, dbt: Dbt) -> None:
    hour = TODAY - 3 * DAY + 12 * HOUR
    table = "intermediate.int_occupancy__hourly_by_route"
    before = rows(marts)
    with connected(marts) as connection:
        land(connection, [count("V-1", hour + 5 * MINUTE, 49)])

        connection.execute(f"ALTER TABLE {table} ADD CONSTRAINT broken CHECK (samples < 0) NOT VALID")
        dbt("run", "--select", *MODELS, succeeds=False)
        assert rows(marts) == before

        connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT broken")
    dbt("run", "--select", *MODELS)
    assert changed(before, rows(marts)) == {("V-1", hour)}


def test_hour_whose_raw_rows_may_be_gone_is_left_alone(marts: str, dbt: Dbt) -> None:
    hour = TODAY - 3 * DAY + 14 * HOUR
    before = rows(marts)
    with connected(marts) as connection:
        connection.execute(
            "UPDATE intermediate.int_occupancy__hourly_by_route SET first_landed_at = now() - interval '200 days'"
            " WHERE site_id = 'V-1' AND hour = %s",
            [hour],
        )
        land(connection, [count("V-1", hour + 5 * MINUTE, 49)])

    dbt("run", "--select", *MODELS)

    assert rows(marts) == before


def test_late_counts_and_heartbeats_correct_only_their_hour_and_day(marts: str, dbt: Dbt) -> None:
    stream, yesterday = "550e8400-e29b-41d4-a716-446655440000", TODAY - DAY

    def counted(at: datetime, total: int) -> Event:
        place = {"longitude": 106.8, "latitude": -6.2, "estimated_max_people": 200, "utc_offset_s": 25200}
        return {"stream_id": stream, "ts_device": at, "total_in_area": total, **place}

    def beat(device_id: str, at: datetime, uptime_s: int) -> Event:
        return {"device_id": device_id, "ts_device": at, "uptime_s": uptime_s, "battery_percent": 80}

    beats = [beat(d, yesterday + n * HOUR, n * 3600) for d in ("D-1", "D-2") for n in range(-20, 20)]
    select = ("--select", "fct_traffic_hourly", "fct_device_health_daily")
    with connected(marts) as connection:
        land(connection, [counted(yesterday + n * 5 * MINUTE, n) for n in range(60)], topic="traffic.counts")
        land(connection, beats, topic="device.heartbeats")
        dbt("run", *select)
        hours = rows(marts, "fct_traffic_hourly", "traffic_hour_key")
        days = rows(marts, "fct_device_health_daily", "device_day_key")

        land(connection, [counted(yesterday + 2 * HOUR + 57 * MINUTE, 90)], topic="traffic.counts")
        land(connection, [beat("D-2", yesterday + 5 * HOUR + MINUTE, 60), *beats[:3]], topic="device.heartbeats")
        land(
            connection,
            [{"device_id": "D-2", "ts_device": yesterday + 5 * HOUR, "status": "error", "error_code": "E42"}],
            topic="device.status",
        )
        dbt("run", *select)
        health = connection.execute(
            "SELECT heartbeats, errors, restarts, last_error_code FROM marts.fct_device_health_daily"
            " WHERE device_id = 'D-2' AND service_date = %s",
            [yesterday.date()],
        ).fetchone()

    found = changed(hours, rows(marts, "fct_traffic_hourly", "traffic_hour_key"))
    assert {hour for _, hour in found} == {yesterday + 2 * HOUR}
    found = changed(days, rows(marts, "fct_device_health_daily", "device_day_key"))
    assert found == {("D-2", yesterday.date())}
    assert health == (21, 1, 1, "E42")


def test_predictions_are_judged_once_their_hour_is_over(marts: str, dbt: Dbt) -> None:
    hour = TODAY - DAY + 9 * HOUR
    with connected(marts) as connection:
        actual = connection.execute(
            "SELECT value FROM marts.fct_series_hourly WHERE series_id = 'V-2' AND hour = %s", [hour]
        ).fetchone()
        assert actual is not None
        connection.cursor().executemany(
            """
            INSERT INTO forecast.occupancy_hourly
                (tenant_id, series_id, model_version, origin_at, target_hour, horizon_h,
                 predicted, p10, p90, baseline, method)
            VALUES ('default', 'V-2', 'm1', %s, %s, %s, 13, 0, 20, 15, 'champion')
            """,
            [(hour - HOUR, hour, 1), (hour - DAY, hour, 24), (TODAY, TODAY + DAY, 24)],
        )
        dbt("run", "--select", "fct_forecast_accuracy", "--full-refresh")
        judged = connection.execute(
            "SELECT horizon_bucket_h, actual, absolute_error, is_inside_band"
            " FROM marts.fct_forecast_accuracy ORDER BY target_hour, horizon_bucket_h"
        ).fetchall()
        before = rows(marts, "fct_forecast_accuracy", "accuracy_key")
        dbt("run", "--select", "fct_forecast_accuracy")

    error = pytest.approx(abs(13 - actual[0]), rel=1e-6)
    assert judged == [(1, actual[0], error, True), (24, actual[0], error, True)]
    assert rows(marts, "fct_forecast_accuracy", "accuracy_key") == before


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

    scans = [n for n in nodes if n.get("Relation Name") == "int_occupancy__hourly_by_route"]
    assert len(scans) == 1
    assert "service_date = " in json.dumps(scans)


def plan_of(model: str, connection: psycopg.Connection, dbt: Dbt, target: Path) -> list[dict[str, Any]]:
    """The nodes of the plan of a model's next run, where tables of a test's size are not simply read whole."""
    dbt("compile", "--select", model)
    compiled = next((target / "compiled").rglob(f"{model}.sql")).read_text()
    connection.execute("SET enable_seqscan = off")
    plan = connection.execute("EXPLAIN (FORMAT JSON) " + compiled).fetchone()
    assert plan is not None
    return list(walk(plan[0][0]["Plan"]))


def test_docs_build_and_describe_every_column(marts: str, dbt: Dbt, target: Path) -> None:
    dbt("docs", "generate")

    catalog = json.loads((target / "catalog.json").read_text())["nodes"]
    manifest = json.loads((target / "manifest.json").read_text())["nodes"]
    models = {name: node for name, node in manifest.items() if node["resource_type"] == "model"}
    assert models.keys() <= catalog.keys()
    undescribed = {f"{m}.{c}" for m, node in models.items() for c in catalog[m]["columns"] if c not in node["columns"]}
    assert undescribed == set()


def walk(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from walk(child)


def reporting_on(events: list[Event], every: timedelta = 30 * timedelta(seconds=1)) -> list[Event]:
    """The same, with reports in between that nothing has changed."""
    between = []
    for event, following in itertools.pairwise(events):
        for n in range(1, int(min(following["ts_device"] - event["ts_device"], 10 * MINUTE) / every)):
            same = {"ts_device": event["ts_device"] + n * every, "in_count": 0, "out_count": 0, "event_id": str(n)}
            between.append(event | same)
    return sorted(events + between, key=lambda event: event["ts_device"])


def test_hours_landed_in_any_order_equal_a_build_from_scratch_and_pandas(marts: str, dbt: Dbt) -> None:
    """Events of two weeks ago land shuffled and in parts, with repeats, one bus in order; a refresh after each part."""
    chance = random.Random(7)
    day = TODAY - 14 * DAY
    venue = [
        count("V-3", day + n * 7 * MINUTE + chance.random() * 6 * MINUTE, chance.randint(-3, 60)) for n in range(400)
    ]
    venue = [event for event in venue if chance.random() < 0.8 and event["ts_device"].hour != 5]
    events = [*venue, *bus_day("B-3", day), *bus_day("B-1", day, trips=6), *venue_day("V-2", day)]
    events += chance.sample(events, 40)
    chance.shuffle(events)
    in_order = reporting_on(bus_day("B-2", day + 2 * DAY))
    portion = len(in_order) // PARTS + 1
    with connected(marts) as connection:
        for part in range(PARTS):
            land(connection, events[part::PARTS], partition=part)
            land(connection, in_order[part * portion : (part + 1) * portion], partition=part)
            dbt("run", "--select", *MODELS)
        incremental = figures(connection, day + 7 * DAY)
        runs = connection.execute("SELECT count(*) FROM intermediate.int_occupancy__runs").fetchone()
        # With all that reads from it: views go with the table that they stand on.
        dbt("run", "--select", "int_occupancy__runs+", "--full-refresh", "--vars", "{run_max_gap_s: -1}")
        events_alone = connection.execute("SELECT count(*) FROM intermediate.int_occupancy__runs").fetchone()
        assert events_alone > runs, "nothing was taken together"
        assert figures(connection, day + 7 * DAY) == incremental
        mart = connection.execute(
            """
            SELECT hour, mean_occupancy, max_occupancy, samples, coverage FROM marts.fct_occupancy_hourly
            WHERE site_id = 'V-3' AND hour < %s AND NOT is_imputed ORDER BY hour
            """,
            [day + 7 * DAY],
        ).fetchall()

    wanted = hourly(pd.DataFrame(venue)[["ts_device", "occupancy"]], hold_s=1800)
    assert [row[0] for row in mart] == list(wanted.index)
    np.testing.assert_allclose(np.array([row[1:] for row in mart], dtype=float), wanted.to_numpy(), rtol=1e-12)


def figures(connection: psycopg.Connection, until: datetime) -> tuple[list[Any], list[Any]]:
    hours, routes = (
        connection.execute(f"SELECT {columns} FROM marts.{mart} WHERE hour < %s ORDER BY 1", [until]).fetchall()
        for mart, columns in (("fct_occupancy_hourly", FIGURES), ("fct_route_occupancy_hourly", ROUTE_FIGURES))
    )
    assert hours and routes
    return hours, routes


def hourly(observations: pd.DataFrame, hold_s: int) -> pd.DataFrame:
    """Mean weighted by time, maximum, samples and coverage by UTC hour, by way of a grid of microseconds."""
    frame = observations.drop_duplicates().sort_values("ts_device")
    start = frame["ts_device"].dt.tz_convert("UTC").astype("datetime64[us, UTC]").astype("int64").to_numpy()
    load = frame["occupancy"].clip(lower=0).to_numpy()
    until = np.minimum(start + hold_s * 1_000_000, np.append(start[1:], np.iinfo(np.int64).max))
    hour_us = 3_600_000_000
    borders = np.arange(start.min() // hour_us, until.max() // hour_us + 1) * hour_us
    found = {}
    for border in borders:
        us = np.clip(np.minimum(until, border + hour_us) - np.maximum(start, border), 0, None)
        if us.sum() == 0:
            continue
        inside = (start >= border) & (start < border + hour_us)
        found[pd.Timestamp(border, unit="us", tz="UTC")] = (
            (us * load).sum() / us.sum(), load[us > 0].max(), inside.sum(), us.sum() / hour_us,
        )  # fmt: skip
    return pd.DataFrame.from_dict(found, orient="index", columns=["mean", "max", "samples", "coverage"])
