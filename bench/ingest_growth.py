"""Does history cost anything? The landing rate and the refresh of the marts with nothing and with much in the tables.

The history lies in day partitions of the past, spread over as many days as the contract keeps; the new events are five
minutes of a thousand buses at 1 Hz. Then the same with an hour of that on the same day.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from unittest import mock

import psycopg
from ingest_ground import SITES, TOPIC, Ground, Row, console, fields
from psycopg import sql

from ingest.lander.landing import Landing, Message, no_garbage_collection
from ingest.lander.ledger import open_position
from plimsoll.contracts.ddl import day_partition
from plimsoll.environment import client_environment
from plimsoll.settings import PROJECT_DIR, Settings

NEW_S = 300
BATCH = 10_000
STOPS_PER_TRIP = 24
REFRESHES = 13  # an hour, and the one before it
ROWS_PER_DAY = 500_000
HISTORY_PARTITION = -1
OPERATING_DAY_STARTS = timedelta(hours=3)  # `operating_day_starts_h` of dbt_project.yml
WANTED_REFRESH_S, WANTED_REFRESH_FACTOR, WANTED_LANDING_SHARE, WANTED_READ_SHARE = 10.0, 1.5, 0.9, 0.01


@dataclass
class Sample:
    """What it took with so many rows in the raw table.

    Attributes:
        landing: events per second.
        refresh_s: one `dbt build` for the new events, tests included, dbt loaded already.
        read: rows of the history that the refresh read.
        hour_refresh_s: the same when an hour of the day is there already; only known of the empty case.
    """

    rows: int
    landing: float
    refresh_s: float
    read: int
    hour_refresh_s: float | None = None


def measure(ground: Ground, sizes: list[int]) -> list[Row]:
    """A fresh database for each size; the first is the empty case that the others are held against."""
    samples = [_sample(ground, size) for size in [0, *sizes]]
    empty = samples[0]
    rows = []
    for sample in samples:
        figure = f"writing {sample.landing:,.0f} events/s, refresh {sample.refresh_s:.1f} s"
        wanted, is_met = "", None
        if sample is not empty:
            figure += f", {sample.read:,} rows of the history read"
            wanted = (
                f"landing ≥ {WANTED_LANDING_SHARE:.0%}, refresh ≤ {WANTED_REFRESH_FACTOR} × and < "
                f"{WANTED_REFRESH_S:.0f} s, ≤ {WANTED_READ_SHARE:.0%} of the history read"
            )
            is_met = (
                sample.landing >= WANTED_LANDING_SHARE * empty.landing
                and sample.refresh_s <= min(WANTED_REFRESH_FACTOR * empty.refresh_s, WANTED_REFRESH_S)
                and sample.read <= WANTED_READ_SHARE * sample.rows
            )
        rows.append(Row(f"{sample.rows:,} rows of history, {NEW_S * SITES:,} new", figure, wanted, is_met))
        if sample.hour_refresh_s is not None:
            rows.append(_after_an_hour(sample.refresh_s, sample.hour_refresh_s))
    return rows


def _after_an_hour(first_s: float, later_s: float) -> Row:
    wanted = f"≤ {WANTED_REFRESH_FACTOR} × and < {WANTED_REFRESH_S:.0f} s"
    is_met = later_s <= min(WANTED_REFRESH_FACTOR * first_s, WANTED_REFRESH_S)
    figure = f"refresh {later_s:.1f} s, {later_s / first_s:.2f} × the second one"
    return Row(f"the {REFRESHES}th {NEW_S * SITES:,} of the same day", figure, wanted, is_met)


def _sample(ground: Ground, size: int) -> Sample:
    with (
        ground.database() as url,
        psycopg.connect(url, autocommit=True, options="-c timezone=UTC") as connection,
        _dbt(ground, url) as build,
    ):
        with console.status(f"{size:,} rows of history and their marts"):
            _load_history(connection, ground, size)
            build()
            _age_marts(connection)
        start = datetime.now(UTC) - timedelta(seconds=REFRESHES * NEW_S)

        def refresh(turn: int) -> tuple[float, float]:
            """Events per second that landed, and the seconds that their refresh took."""
            with console.status(f"{size:,} rows of history, refresh {turn + 1}"):
                landing = _land_new(connection, ground, start + timedelta(seconds=turn * NEW_S), turn * NEW_S * SITES)
                started = time.perf_counter()
                build()
                return landing, time.perf_counter() - started

        refresh(0)  # does not count: the first incremental run of a model plans and compiles anew
        before = _history_read(connection)
        landing, refresh_s = refresh(1)
        sample = Sample(size, landing, refresh_s, _history_read(connection) - before)
        if not size:
            sample.hour_refresh_s = [refresh(turn)[1] for turn in range(2, REFRESHES)][-1]
        return sample


@contextmanager
def _dbt(ground: Ground, url: str) -> Iterator[Callable[[], None]]:
    """`dbt build` as the job refresh_marts runs it, in this process."""
    from dbt.cli.main import dbtRunner

    target = ground.folder / "dbt" / url.rpartition("/")[2]
    settings = Settings(database_url=url, home=ground.folder / "home")  # type: ignore[arg-type]
    places = ["--target-path", str(target), "--log-path", str(target / "logs"), "--quiet", "--no-use-colors"]
    project = ["--project-dir", str(PROJECT_DIR / "dbt_project"), "--profiles-dir", str(PROJECT_DIR / "dbt_project")]
    runner = dbtRunner()

    def build() -> None:
        done = runner.invoke(["build", "--exclude-resource-type", "unit_test", *project, *places])
        if not done.success:
            failed = [r.node.name for r in getattr(done.result, "results", []) if r.status not in ("success", "pass")]
            raise RuntimeError(f"dbt build failed: {done.exception or failed}")

    with mock.patch.dict(os.environ, client_environment(settings)):
        yield build


def _load_history(connection: psycopg.Connection, ground: Ground, size: int) -> None:
    """Rows of past landing days, made in the database: a bus reports every few seconds of each day."""
    contract = ground.contracts[TOPIC]
    # Not in the present operating day: its loads would be balanced anew with the new events.
    today = (datetime.now(UTC) - OPERATING_DAY_STARTS).replace(hour=0, minute=0, second=0, microsecond=0)
    days = -(-size // ROWS_PER_DAY)
    for ago in range(days, 0, -1):
        day = today - timedelta(days=ago)
        connection.execute(day_partition(contract, day.date()))
        rows = min(ROWS_PER_DAY, size - (days - ago) * ROWS_PER_DAY)
        connection.execute(
            sql.SQL(
                """
                INSERT INTO {} (tenant_id, site_id, device_id, ts_device, door_id, in_count, out_count, occupancy,
                    capacity, event_id, seq, route_id, fw_version, _topic, _partition, _offset, _broker_at, _landed_at)
                SELECT 'default', 'TJ-' || to_char(n %% {sites}, 'FM0000'), 'EDGE-' || n %% {sites},
                    %(day)s + n * interval '1 day' / {rows}, 1, n %% 7, n %% 5, n %% 90, 80, %(day)s::date || '-' || n,
                    n / {sites}, '1', '1.7.3', {topic}, {partition}, n, %(day)s + n * interval '1 day' / {rows},
                    %(day)s + interval '1 day' - interval '1 second'
                FROM generate_series(0, {rows} - 1) AS n
                """
            ).format(
                sql.Identifier(*contract.schema_table),
                sites=SITES, rows=rows, topic=TOPIC, partition=HISTORY_PARTITION,
            ),
            {"day": day},
        )  # fmt: skip
    if days:
        position = open_position(connection, TOPIC, HISTORY_PARTITION, "history", "history", 0)
        connection.execute(
            "UPDATE ingest.offsets SET landed_at = %s WHERE topic = %s AND partition = %s",
            [today - timedelta(seconds=1), position.topic, position.partition],
        )
    # As autovacuum did on the history's own days: else it reads all of it while the refresh is measured.
    connection.execute("VACUUM (ANALYZE) raw.occupancy_events")


def _age_marts(connection: psycopg.Connection) -> None:
    """As if the history had been refreshed on its own days: the checks look at a day's writes, else at all of it."""
    tables = connection.execute(
        """
        SELECT table_schema, table_name FROM information_schema.columns JOIN information_schema.tables
            USING (table_schema, table_name)
        WHERE column_name = 'refreshed_at' AND table_type = 'BASE TABLE' AND table_schema <> 'ingest'
        """
    ).fetchall()
    for table in tables:
        name = sql.Identifier(*table)
        connection.execute(sql.SQL("UPDATE {} SET refreshed_at = refreshed_at - interval '2 days'").format(name))
        connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(name))


