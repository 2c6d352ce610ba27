"""Two builds at once: what the second has captured is written, whatever the first commits while it waits."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import psycopg
import pytest
from mart_events import DAY, HOUR, MINUTE, MODELS, TODAY, Dbt, connected, count, land

from orchestration.dbt import EXECUTABLE
from plimsoll.settings import PROJECT_DIR

pytestmark = pytest.mark.integration

MODEL = "int_occupancy__runs"


def test_build_that_waits_for_another_loses_nothing(marts: str, dbt: Dbt, target: Path, tmp_path: Path) -> None:
    at = TODAY - 4 * DAY + 9 * HOUR
    builds: list[subprocess.Popen[bytes]] = []
    with connected(marts) as connection:
        table = f'"{connection.info.dbname}"."intermediate"."{MODEL}"'
        connection.execute("SELECT pg_advisory_lock(hashtext(%s))", [f"plimsoll {table}"])
        try:
            for n in range(2):
                land(connection, [count("V-7", at + n * 10 * MINUTE, n)])
                builds.append(start(target, tmp_path / str(n)))
                await_waiting(connection, n + 1, builds)
        finally:
            connection.execute("SELECT pg_advisory_unlock_all()")
            ended = [build.wait(timeout=120) for build in builds]
        dbt("run", "--select", *MODELS)
        known = connection.execute(
            "SELECT sum(samples) FROM marts.fct_occupancy_hourly WHERE site_id = 'V-7'"
        ).fetchone()

    assert ended == [0, 0]
    assert known == (2,)


def start(target: Path, own_target: Path) -> subprocess.Popen[bytes]:
    """A build of its own, which need not parse the project again; the fixture `dbt` set its environment."""
    own_target.mkdir()
    shutil.copy(target / "partial_parse.msgpack", own_target)
    places = ["--target-path", str(own_target), "--log-path", str(own_target)]
    return subprocess.Popen([EXECUTABLE, "run", "--quiet", "--select", MODEL, *places], cwd=PROJECT_DIR, env=os.environ)


def await_waiting(connection: psycopg.Connection, builds: int, started: list[subprocess.Popen[bytes]]) -> None:
    """Until that many builds wait for the lock."""
    until = time.monotonic() + 120
    waiting = """
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'advisory'
    """
    while connection.execute(waiting).fetchone() != (builds,):
        assert time.monotonic() < until, "no build waits for the lock"
        assert all(build.poll() is None for build in started), "a build did not wait for the lock"
        time.sleep(0.1)
