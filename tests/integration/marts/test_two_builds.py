"""Two builds at once: what the second has captured is written, whatever the first commits while it waits."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
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
        with locked(connection, f"intermediate.{MODEL}"):
            for n in range(2):
                land(connection, [count("V-7", at + n * 10 * MINUTE, n)])
                builds.append(start(target, tmp_path / str(n), MODEL))
                await_waiting(connection, n + 1, builds)
        ended = [build.wait(timeout=120) for build in builds]
        dbt("run", "--select", *MODELS)
        known = connection.execute(
            "SELECT sum(samples) FROM marts.fct_occupancy_hourly WHERE site_id = 'V-7'"
        ).fetchone()

    assert ended == [0, 0]
    assert known == (2,)


@pytest.mark.usefixtures("marts")  # so that the project is parsed
def test_two_first_builds_wait_for_each_other(
    new_database: Callable[[str], AbstractContextManager[str]], dbt: Dbt, target: Path, tmp_path: Path
) -> None:
    """Both have looked, and found no schema and no table, before either makes one."""
    with new_database("first_builds") as url, connected(url) as connection:
        land(connection, [count("V-7", TODAY - DAY, 7)])
        database = {"PGDATABASE": connection.info.dbname}
        with locked(connection, "staging.holidays", "intermediate.int_sites__known"):
            connection.execute("SELECT pg_advisory_lock(hashtext('plimsoll schemas'))")
            builds = [
                start(target, tmp_path / str(n), "+dim_date", "+fct_occupancy_hourly", **database) for n in range(2)
            ]
            await_waiting(connection, 2 * 3, builds)  # each of its threads makes a schema
            connection.execute("SELECT pg_advisory_unlock(hashtext('plimsoll schemas'))")
            await_waiting(connection, 2 * 2, builds)
        ended = [build.wait(timeout=120) for build in builds]
        found = connection.execute(
            "SELECT (SELECT count(*) FROM staging.holidays) = (SELECT count(DISTINCT holidays) FROM staging.holidays),"
            " (SELECT sum(samples) FROM marts.fct_occupancy_hourly)"
        ).fetchone()

    assert ended == [0, 0]
    assert found == (True, 1)


def test_hours_that_another_build_writes_meanwhile_are_not_passed_over(
    marts: str, dbt: Dbt, target: Path, tmp_path: Path
) -> None:
    """One build knows which dates to take over, and before it does, another writes to one of them and to a third."""
    first, second, third = (TODAY - n * DAY + 9 * HOUR for n in (8, 9, 10))
    with connected(marts) as connection, connected(marts) as other:
        land(connection, [count("V-8", first, 1), count("V-8", second, 1)])
        with other.transaction(force_rollback=True):
            other.execute("ALTER VIEW intermediate.int_occupancy__hourly_grid SET (security_barrier = false)")
            build = start(target, tmp_path / "build", *MODELS[:3])
            await_waiting(connection, 1, [build], for_a="relation")
            land(connection, [count("V-8", second + HOUR, 1), count("V-8", third, 1)])
            dbt("run", "--select", *MODELS[:2])
        assert build.wait(timeout=120) == 0
        dbt("run", "--select", *MODELS)
        known = connection.execute(
            "SELECT (SELECT sum(samples) FROM marts.fct_occupancy_hourly WHERE site_id = 'V-8'),"
            " (SELECT sum(samples) FROM marts.fct_occupancy_daily WHERE site_id = 'V-8')"
        ).fetchone()

    assert known == (4, 4)


@contextmanager
def locked(connection: psycopg.Connection, *models: str) -> Iterator[None]:
    """As if another build wrote these models, given as schema.name."""
    for model in models:
        table = ".".join(f'"{name}"' for name in [connection.info.dbname, *model.split(".")])
        connection.execute("SELECT pg_advisory_lock(hashtext(%s))", [f"plimsoll {table}"])
    try:
        yield
    finally:
        connection.execute("SELECT pg_advisory_unlock_all()")


def start(target: Path, own_target: Path, *models: str, **env: str) -> subprocess.Popen[bytes]:
    """A build of its own, which need not parse the project again; the fixture `dbt` set its environment."""
    own_target.mkdir()
    shutil.copy(target / "partial_parse.msgpack", own_target)
    places = ["--target-path", str(own_target), "--log-path", str(own_target)]
    command = [EXECUTABLE, "build", "--quiet", "--resource-type", "model", "seed", "--select", *models, *places]
    return subprocess.Popen(command, cwd=PROJECT_DIR, env=os.environ | env)


def await_waiting(
    connection: psycopg.Connection, builds: int, started: list[subprocess.Popen[bytes]], for_a: str = "advisory"
) -> None:
    """Until that many connections of the builds wait for a lock."""
    until = time.monotonic() + 120
    waiting = """
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = %s
    """
    while connection.execute(waiting, [for_a]).fetchone() != (builds,):
        assert time.monotonic() < until, "no build waits for the lock"
        assert all(build.poll() is None for build in started), "a build did not wait for the lock"
        time.sleep(0.1)
