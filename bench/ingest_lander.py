"""The lander from Kafka to committed rows: exactly once, validated, with live state; alone, and two at once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import psycopg
from ingest_ground import Ground, Row, await_that, console, cpu_seconds

from plimsoll.stack.process import Child

WARM_SHARE, END_SHARE = 0.05, 0.95
WANTED_KAFKA_PYTHON = 40_000
WANTED_SHARE_CONFLUENT = 0.25
WANTED_SCALING = 1.6
CLIENTS = ("kafka-python", "confluent")


@dataclass
class Run:
    """Landed events per second, and the processor time that the landers took for each (µs)."""

    rate: float
    cpu_us: float


def land(ground: Ground, client: str, landers: int = 1) -> Run:
    """Land all that is in the topic into a fresh database; the rate is taken once every lander is at work."""
    with ExitStack() as exits:
        url = exits.enter_context(ground.database())
        environment = ground.environment(url, PLIMSOLL_KAFKA_CLIENT=client)
        watcher = exits.enter_context(psycopg.connect(url, autocommit=True))
        names = [f"lander-{number}" for number in range(landers)]
        processes = [exits.enter_context(ground.running(environment, "lander", "run", "--name", n)) for n in names]
        return _watched(ground, watcher, processes)


def _watched(ground: Ground, watcher: psycopg.Connection, processes: Sequence[Child]) -> Run:
    def landed() -> int:
        row = watcher.execute("SELECT coalesce(sum(next_offset), 0)::bigint FROM ingest.offsets").fetchone()
        return int(row[0]) if row else 0

    def at_work() -> bool:
        # Each lander has one connection to the database from its first assignment on.
        row = watcher.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'plimsoll-lander'"
            " AND datname = current_database()"
        ).fetchone()
        return row is not None and row[0] >= len(processes)

    await_that(lambda: at_work() and landed() > WARM_SHARE * ground.events, "the landers to be at work", 60)
    first, started = landed(), time.perf_counter()
    cpu = sum(cpu_seconds(process.pid) for process in processes)
    await_that(lambda: landed() >= END_SHARE * ground.events, "the events to land", 300)
    last, seconds = landed(), time.perf_counter() - started
    cpu = sum(cpu_seconds(process.pid) for process in processes) - cpu
    await_that(lambda: landed() >= ground.events, "the last events to land", 60)
    _require_each_once(ground, watcher)
    return Run((last - first) / seconds, 1e6 * cpu / (last - first))


def _require_each_once(ground: Ground, watcher: psycopg.Connection) -> None:
    found = watcher.execute("SELECT count(*), count(DISTINCT event_id) FROM raw.occupancy_events").fetchone()
    if found != (ground.events, ground.events):
        raise RuntimeError(f"{ground.events:,} events were produced; rows and different events landed: {found}")


def measure(ground: Ground, limit: float | None) -> list[Row]:
    """One lander by each client, and its share of the limit."""
    rows = []
    for client in CLIENTS:
        with console.status(f"one lander, {client}"):
            run = land(ground, client)
        share = f", {run.rate / limit:.0%} of the limit" if limit else ""
        is_met = run.rate >= WANTED_KAFKA_PYTHON
        wanted = f"≥ {WANTED_KAFKA_PYTHON:,} /s"
        if client == "confluent":
            wanted = f"≥ {WANTED_SHARE_CONFLUENT:.0%} of the limit"
            is_met = bool(limit and run.rate >= WANTED_SHARE_CONFLUENT * limit)
        figure = f"{run.rate:,.0f} events/s{share}; {run.cpu_us:.1f} µs of processor each"
        rows.append(Row(f"one lander, {client}", figure, wanted, is_met))
    return rows


def measure_two(ground: Ground) -> list[Row]:
    """Two landers that share the partitions, against one, by the client that leaves the processors most to do."""
    with console.status("one lander, then two"):
        one, two = (land(ground, "kafka-python", landers) for landers in (1, 2))
    figure = f"{two.rate:,.0f} events/s, {two.rate / one.rate:.2f} × one"
    return [Row("two landers, kafka-python", figure, f"≥ {WANTED_SCALING} ×", two.rate >= WANTED_SCALING * one.rate)]
