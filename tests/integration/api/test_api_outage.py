"""PostgreSQL goes away, hangs and comes back: every request is answered in time, and the service recovers at once."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

pytestmark = pytest.mark.integration
ANSWER_S = 8.0
"""Nobody waits longer to be told that the database is away; the driver itself waits five for its cancelling."""

THREADS = 40
"""More than the event loop has for all that waits elsewhere."""


class Gate:
    """A relay before PostgreSQL that can be closed (connections are refused) and held (nothing passes)."""

    def __init__(self, host: str, port: int) -> None:
        self._server = host, port
        self._open = threading.Event()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._passing = threading.Event()
        self.release()
        threading.Thread(target=self._accept, args=[self._listener], daemon=True).start()

    def close(self) -> None:
        """Break all connections and turn new ones away."""
        self._open.clear()
        for one in self._sockets:
            _shut(one)
        self._sockets.clear()

    def hold(self) -> None:
        """Turn new connections away and let nothing pass on those that are there, as after a host has vanished."""
        self._passing.clear()
        self._open.clear()

    def release(self) -> None:
        """Let everything pass again."""
        self._passing.set()
        self._open.set()

    def end(self) -> None:
        """Close for good."""
        self.release()
        self.close()
        self._listener.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            if not self._open.is_set():
                client.close()
                continue
            server = socket.create_connection(self._server)
            self._sockets += [client, server]
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._relay, args=[source, target], daemon=True).start()

    def _relay(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._passing.wait()
                target.sendall(data)
        _shut(source)
        _shut(target)


def _shut(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


@pytest.fixture
def gate(database_url: str) -> Iterator[Gate]:
    parts = conninfo_to_dict(database_url)
    gate = Gate(str(parts["host"]), int(str(parts["port"])))
    yield gate
    gate.end()


@pytest.fixture
def behind_gate(api: Any, seed: Any, gate: Gate, database_url: str) -> Iterator[TestClient]:
    port = str(conninfo_to_dict(database_url)["port"])
    url = database_url.replace(f":{port}/", f":{gate.port}/")
    with api(database_url=SecretStr(url)) as client:
        yield client


def _at_once(ask: Callable[[], Any], times: int) -> list[tuple[Any, float]]:
    """What each of so many requests finds, and the seconds that it takes."""

    def timed(_: int) -> tuple[Any, float]:
        started = time.monotonic()
        return ask(), time.monotonic() - started

    with ThreadPoolExecutor(times) as threads:
        return list(threads.map(timed, range(times)))


def _get_at_once(client: TestClient, path: str, times: int) -> list[tuple[int, float]]:
    return _at_once(lambda: client.get(path).status_code, times)


def test_all_that_ask_during_an_outage_are_answered_soon(behind_gate: TestClient, gate: Gate) -> None:
    gate.close()

    answers = _get_at_once(behind_gate, "/api/occupancy/now", times=8)

    assert {status for status, _ in answers} == {503}
    assert max(took_s for _, took_s in answers) < ANSWER_S


def test_after_a_restart_of_the_server_no_request_is_turned_away(
    behind_gate: TestClient, connection: psycopg.Connection
) -> None:
    assert {status for status, _ in _get_at_once(behind_gate, "/api/alerts", times=60)} == {200}
    ended = connection.execute(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE application_name = 'plimsoll-api' AND datname = current_database()"
    ).fetchone()
    assert ended and ended[0] > 2

    assert {status for status, _ in _get_at_once(behind_gate, "/api/alerts", times=4)} == {200}


def test_a_server_that_says_nothing_any_more_is_not_waited_for_without_end(behind_gate: TestClient, gate: Gate) -> None:
    behind_gate.app.state.database.longest_s = 1.0  # type: ignore[attr-defined]
    assert behind_gate.get("/api/alerts").status_code == 200
    gate.hold()

    answers = _get_at_once(behind_gate, "/api/alerts", times=4)
    gate.release()

    assert {status for status, _ in answers} == {503}
    assert max(took_s for _, took_s in answers) < ANSWER_S
    assert behind_gate.get("/api/alerts").status_code == 200


def test_what_needs_a_connection_of_its_own_and_gets_none_is_to_come_again(
    behind_gate: TestClient, gate: Gate, seed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.snapshot.MIN_AGE_S", 60.0)
    monkeypatch.setattr("serving.snapshot.MAX_AGE_S", 60.0)
    seed.site("gym", kind="venue")
    assert behind_gate.get("/api/occupancy/gym").status_code == 200
    gate.close()

    for path in ("/api/forecast/explain?site_id=gym", "/api/recommendation?site_id=gym"):
        answer = behind_gate.get(path)
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable"), path


def test_questions_that_wait_take_no_connection_from_live_state_devices_and_health(
    client: TestClient, database_url: str
) -> None:
    event = {"bus_id": "TJ-1", "occupancy": 3, "ts_device": "2026-01-15T12:34:56Z", "device_id": "E"}
    database = client.app.state.database  # type: ignore[attr-defined]
    with psycopg.connect(database_url) as rebuilding, ThreadPoolExecutor(12) as threads:
        rebuilding.execute("LOCK TABLE ops.alerts IN ACCESS EXCLUSIVE MODE")
        waiting = [threads.submit(client.get, "/api/alerts") for _ in range(12)]
        while not database.statistics()["requests_waiting"]:
            time.sleep(0.01)

        answers = [
            client.get("/api/occupancy/now"),
            client.post("/api/occupancy/ingest", json=event),
            client.get("/health/ready"),
        ]
        rebuilding.rollback()

    assert [answer.status_code for answer in answers] == [200, 202, 200]
    assert {200} <= {question.result().status_code for question in waiting} <= {200, 503}


def test_decisions_that_wait_for_a_lock_keep_no_health_check_waiting(
    client: TestClient, database_url: str, seed: Any
) -> None:
    path = f"/api/alerts/{seed.alert('door')}/acknowledge"
    with psycopg.connect(database_url) as deciding, ThreadPoolExecutor(THREADS) as threads:
        deciding.execute("LOCK TABLE ops.alerts IN ACCESS EXCLUSIVE MODE")
        waiting = [threads.submit(client.post, path) for _ in range(THREADS)]
        while deciding.execute("SELECT count(*) > 3 FROM pg_locks WHERE NOT granted").fetchone() != (True,):
            time.sleep(0.01)

        ((status, took_s),) = _get_at_once(client, "/health/ready", times=1)
        deciding.rollback()

    assert (status, took_s < 5) == (200, True)
    assert {decision.result().status_code for decision in waiting} == {200}


def test_a_mart_that_is_being_rebuilt_keeps_no_health_check_waiting(client: TestClient, database_url: str) -> None:
    with psycopg.connect(database_url) as rebuilding:
        rebuilding.execute("LOCK TABLE marts.fct_occupancy_hourly IN ACCESS EXCLUSIVE MODE")

        ((health, took_s),) = _at_once(lambda: client.get("/health").json(), times=1)

    assert took_s < 5
    assert (health["components"]["database"]["state"], health["components"]["marts"]["state"]) == ("ok", "unknown")


@pytest.mark.long
def test_a_server_that_comes_back_is_found_within_seconds(behind_gate: TestClient, gate: Gate) -> None:
    gate.close()
    until = time.monotonic() + 10
    while time.monotonic() < until:
        assert behind_gate.get("/api/alerts").status_code == 503
    gate.release()

    until = time.monotonic() + 4
    while behind_gate.get("/api/alerts").status_code == 503:
        assert time.monotonic() < until
