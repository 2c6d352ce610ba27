"""A bad raw row holds the marts back as they were, until it is mended."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from dagster import DagsterInstance, ExecuteInProcessResult

from ingest.bulk import BulkLoad
from ingest.lander.landing import Message
from orchestration.definitions import build_defs
from orchestration.resources import Platform
from plimsoll.contracts import load_contracts
from plimsoll.settings import PROJECT_DIR, Settings

pytestmark = pytest.mark.integration
TOPIC = "occupancy.events"
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


@pytest.fixture(scope="module")
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as opened:
        yield opened


def land(connection: psycopg.Connection, site: str) -> None:
    """A day of counts every quarter of an hour, until three hours ago."""
    load = BulkLoad(connection, load_contracts(PROJECT_DIR / "data" / "contracts"), partition=-7)
    first = load.next_offset(TOPIC)
    events = [
        {"site_id": site, "ts_device": (NOW - timedelta(hours=27 - step / 4)).isoformat(), "occupancy": step % 40}
        for step in range(96)
    ]
    messages = [
        Message(TOPIC, -7, first + number, NOW, None, json.dumps(event).encode()) for number, event in enumerate(events)
    ]
    assert load.land(messages, {TOPIC: first + len(messages)}) == (96, 0)


@pytest.fixture(scope="module")
def run(
    database_url: str, instance: DagsterInstance, offline_settings: Settings
) -> Callable[[str], ExecuteInProcessResult]:
    """Run a job against the module's database."""
    defs = build_defs({"platform": Platform(database_url=database_url)}, offline_settings)
    return lambda job: defs.resolve_job_def(job).execute_in_process(instance=instance, raise_on_error=False)


def sites_served(connection: psycopg.Connection) -> list[str]:
    return [
        site for (site,) in connection.execute("SELECT DISTINCT site_id FROM marts.fct_occupancy_hourly ORDER BY 1")
    ]


def test_a_bad_row_holds_back_marts_and_model_until_it_is_gone(
    connection: psycopg.Connection, run: Callable[[str], ExecuteInProcessResult]
) -> None:
    land(connection, "first")
    assert run("refresh_marts").success
    assert sites_served(connection) == ["first"]

    land(connection, "second")
    connection.execute(
        """
        INSERT INTO raw.occupancy_events (tenant_id, site_id, ts_device, occupancy, _topic, _partition, _offset,
                                          _broker_at, _landed_at)
        SELECT 'default', 'broken', now() + interval '1 day', 5, %s, -7, 1000000, now(), max(_landed_at)
        FROM raw.occupancy_events
        """,
        [TOPIC],
    )
    held = run("build_everything")

    assert not held.success
    failed = {check.check_name for check in held.get_asset_check_evaluations() if not check.passed and check.blocking}
    assert failed == {"device_clock_is_sane"}
    assert not held.asset_materializations_for_node("dbt_models")
    assert sites_served(connection) == ["first"]
    assert connection.execute("SELECT count(*) FROM forecast.models").fetchone() == (0,)

    # Looking again does not make it good, although nothing has landed since.
    assert not run("refresh_marts").success

    connection.execute("DELETE FROM raw.occupancy_events WHERE site_id = 'broken'")
    mended = run("refresh_marts")

    assert mended.success
    assert sites_served(connection) == ["first", "second"]
