"""Sensors that look at the database: the minute's round, and alerts about failed jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from dagster import DagsterInstance, DagsterRunStatus, Failure, SensorDefinition, SensorResult, SkipReason
from dagster._core.test_utils import create_run_for_test, instance_for_test
from psycopg.pq import TransactionStatus

from forecasting.alerts import Condition, raise_alert, resolve_alert
from orchestration.keys import ALERTS, HOTSPOTS, RECOMMENDATIONS
from orchestration.resources import Platform, tenants
from orchestration.sensors import deliver_alerts, new_landings, no_champion, watch_alerts, watch_hotspots

pytestmark = pytest.mark.integration
Tick = Callable[..., Any]
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def platform(database_url: str) -> Platform:
    return Platform(database_url=database_url)


@pytest.fixture(scope="module")
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as opened:
        yield opened


def test_the_minutes_round_finds_a_crowded_site_without_a_run(
    connection: psycopg.Connection, database_url: str, instance: DagsterInstance, tick: Tick
) -> None:
    connection.execute(
        "INSERT INTO live.occupancy (tenant_id, site_id, occupancy, capacity, event_at, received_at, landed_at)"
        " VALUES ('default', 'gym', 95, 100, now(), now(), now())"
    )

    result = tick(watch_hotspots, instance, database_url)

    assert isinstance(result, SensorResult)
    assert not result.run_requests
    hotspots, recommendations = result.asset_events
    assert (hotspots.asset_key, recommendations.asset_key) == (HOTSPOTS, RECOMMENDATIONS)
    assert hotspots.metadata["raised"].value == 1
    assert connection.execute("SELECT entity_id, state FROM ops.hotspots").fetchall() == [("gym", "pending")]


def test_late_data_become_an_alert_that_is_told_in_the_log(
    connection: psycopg.Connection,
    database_url: str,
    instance: DagsterInstance,
    tick: Tick,
    caplog: pytest.LogCaptureFixture,
) -> None:
    connection.execute("INSERT INTO ingest.offsets VALUES ('occupancy.events', 7, 'c', 't', 5, now() - interval '1 h')")

    def look() -> int:
        result = tick(watch_alerts, instance, database_url)
        assert isinstance(result, SensorResult)
        [event] = result.asset_events
        assert event.asset_key == ALERTS
        return int(event.metadata["fired"].value)  # type: ignore[arg-type]

    assert look() == 0  # pending
    connection.execute("UPDATE ops.alerts SET first_seen_at = now() - interval '6 min'")
    assert look() == 1
    done = tick(deliver_alerts, instance, database_url)
    assert isinstance(done, SkipReason) and "1 messages delivered" in str(done.skip_message)
    assert any(message.startswith("[high] data_late · occupancy.events") for message in caplog.messages)
    connection.execute("DELETE FROM ops.alerts")
    connection.execute("DELETE FROM ingest.offsets WHERE partition = 7")


@pytest.mark.parametrize(("watcher", "table"), [(watch_hotspots, "hotspots"), (watch_alerts, "alerts")])
def test_a_tenant_that_cannot_be_watched_stops_no_other_and_is_named(
    connection: psycopg.Connection,
    database_url: str,
    instance: DagsterInstance,
    tick: Tick,
    watcher: SensorDefinition,
    table: str,
) -> None:
    connection.execute("INSERT INTO registry.tenants VALUES ('a', 'first of all') ON CONFLICT DO NOTHING")
    for tenant in ("a", "default"):
        connection.execute(
            "INSERT INTO live.occupancy (tenant_id, site_id, occupancy, capacity, event_at, received_at, landed_at)"
            " VALUES (%s, 'hall', 95, 100, now(), now(), now()) ON CONFLICT DO NOTHING",
            [tenant],
        )
        connection.execute(
            "INSERT INTO live.device (tenant_id, device_id, status, status_at, received_at, landed_at)"
            " VALUES (%s, 'D-1', 'offline', now(), now(), now()) ON CONFLICT DO NOTHING",
            [tenant],
        )
    connection.execute(f"ALTER TABLE ops.{table} ADD CONSTRAINT refused CHECK (tenant_id <> 'a') NOT VALID")

    with pytest.raises(Failure, match="left out: a;"):
        tick(watcher, instance, database_url)

    connection.execute(f"ALTER TABLE ops.{table} DROP CONSTRAINT refused")
    served = connection.execute(f"SELECT DISTINCT tenant_id FROM ops.{table}").fetchall()
    connection.execute(f"DELETE FROM ops.{table}")
    connection.execute("DELETE FROM live.device")
    assert served == [("default",)]


def test_a_refresh_is_asked_for_once_when_the_ledger_moves(
    connection: psycopg.Connection, database_url: str, instance: DagsterInstance, tick: Tick
) -> None:
    connection.execute("INSERT INTO ingest.offsets VALUES ('occupancy.events', 0, 'c', 't', 5, now())")

    moved = tick(new_landings, instance, database_url)
    assert isinstance(moved, SensorResult)
    # A dead letter changes no mart.
    connection.execute("INSERT INTO ingest.offsets VALUES ('occupancy.events.dlq', 0, 'c', 'd', 3, now())")
    still = tick(new_landings, instance, database_url, moved.cursor)

    assert len(moved.run_requests or []) == 1
    assert isinstance(still, SkipReason)


def test_no_refresh_is_asked_for_while_another_is_under_way_and_the_landing_is_not_forgotten(
    connection: psycopg.Connection, database_url: str, tick: Tick
) -> None:
    connection.execute("UPDATE ingest.offsets SET next_offset = next_offset + 1")

    with instance_for_test() as own:
        run = create_run_for_test(own, job_name="refresh_marts", status=DagsterRunStatus.STARTED)
        meanwhile = tick(new_landings, own, database_url, "before")
        own.report_run_failed(run, "ended")
        afterwards = tick(new_landings, own, database_url, "before")

    assert isinstance(meanwhile, SkipReason)
    assert len(afterwards.run_requests or []) == 1


def test_no_training_is_asked_for_before_there_is_anything_to_learn_from(
    database_url: str, instance: DagsterInstance, tick: Tick
) -> None:
    assert isinstance(tick(no_champion, instance, database_url), SkipReason)


def test_a_failing_job_is_one_alert_until_it_succeeds(connection: psycopg.Connection) -> None:
    def alerts() -> list[tuple[str, str]]:
        return connection.execute("SELECT state, message FROM ops.alerts ORDER BY first_seen_at, state").fetchall()

    def failed(message: str, now: datetime = NOW) -> bool:
        return raise_alert(connection, "default", Condition("system_error", "system", "refresh_marts", message), now)

    def succeeded() -> bool:
        return resolve_alert(connection, "default", "system_error|system|refresh_marts", "succeeded", NOW)

    assert failed("failed once")
    assert not failed("failed twice")
    assert alerts() == [("firing", "failed twice")]

    assert succeeded()
    assert not succeeded()
    assert [state for state, _ in alerts()] == ["resolved"]

    assert failed("failed again", NOW + timedelta(hours=2))
    history = connection.execute("SELECT to_state FROM ops.alert_events ORDER BY event_id").fetchall()
    assert [state for (state,) in history] == ["firing", "resolved", "firing"]


def test_a_run_holds_no_transaction_open_between_its_writes(platform: Platform) -> None:
    """Else the locks of the first tenant would be held until the last one is done."""
    with platform.connection() as connection:
        assert tenants(connection)
        assert connection.info.transaction_status == TransactionStatus.IDLE
