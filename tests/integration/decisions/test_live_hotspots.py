"""Live hotspots against a real PostgreSQL: recorded once, audited, each tenant for itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from forecasting.hotspots import acknowledge, detect
from forecasting.hotspots.density import read_densities
from forecasting.hotspots.forecasts import read_forecasts
from forecasting.hotspots.model import Entity
from forecasting.hotspots.policy import HotspotPolicy
from forecasting.lifecycle import UnknownRecord
from forecasting.recommendations import recommend
from plimsoll.database import connect

pytestmark = pytest.mark.integration
NOW = datetime(2026, 3, 2, 5, tzinfo=UTC)  # a Monday


def at(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def test_a_crowded_site_becomes_pending_fires_and_clears_with_its_audit(
    connection: psycopg.Connection, tenant: str, scene: Any
) -> None:
    scene.site("gym")
    found = {}
    for minutes, people in ((0, 97), (5, 98), (10, 97), (15, 70), (25, 60)):
        scene.count("gym", people, at(minutes))
        found[minutes] = detect(connection, tenant, at(minutes))

    assert [row.state for row in found[0].raised] == ["pending"]
    assert [row.state for row in found[10].fired] == ["firing"]
    assert len(found[15].updated) == 1
    [cleared] = found[25].cleared
    assert cleared.crowded_passenger_minutes == pytest.approx(7 * 5 + 8 * 5 + 7 * 5)
    events = connection.execute(
        "SELECT at, from_state, to_state, actor FROM ops.hotspot_events WHERE tenant_id = %s ORDER BY event_id",
        [tenant],
    ).fetchall()
    assert events == [
        (at(0), None, "pending", "detector"),
        (at(10), "pending", "firing", "detector"),
        (at(25), "firing", "resolved", "detector"),
    ]
    [stored] = connection.execute(
        "SELECT state, peak_load_factor, entity_kind, entity_id, evidence ->> 'name' FROM ops.hotspots "
        "WHERE tenant_id = %s",
        [tenant],
    ).fetchall()
    assert stored == ("resolved", 0.98, "site", "gym", "gym")


def test_detection_twice_at_the_same_instant_changes_nothing(
    connection: psycopg.Connection, tenant: str, scene: Any
) -> None:
    scene.predict("gym", [95.0, 30.0], at(60))
    scene.crowded_gym()
    recommend(connection, tenant, at(10))
    before = scene.snapshot()
    assert all(before)

    detect(connection, tenant, at(10))
    recommend(connection, tenant, at(10))

    assert scene.snapshot() == before


def test_detection_by_many_sessions_at_once_raises_one_hotspot(
    connection: psycopg.Connection, database_url: str, tenant: str, scene: Any
) -> None:
    scene.site("gym")
    scene.count("gym", 97, NOW)

    def run(number: int) -> None:
        with connect(database_url) as own:
            detect(own, tenant, at(number / 60))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(run, range(6)))

    assert connection.execute("SELECT count(*) FROM ops.hotspots WHERE tenant_id = %s", [tenant]).fetchone() == (1,)


def test_a_silent_venue_expires_and_is_never_cleared(connection: psycopg.Connection, tenant: str, scene: Any) -> None:
    scene.crowded_gym()
    states = []
    for minutes in range(15, 76, 5):  # the reading of minute 10 holds for 30 minutes, silence for 30 more
        result = detect(connection, tenant, at(minutes))
        states.append((len(result.cleared), len(result.expired), result.entities_unknown))
    assert states[5:7] == [(0, 0, 0), (0, 0, 1)]
    assert [expired for _, expired, _ in states] == [0] * 11 + [1, 0]
    assert not any(cleared for cleared, _, _ in states)


def test_a_device_clock_that_runs_ahead_does_not_keep_its_reading_alive(
    connection: psycopg.Connection, tenant: str, scene: Any
) -> None:
    scene.site("gym", hold_s=300)
    scene.count("gym", 97, at(0))
    connection.execute("UPDATE live.occupancy SET event_at = %s WHERE tenant_id = %s", [at(59), tenant])
    assert detect(connection, tenant, at(4)).entities_known == 1
    assert detect(connection, tenant, at(6)).entities_known == 0


def test_inactive_sites_and_sites_without_capacity_are_left_out(
    connection: psycopg.Connection, tenant: str, scene: Any
) -> None:
    scene.site("closed", is_active=False)
    scene.site("unmeasured", capacity=None)
    scene.count("closed", 100, NOW)
    scene.count("unmeasured", 100, NOW)
    assert detect(connection, tenant, NOW).entities_known == 0


def test_one_tenant_s_crowd_is_not_another_s(connection: psycopg.Connection, tenant: str, scene: Any) -> None:
    scene.crowded_gym()
    assert detect(connection, "default", at(10)).open == ()
    assert recommend(connection, "default", at(10)) == []


def test_a_firing_hotspot_is_acknowledged_once_and_by_its_own_tenant_only(
    connection: psycopg.Connection, tenant: str, scene: Any
) -> None:
    [hotspot] = scene.crowded_gym().fired
    with pytest.raises(UnknownRecord):
        acknowledge(connection, "default", hotspot.hotspot_id, actor="eve", now=at(11))

    first = acknowledge(connection, tenant, hotspot.hotspot_id, actor="ana", reason="on my way", now=at(11))
    again = acknowledge(connection, tenant, hotspot.hotspot_id, actor="ben", now=at(12))

    assert (first.state, again.state) == ("acknowledged", "acknowledged")
    events = connection.execute(
        "SELECT actor, reason FROM ops.hotspot_events WHERE tenant_id = %s AND to_state = 'acknowledged'", [tenant]
    ).fetchall()
    assert events == [("ana", "on my way")]
    scene.count("gym", 97, at(15))
    assert [row.state for row in detect(connection, tenant, at(15)).updated] == ["acknowledged"]


def test_a_route_that_burns_at_an_hour_is_forecast_fuller_at_that_hour_tomorrow(
    connection: psycopg.Connection, tenant: str, scene: Any
) -> None:
    scene.route()
    for minutes in range(0, 60, 5):
        scene.bus("A", 78, at(minutes), "S4")
        detect(connection, tenant, at(minutes))
    tomorrow = NOW + timedelta(days=1)
    scene.predict("route:1:0", [40.0, 40.0], tomorrow)

    [at_the_hour, after] = read_forecasts(connection, tenant, tomorrow, HotspotPolicy())[Entity("route", "1", 0)]

    assert at_the_hour.density < after.density
    assert at_the_hour.load_factor > after.load_factor
    [alone] = read_forecasts(connection, tenant, tomorrow, HotspotPolicy(), Entity("route", "1", 0)).values()
    assert alone == [at_the_hour, after]


def test_learning_from_hotspots_does_not_read_those_of_months_ago(
    connection: psycopg.Connection, tenant: str, scene: Any
) -> None:
    scene.route()
    connection.execute(
        """
        INSERT INTO ops.hotspots (tenant_id, fingerprint, rule, entity_kind, entity_id, direction_id, source, state,
            severity, threshold, load_factor, peak_load_factor, first_seen_at, started_at, observed_at, ended_at,
            updated_at)
        SELECT %s, 'crowding', 'crowding', 'route', '1', 0, 'live', 'resolved', 'high', 0.9, 1, 1, at, at, at, at, at
        FROM generate_series(%s - interval '180 days', %s, '1 hour') AS at
        """,
        [tenant, NOW, NOW],
    )
    connection.execute("ANALYZE ops.hotspots")
    with connection.transaction():
        densities = read_densities(connection, tenant, NOW, HotspotPolicy())
        [(read,)] = connection.execute(
            "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relid = 'ops.hotspots'::regclass"
        ).fetchall()
    assert sum(densities.days.values()) == 29
    assert read <= 28 * 24 + 5
