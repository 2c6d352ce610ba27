"""Alerts as the API lists them and lets people acknowledge them; a silent device is never an empty place."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient

from forecasting.alerts.watching import watch
from serving.queries.operations import ALERTS

pytestmark = pytest.mark.integration


def test_alerts_are_listed_newest_first_by_page_state_and_rule(client: TestClient, seed: Any) -> None:
    seed.alert("cam-1", ago_s=60)
    seed.alert("cam-2", ago_s=30)
    seed.alert("occupancy.events", rule="data_late", entity_kind="stream")
    seed.alert("cam-3", state="resolved", ended_at="2026-01-01T00:00:00Z")
    seed.alert("cam-9", tenant_id="other")

    first = client.get("/api/alerts?limit=2").json()
    rest = client.get("/api/alerts", params={"cursor": first["next_cursor"]}).json()

    assert [item["entity_id"] for item in first["items"] + rest["items"]] == ["occupancy.events", "cam-2", "cam-1"]
    assert rest["next_cursor"] is None
    assert [item["entity_id"] for item in client.get("/api/alerts?rule=data_late").json()["items"]] == [
        "occupancy.events"
    ]
    assert len(client.get("/api/alerts?state=all").json()["items"]) == 4


def test_a_page_of_alerts_is_read_by_their_index_however_many_are_kept(connection: psycopg.Connection) -> None:
    connection.execute("SET enable_seqscan = off; SET enable_sort = off")  # a test's table is small
    asked = {"tenant_id": "default", "states": ["firing", "resolved"], "rule": None, "limit": 51}

    plan = connection.execute("EXPLAIN " + ALERTS, asked | {"after_at": None, "after_id": None}).fetchall()

    assert "Sort" not in str(plan), plan


def test_an_alert_is_acknowledged_with_who_and_why(
    client: TestClient, seed: Any, connection: psycopg.Connection
) -> None:
    identity = seed.alert("cam-4")
    body = {"actor": "ana", "reason": "battery changed"}
    answer = client.post(f"/api/alerts/{identity}/acknowledge", json=body)
    assert answer.json()["state"] == "acknowledged"
    event = connection.execute("SELECT actor, reason FROM ops.alert_events WHERE alert_id = %s", [identity]).fetchone()
    assert event == ("ana", "battery changed")
    assert client.post(f"/api/alerts/{uuid.uuid4()}/acknowledge").json()["code"] == "unknown_alert"
    closed = seed.alert("cam-5", state="resolved", ended_at="2026-01-01T00:00:00Z")
    assert client.post(f"/api/alerts/{closed}/acknowledge").status_code == 409


def test_a_device_that_falls_silent_makes_its_site_unknown_and_alerts_but_never_empty(
    client: TestClient, seed: Any, connection: psycopg.Connection
) -> None:
    now = datetime.now(UTC)
    seed.site("pool", kind="venue", hold_s=1200)
    seed.live("pool", 40, age_s=3600, device_id="cam-pool")

    for minutes in (0, 5):
        watch(connection, "default", now + timedelta(minutes=minutes))

    pool = next(item for item in client.get("/api/occupancy/now").json()["items"] if item["site_id"] == "pool")
    assert (pool["count"], pool["last_count"], pool["level"]) == (None, 40, "NO_DATA_AVAILABLE")
    [alert] = [one for one in client.get("/api/alerts").json()["items"] if one["entity_id"] == "cam-pool"]
    assert alert["rule"] == "device_offline" and "unknown, not zero" in alert["message"]
