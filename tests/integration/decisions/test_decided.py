"""Decisions of people about recommendations: each once, each with its audit."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from forecasting.lifecycle import RecordExpired, UnknownRecord, WrongState
from forecasting.recommendations import decide, recommend, recommend_for_site
from plimsoll.database import connect

pytestmark = pytest.mark.integration
NOW = datetime(2026, 3, 2, 5, tzinfo=UTC)  # a Monday


def at(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def test_a_trip_is_recommended_recorded_accepted_and_executed(
    connection: psycopg.Connection, tenant: str, scene: Any
) -> None:
    scene.crowded_route()
    [proposal] = recommend(connection, tenant, NOW)
    assert proposal.action == "add_trip" and proposal.hotspot_id is not None
    assert proposal.expected_effect["low"] <= proposal.expected_effect["crowded_minutes_avoided"]

    identity = proposal.recommendation_id
    assert identity is not None
    accepted = decide(connection, tenant, identity, "accept", actor="ana", reason="bus 7 is free", now=at(1))
    [still] = recommend(connection, tenant, at(2))
    executed = decide(connection, tenant, identity, "execute", actor="ana", now=at(3))

    assert (accepted.state, still.state, executed.state) == ("accepted", "accepted", "executed")
    assert recommend(connection, tenant, at(4)) == []  # done, and the only spare vehicle is away
    events = connection.execute(
        "SELECT from_state, to_state, actor FROM ops.recommendation_events WHERE tenant_id = %s ORDER BY event_id",
        [tenant],
    ).fetchall()
    assert events == [
        (None, "proposed", "recommender"),
        ("proposed", "accepted", "ana"),
        ("accepted", "executed", "ana"),
    ]


def test_what_was_dismissed_is_not_said_again(connection: psycopg.Connection, tenant: str, scene: Any) -> None:
    scene.crowded_route()
    [proposal] = recommend(connection, tenant, NOW)
    assert proposal.recommendation_id is not None
    decide(connection, tenant, proposal.recommendation_id, "dismiss", actor="ana", reason="match day plan", now=at(1))
    assert recommend(connection, tenant, at(2)) == []
    assert recommend_for_site(connection, tenant, "A", at(2)) == []


def test_decisions_that_cannot_be_are_refused_with_their_kind(
    connection: psycopg.Connection, tenant: str, scene: Any
) -> None:
    scene.crowded_route()
    [proposal] = recommend(connection, tenant, NOW)
    identity = proposal.recommendation_id
    assert identity is not None

    with pytest.raises(UnknownRecord):
        decide(connection, "default", identity, "accept", actor="eve", now=at(1))
    with pytest.raises(UnknownRecord):
        decide(connection, tenant, uuid.uuid4(), "accept", actor="ana", now=at(1))
    with pytest.raises(RecordExpired, match="ran out at 2026-03-02 07:00 UTC"):
        decide(connection, tenant, identity, "accept", actor="ana", now=at(120))
    decide(connection, tenant, identity, "dismiss", actor="ana", now=at(1))
    assert decide(connection, tenant, identity, "dismiss", actor="ben", now=at(2)).decided_by == "ana"
    with pytest.raises(WrongState, match="is dismissed and cannot be executed"):
        decide(connection, tenant, identity, "execute", actor="ana", now=at(3))

    assert connection.execute(
        "SELECT count(*) FROM ops.recommendation_events WHERE tenant_id = %s", [tenant]
    ).fetchone() == (2,)


def test_two_people_deciding_at_once_make_one_decision(
    connection: psycopg.Connection, database_url: str, tenant: str, scene: Any
) -> None:
    scene.crowded_route()
    [proposal] = recommend(connection, tenant, NOW)
    identity = proposal.recommendation_id
    assert identity is not None

    def act(decision: Any) -> str:
        with connect(database_url) as own:
            try:
                return decide(own, tenant, identity, decision, actor=decision, now=at(1)).state
            except WrongState:
                return "refused"

    with ThreadPoolExecutor(2) as pool:
        states = sorted(pool.map(act, ["dismiss", "execute"]))
    assert states[1] == "refused" and states[0] in ("dismissed", "executed")
