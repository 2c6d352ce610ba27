"""What alerts, against a real PostgreSQL: crowds, silent devices, late data; each once, with its audit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from forecasting.alerts import acknowledge
from forecasting.alerts.watching import watch
from forecasting.hotspots import detect
from forecasting.lifecycle import UnknownRecord, WrongState

pytestmark = pytest.mark.integration
NOW = datetime(2026, 3, 2, 5, tzinfo=UTC)
PROMISED = {"occupancy.events": timedelta(minutes=10), "device.status": timedelta(minutes=10)}


def at(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def alerts(connection: psycopg.Connection, tenant: str) -> list[tuple[str, str, str]]:
    return connection.execute(
        "SELECT rule, entity_id, state FROM ops.alerts WHERE tenant_id = %s ORDER BY rule, entity_id", [tenant]
    ).fetchall()


def device(scene: Any, device_id: str, **fields: Any) -> None:
    scene.insert("live.device", [{"tenant_id": scene.tenant, "device_id": device_id} | fields])


def test_a_crowded_site_alerts_until_its_hotspot_is_resolved(
    connection: psycopg.Connection, tenant: str, scene: Any
) -> None:
    scene.crowded_gym()
    assert watch(connection, tenant, at(10)).fired == 1
    assert watch(connection, tenant, at(11)).fired == 0
    for minutes in (15, 25):
        scene.count("gym", 60, at(minutes))
        detect(connection, tenant, at(minutes))
    assert watch(connection, tenant, at(25)).resolved == 1
    assert alerts(connection, tenant) == [("high_occupancy", "gym", "resolved")]
    told = connection.execute(
        "SELECT state, title FROM ops.alert_announcements WHERE tenant_id = %s ORDER BY 1", [tenant]
    ).fetchall()
    assert told == [("firing", "[warning] high_occupancy · gym"), ("resolved", "[resolved] high_occupancy · gym")]


def test_a_device_that_falls_silent_with_people_inside_alerts_and_its_site_is_unknown_not_empty(
    connection: psycopg.Connection, tenant: str, scene: Any
) -> None:
    scene.site("gym")
    scene.count("gym", 95, at(0), device_id="cam-1")
    scene.count("closed", 0, at(0), device_id="cam-2")
    states = []
    for minutes in range(0, 56, 5):
        found = detect(connection, tenant, at(minutes))
        watch(connection, tenant, at(minutes))
        states.append((found.entities_known, len(found.cleared), alerts(connection, tenant)))
    pending, firing = ("device_offline", "cam-1", "pending"), ("device_offline", "cam-1", "firing")
    crowd = ("high_occupancy", "gym", "firing")
    assert states[6] == (1, 0, [crowd])  # the reading of minute 0 holds for half an hour
    assert states[8] == (0, 0, [pending, crowd])  # then nobody knows, and a crowd is not taken for gone
    assert states[9][2] == [firing, crowd]
    message, evidence = connection.execute(
        "SELECT message, evidence FROM ops.alerts WHERE tenant_id = %s AND rule = 'device_offline'", [tenant]
    ).fetchone()  # type: ignore[misc]
    assert "since 2026-03-02 05:00 UTC, when it counted 95. Its load is unknown, not zero" in message
    assert evidence["site_id"] == "gym"

    scene.count("gym", 20, at(60), device_id="cam-1")
    watch(connection, tenant, at(60))
    watch(connection, tenant, at(65))
    assert alerts(connection, tenant)[0] == ("device_offline", "cam-1", "resolved")


@pytest.mark.parametrize(
    ("said", "is_wrong"),
    [
        ({"status": "offline", "status_at": NOW, "received_at": NOW}, True),
        ({"status": "error", "error_code": "E7", "status_at": NOW, "received_at": NOW}, True),
        ({"status": "online", "status_at": NOW, "received_at": NOW}, False),
        ({"status": "offline", "status_at": at(-9), "heartbeat_at": NOW, "received_at": NOW}, False),
        ({"heartbeat_at": at(-60 * 80), "received_at": at(-60 * 80)}, True),
        ({"heartbeat_at": at(-60 * 40), "received_at": at(-60 * 40)}, False),
    ],
    ids=["last will", "error", "online", "came back", "silent for days", "silent over a night"],
)
def test_last_words_and_long_silence_alert(
    connection: psycopg.Connection, tenant: str, scene: Any, said: dict[str, Any], is_wrong: bool
) -> None:
    device(scene, "cam-1", **said)
    watch(connection, tenant, at(0))
    watch(connection, tenant, at(5))
    assert alerts(connection, tenant) == ([("device_offline", "cam-1", "firing")] if is_wrong else [])


@pytest.mark.parametrize(("said_at", "is_wrong"), [(-8, True), (-12, False)], ids=["last word", "came back"])
def test_a_last_word_is_compared_with_counts_by_the_device_s_own_clock(
    connection: psycopg.Connection, tenant: str, scene: Any, said_at: float, is_wrong: bool
) -> None:
    scene.count("gym", 0, at(-10), device_id="cam-1", received_at=NOW)  # its clock is ten minutes late
    device(scene, "cam-1", status="offline", status_at=at(said_at), received_at=at(2))
    for minutes in (2, 7):
        watch(connection, tenant, at(minutes))
    assert alerts(connection, tenant) == ([("device_offline", "cam-1", "firing")] if is_wrong else [])


def test_loaded_history_is_nobody_s_silence(connection: psycopg.Connection, tenant: str, scene: Any) -> None:
    last_year, last_night = at(-60 * 24 * 365), at(-60 * 3)
    scene.count("gym", 60, last_year, device_id="cam-1", received_at=NOW)
    scene.count("pool", 60, last_night, device_id="cam-2", received_at=NOW)  # a file of the day before, every night
    scene.road(120, last_year, received_at=NOW)
    device(scene, "cam-3", status="offline", status_at=last_year, received_at=NOW)
    scene.count("hall", 60, at(-20), device_id="cam-4", received_at=NOW)  # this one is heard, a little late
    for minutes in (60, 65, 60 * 24 * 4):
        watch(connection, tenant, at(minutes))
    assert alerts(connection, tenant) == [("device_offline", "cam-4", "firing")]


def test_a_device_that_was_taken_away_is_not_missed(connection: psycopg.Connection, tenant: str, scene: Any) -> None:
    device(scene, "cam-1", status="offline", status_at=NOW, received_at=NOW)
    row = {"tenant_id": tenant, "device_id": "cam-1", "valid_from": at(-99), "valid_to": at(-1)}
    scene.insert("registry.devices", [row])
    assert watch(connection, tenant, NOW).open == 0


def test_a_road_that_says_nothing_alerts(connection: psycopg.Connection, tenant: str, scene: Any) -> None:
    stream = scene.road(0, at(-16))
    assert watch(connection, tenant, NOW).open == 1
    assert alerts(connection, tenant) == [("device_offline", stream, "pending")]


def test_late_data_alert_when_their_contract_s_promise_is_broken(connection: psycopg.Connection, tenant: str) -> None:
    connection.execute("DELETE FROM ingest.offsets")
    connection.execute("INSERT INTO ingest.offsets VALUES ('occupancy.events', 0, 'c', 't', 5, %s)", [at(-11)])
    connection.execute("INSERT INTO ingest.offsets VALUES ('traffic.counts', 0, 'c', 't', 5, %s)", [at(-99)])
    # A file that was loaded (-3) promises no more, and dead letters that were replayed (-2) are no sign of life.
    connection.execute("INSERT INTO ingest.offsets VALUES ('device.status', -3, 'bulk', 'bulk', 5, %s)", [at(-99)])
    connection.execute("INSERT INTO ingest.offsets VALUES ('occupancy.events', -2, 'bulk', 'bulk', 5, %s)", [at(0)])
    for minutes in (0, 5):
        watch(connection, tenant, at(minutes), PROMISED)
    assert alerts(connection, tenant) == [("data_late", "occupancy.events", "firing")]
    connection.execute("UPDATE ingest.offsets SET landed_at = %s", [at(10)])
    for minutes in (10, 15):
        watch(connection, tenant, at(minutes), PROMISED)
    assert alerts(connection, tenant) == [("data_late", "occupancy.events", "resolved")]


def test_watching_twice_at_the_same_instant_changes_nothing_and_tenants_do_not_meet(
    connection: psycopg.Connection, tenant: str, scene: Any
) -> None:
    device(scene, "cam-1", status="offline", status_at=NOW, received_at=NOW)
    watch(connection, tenant, NOW)
    before = connection.execute("SELECT * FROM ops.alerts WHERE tenant_id = %s", [tenant]).fetchall()
    watch(connection, tenant, NOW)
    assert connection.execute("SELECT * FROM ops.alerts WHERE tenant_id = %s", [tenant]).fetchall() == before
    assert watch(connection, "default", NOW).open == 0


def test_an_alert_is_acknowledged_by_its_own_tenant_only(
    connection: psycopg.Connection, tenant: str, scene: Any
) -> None:
    device(scene, "cam-1", status="offline", status_at=NOW, received_at=NOW)
    watch(connection, tenant, NOW)
    [(identity,)] = connection.execute("SELECT alert_id FROM ops.alerts WHERE tenant_id = %s", [tenant]).fetchall()
    with pytest.raises(WrongState, match="this alert is pending"):
        acknowledge(connection, tenant, identity, actor="ana", now=at(1))
    watch(connection, tenant, at(5))
    with pytest.raises(UnknownRecord):
        acknowledge(connection, "default", identity, actor="eve", now=at(6))
    acknowledge(connection, tenant, identity, actor="ana", reason="on my way", now=at(6))
    acknowledge(connection, tenant, identity, actor="ben", now=at(7))
    watch(connection, tenant, at(8))
    events = connection.execute(
        "SELECT from_state, to_state, actor, reason FROM ops.alert_events WHERE tenant_id = %s ORDER BY event_id DESC",
        [tenant],
    ).fetchall()
    assert events[0] == ("firing", "acknowledged", "ana", "on my way")
    assert alerts(connection, tenant) == [("device_offline", "cam-1", "acknowledged")]