def _land_new(connection: psycopg.Connection, ground: Ground, start: datetime, offset: int) -> float:
    """Land five minutes of events as a lander does; decoding and Kafka are the same whatever the history."""
    landing = Landing(ground.contracts)
    landing.prepare(connection)
    position = open_position(connection, TOPIC, 0, "bench", "bench", 0)
    spent = 0.0
    with no_garbage_collection():
        for first in range(0, NEW_S * SITES, BATCH):
            batch = landing.decode(list(_messages(start, first, offset)))
            started = time.perf_counter()
            _, [position] = landing.land(connection, batch, {position: offset + first + BATCH})
            spent += time.perf_counter() - started
    return NEW_S * SITES / spent


def _messages(start: datetime, first: int, offset: int) -> Iterator[Message]:
    now = datetime.now(UTC)
    for number in range(first, first + BATCH):
        at = start + timedelta(seconds=number // SITES)
        event = fields(number) | _ride(number % SITES, int(at.timestamp()))
        event |= {"ts_device": at.isoformat(), "event_id": f"new-{offset + number}", "seq": (offset + number) // SITES}
        yield Message(TOPIC, 0, offset + number, now, None, json.dumps(event).encode())


def _ride(bus: int, second: int) -> dict[str, object]:
    """What the doors of a bus say in that second: a stop every minute, trips of 24 stops, full in the middle."""
    stop, since_stop = divmod(second + 7 * bus, 60)
    trip, position = divmod(stop, STOPS_PER_TRIP)
    load, before = (3 * min(n, STOPS_PER_TRIP - 1 - n) for n in (position, max(0, position - 1)))
    on, off = (max(0, load - before) + 1, max(0, before - load) + 1) if since_stop == 0 else (0, 0)
    return {"trip_id": f"{bus}-{trip}", "in_count": on, "out_count": off, "occupancy": load}


def _history_read(connection: psycopg.Connection) -> int:
    """Rows that were ever read from partitions of past days: few, if the plan or the index leaves them out."""
    connection.execute("SELECT pg_stat_clear_snapshot(), pg_sleep(1.1)")  # sessions report once a second
    row = connection.execute(
        """
        SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::bigint FROM pg_stat_user_tables
        WHERE schemaname = 'raw' AND relname LIKE 'occupancy\\_events\\_p%%'
            AND relname < 'occupancy_events_p' || to_char(now(), 'YYYYMMDD')
        """,
        [],
    ).fetchone()
    return int(row[0]) if row else 0
