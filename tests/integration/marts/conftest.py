"""Marts that all tests of this folder share: a database of three days, and dbt to refresh it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from unittest import mock

import psycopg
import pytest
from mart_events import DAY, HOUR, TODAY, Dbt, bus_day, connected, land, venue_day

from plimsoll.environment import client_environment
from plimsoll.settings import Settings


@pytest.fixture(scope="package")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where dbt puts what it compiles."""
    return tmp_path_factory.mktemp("dbt")


@pytest.fixture(scope="package")
def database_url(new_database: Callable[[str], AbstractContextManager[str]]) -> Iterator[str]:
    """A migrated database of the folder's own: a whole build takes too long for every module."""
    with new_database("marts") as url:
        yield url


@pytest.fixture(scope="package")
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


@pytest.fixture(scope="package")
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


def register(connection: psycopg.Connection) -> None:
    connection.execute(
        """
        INSERT INTO registry.sites (tenant_id, site_id, name, kind, capacity, time_zone, hold_s)
        SELECT 'default', site_id, site_id, kind, capacity, 'UTC', hold_s
        FROM (VALUES ('V-1', 'venue', 50, 1800), ('V-2', 'venue', 50, 5400), ('V-3', 'venue', 50, 1800),
                     ('V-4', 'venue', 50, 1800), ('B-1', 'bus', 80, 300), ('B-2', 'bus', 80, 300),
                     ('B-3', 'bus', 80, 300))
             AS sites (site_id, kind, capacity, hold_s)
        """
    )
