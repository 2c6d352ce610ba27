"""Retention removes what is older than promised and nothing else, and says what it did."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from dagster import DagsterInstance, materialize

from ingest.retention import apply_retention
from orchestration.assets.maintenance import retention
from orchestration.keys import RETENTION
from orchestration.resources import Platform
from plimsoll.contracts import Contract, load_contracts
from plimsoll.contracts.ddl import day_partition
from plimsoll.errors import PlimsollError
from plimsoll.settings import PROJECT_DIR

pytestmark = pytest.mark.integration
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def contracts() -> list[Contract]:
    return list(load_contracts(PROJECT_DIR / "data" / "contracts").values())


@pytest.fixture(autouse=True)
def kept_things(connection: psycopg.Connection, contracts: list[Contract]) -> None:
    """A raw table with partitions of 182, 180 and 2 days ago, runs made of it, and an hourly mart of three years."""
    connection.execute("DROP TABLE IF EXISTS marts.fct_occupancy_hourly, intermediate.int_occupancy__runs")
    connection.execute("CREATE SCHEMA IF NOT EXISTS marts")
    connection.execute("CREATE SCHEMA IF NOT EXISTS intermediate")
    connection.execute("CREATE TABLE intermediate.int_occupancy__runs (event_hour date, last_landed_at timestamptz)")
    for days in (182, 2):  # of hours long ago both: what counts is when they landed, as for the raw rows
        connection.execute("INSERT INTO intermediate.int_occupancy__runs VALUES ('2020-01-01', %s)", [NOW - days * DAY])
    connection.execute("CREATE TABLE marts.fct_occupancy_hourly (hour timestamptz)")
    for days in (1000, 731, 729, 1):
        connection.execute("INSERT INTO marts.fct_occupancy_hourly VALUES (%s)", [NOW - days * DAY])
    occupancy = next(contract for contract in contracts if contract.topic == "occupancy.events")
    for days in (182, 180, 2):
        connection.execute(day_partition(occupancy, (NOW - days * DAY).date()))
    connection.execute("TRUNCATE ingest.landing_batches, ops.retention_log")
    for days in (31, 1):
        connection.execute(
            "INSERT INTO ingest.landing_batches (topic, landed_at, rows_landed, rows_rejected, bytes_read, duration_s)"
            " VALUES ('occupancy.events', %s, 1, 0, 1, 1)",
            [NOW - days * DAY],
        )


def partitions(connection: psycopg.Connection) -> list[str]:
    rows = connection.execute(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'raw.occupancy_events'::regclass ORDER BY 1"
    )
    return [name.rpartition("_p")[2] for (name,) in rows]


def ages(connection: psycopg.Connection, column: str, table: str) -> list[int]:
    rows = connection.execute(f"SELECT (%s - {column})::interval FROM {table} ORDER BY 1", [NOW])  # type: ignore[arg-type]
    return [age.days for (age,) in rows]


def test_a_dry_run_says_what_would_go_and_removes_nothing(
    connection: psycopg.Connection, contracts: list[Contract]
) -> None:
    removals = {one.relation: one for one in apply_retention(connection, contracts, NOW, dry_run=True)}

    assert removals["raw.occupancy_events"].partitions == ("occupancy_events_p20260522",)
    assert removals["marts.fct_occupancy_hourly"].rows == 2
    assert partitions(connection) == ["20260522", "20260524", "20261118"]
    assert ages(connection, "hour", "marts.fct_occupancy_hourly") == [1, 729, 731, 1000]
    assert connection.execute("SELECT DISTINCT dry_run FROM ops.retention_log").fetchall() == [(True,)]


def test_what_is_older_than_promised_goes_and_the_rest_stays(
    connection: psycopg.Connection, contracts: list[Contract]
) -> None:
    apply_retention(connection, contracts, NOW)

    # The day that the cut-off falls into stays whole.
    assert partitions(connection) == ["20260524", "20261118"]
    assert ages(connection, "hour", "marts.fct_occupancy_hourly") == [1, 729]
    assert ages(connection, "last_landed_at", "intermediate.int_occupancy__runs") == [2]
    assert ages(connection, "landed_at", "ingest.landing_batches") == [1]
    logged = connection.execute(
        "SELECT rows_deleted, partitions_dropped, cut_off_at FROM ops.retention_log"
        " WHERE relation = 'marts.fct_occupancy_hourly' AND NOT dry_run"
    ).fetchall()
    assert logged == [(2, 0, NOW - 730 * DAY)]


def test_history_that_was_loaded_lately_is_kept_as_long_as_what_happened_lately(
    connection: psycopg.Connection, contracts: list[Contract]
) -> None:
    connection.execute("ALTER TABLE marts.fct_occupancy_hourly ADD last_landed_at timestamptz")
    for days, landed in ((3000, 1), (2000, 731), (1500, None), (1, 1)):
        landed_at = NOW - landed * DAY if landed else None
        connection.execute("INSERT INTO marts.fct_occupancy_hourly VALUES (%s, %s)", [NOW - days * DAY, landed_at])

    apply_retention(connection, contracts, NOW)

    assert ages(connection, "hour", "marts.fct_occupancy_hourly") == [1, 1, 729, 3000]


DECIDED = """
    WITH hotspot AS (
        INSERT INTO ops.hotspots (tenant_id, fingerprint, rule, entity_kind, entity_id, source, state, severity,
            threshold, load_factor, peak_load_factor, first_seen_at, started_at, observed_at, ended_at, updated_at)
        SELECT 'default', %(name)s, 'crowding', 'site', %(name)s, 'live', %(state)s, 'high', 0.9, 1, 1,
            now, now, now, %(ended)s, now FROM (SELECT %(at)s::timestamptz AS now) AS now
        RETURNING hotspot_id),
    recommendation AS (
        INSERT INTO ops.recommendations (tenant_id, hotspot_id, fingerprint, action, entity_kind, entity_id, state,
            summary, expected_effect, confidence, created_at, updated_at, expires_at)
        SELECT 'default', hotspot_id, %(name)s, 'advise', 'site', %(name)s, 'expired', 's', '{}', 0.5,
            %(at)s, %(at)s, coalesce(%(ended)s, %(now)s) FROM hotspot),
    alert AS (
        INSERT INTO ops.alerts (tenant_id, fingerprint, rule, entity_kind, entity_id, state, severity, message,
            first_seen_at, started_at, ended_at, updated_at)
        VALUES ('default', %(name)s, 'r', 'site', %(name)s, %(state)s, 'high', 'm', %(at)s, %(at)s, %(ended)s, %(at)s)
        RETURNING alert_id),
    announcement AS (
        INSERT INTO ops.alert_announcements (tenant_id, alert_id, at, state, severity, title, body)
        SELECT 'default', alert_id, %(at)s, 'firing', 'high', %(name)s, 'b' FROM alert)
    INSERT INTO ops.hotspot_events (tenant_id, hotspot_id, at, to_state, actor, reason)
    SELECT 'default', hotspot_id, %(at)s, %(state)s, 'test', %(name)s FROM hotspot
