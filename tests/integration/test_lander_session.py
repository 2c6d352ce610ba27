"""What a lander needs and others hold, and the other way round: nobody waits without end or without a word."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

import psycopg
import pytest
from kafka import KafkaProducer

from ingest.lander.lander import Lander
from ingest.lander.landing import Landing
from ingest.lander.session import open_session
from plimsoll.contracts import load_contracts
from plimsoll.contracts.ddl import day_partition
from plimsoll.database import connect
from plimsoll.settings import PROJECT_DIR
from plimsoll.stack.local import LocalStack

pytestmark = pytest.mark.integration
TOPIC = "occupancy.events"
CONTRACTS = load_contracts(PROJECT_DIR / "data" / "contracts")


@contextmanager
def running_lander(stack: LocalStack, database_url: str) -> Iterator[tuple[Lander, threading.Thread]]:
    lander = Lander(database_url, stack.bootstrap_servers, CONTRACTS, group=uuid.uuid4().hex)
    thread = threading.Thread(target=lander.run, daemon=True)
    thread.start()
    try:
        yield lander, thread
    finally:
        lander.stop()
        thread.join(30)


def await_that(condition: Callable[[], bool], what: str, timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain for {what}"
        time.sleep(0.05)


def test_a_ledger_that_somebody_holds_is_said_and_keeps_no_lander_from_stopping(
    stack: LocalStack, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with psycopg.connect(database_url) as holder:
        holder.execute("LOCK TABLE ingest.offsets IN ACCESS EXCLUSIVE MODE")
        with running_lander(stack, database_url) as (lander, thread):
            await_that(lambda: "because of Postgres: canceling statement due to lock timeout" in caplog.text, "a word")
            lander.stop()
            thread.join(10)
            assert not thread.is_alive()


def test_a_lander_that_is_paused_in_a_transaction_loses_its_locks_and_lands_once_when_it_goes_on(
    stack: LocalStack, database_url: str, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    site, go_on, is_paused = uuid.uuid4().hex, threading.Event(), threading.Event()
    record = Landing._record

    def paused(*args: Any) -> None:
        is_paused.set()
        assert go_on.wait(30)
        record(*args)

    monkeypatch.setattr(Landing, "_record", paused)
    producer = KafkaProducer(bootstrap_servers=stack.bootstrap_servers)
    event = {"site_id": site, "ts_device": "2026-01-15T12:00:00Z", "occupancy": 1}
    producer.send(TOPIC, value=json.dumps(event).encode())
    producer.close()

    with running_lander(stack, f"{database_url}?options=-c%20idle_in_transaction_session_timeout%3D500ms"):
        assert is_paused.wait(30)
        connection.execute("SET lock_timeout = '10s'")
        held = connection.execute("SELECT FROM ingest.offsets WHERE topic = %s FOR UPDATE", [TOPIC]).rowcount
        go_on.set()
        count = "SELECT count(*) FROM raw.occupancy_events WHERE site_id = %s"
        await_that(lambda: connection.execute(count, [site]).fetchone() == (1,), "the event to land")

    assert held > 0
    assert "nothing can land because of Postgres: " in caplog.text


def test_a_session_lets_go_of_its_locks_when_its_host_vanishes_or_is_paused(database_url: str) -> None:
    names = ["tcp_keepalives_idle", "tcp_keepalives_count", "TimeZone", "idle_in_transaction_session_timeout"]
    shown = "SELECT array_agg(current_setting(name) ORDER BY n) FROM unnest(%s::text[]) WITH ORDINALITY AS t (name, n)"
    with open_session(database_url, "landing") as landing, connect(database_url) as loading:
        assert landing.execute(shown, [names]).fetchone() == (["5", "3", "UTC", "30s"],)
        assert loading.execute(shown, [names[:3]]).fetchone() == (["5", "3", "UTC"],)


def test_a_day_partition_is_made_while_a_backup_reads_the_table(
    database_url: str, connection: psycopg.Connection
) -> None:
    contract, day = CONTRACTS[TOPIC], date(2031, 5, 6)
    connection.execute("SET lock_timeout = '1s'")
    with psycopg.connect(database_url) as backup:
        backup.execute("LOCK TABLE raw.occupancy_events IN ACCESS SHARE MODE")
        connection.execute(day_partition(contract, day))
        connection.execute(day_partition(contract, day))

    connection.execute(
        "INSERT INTO raw.occupancy_events (site_id, tenant_id, ts_device, _topic, _partition, _offset, _broker_at,"
        " _landed_at) VALUES ('s', 'default', now(), '', 0, 0, now(), '2031-05-06T23:59Z')"
    )
    stored = connection.execute("SELECT tableoid::regclass::text FROM raw.occupancy_events WHERE site_id = 's'")
    assert stored.fetchall() == [("raw.occupancy_events_p20310506",)]
    indexes = connection.execute(
        "SELECT count(*), count(inhparent) FROM pg_index LEFT JOIN pg_inherits ON inhrelid = indexrelid"
        " WHERE indrelid = 'raw.occupancy_events_p20310506'::regclass"
    ).fetchall()
    assert indexes == [(2, 2)]