"""


def test_what_was_decided_long_ago_goes_with_its_audit_and_what_is_open_stays(
    connection: psycopg.Connection, contracts: list[Contract]
) -> None:
    connection.execute("TRUNCATE ops.hotspots, ops.recommendations, ops.alerts CASCADE")
    old = NOW - 200 * DAY
    for name, ended in (("old", NOW - 181 * DAY), ("young", NOW - 179 * DAY), ("open", None)):
        state = "resolved" if ended else "firing"
        connection.execute(DECIDED, {"name": name, "state": state, "at": old, "ended": ended, "now": NOW})

    apply_retention(connection, contracts, NOW)

    names = {
        table: sorted(name for (name,) in connection.execute(f"SELECT {column} FROM ops.{table}"))  # type: ignore[arg-type]
        for table, column in {
            "hotspots": "entity_id", "recommendations": "entity_id", "alerts": "entity_id",
            "hotspot_events": "reason", "alert_announcements": "title",
        }.items()
    }  # fmt: skip
    assert names == {table: ["open", "young"] for table in names}
    logged = connection.execute(
        "SELECT relation, rows_deleted, cut_off_at FROM ops.retention_log WHERE relation LIKE 'ops.%' ORDER BY 1"
    ).fetchall()
    assert logged == [(f"ops.{table}", 1, NOW - 180 * DAY) for table in ("alerts", "hotspots", "recommendations")]


def test_a_second_run_finds_nothing(connection: psycopg.Connection, contracts: list[Contract]) -> None:
    apply_retention(connection, contracts, NOW)
    again = apply_retention(connection, contracts, NOW)

    assert sum(one.rows + len(one.partitions) for one in again) == 0


def test_a_table_in_use_is_named_instead_of_waited_for(
    connection: psycopg.Connection, database_url: str, contracts: list[Contract], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.retention._LOCK_TIMEOUT", "200ms")
    with psycopg.connect(database_url) as reader:
        reader.execute("LOCK TABLE raw.occupancy_events IN ACCESS SHARE MODE")
        with pytest.raises(PlimsollError, match=r"raw\.occupancy_events is in use"):
            apply_retention(connection, contracts, NOW)


def test_the_asset_reports_what_went(database_url: str, contracts: list[Contract]) -> None:
    with DagsterInstance.ephemeral() as instance:
        result = materialize(
            [retention(contracts)],
            instance=instance,
            resources={"platform": Platform(database_url=database_url)},
            run_config={"ops": {"ops__retention_log": {"config": {"dry_run": True}}}},
        )

    (event,) = [m for m in result.get_asset_materialization_events() if m.asset_key == RETENTION]
    metadata = event.materialization.metadata
    assert metadata["dry_run"].value is True
    assert metadata["rows_deleted"].value >= 2
    relations = {record.data["relation"] for record in metadata["removals"].records}
    assert {"raw.occupancy_events", "marts.fct_occupancy_hourly", "ingest.landing_batches", "dagster runs"} <= relations
