"""What the ways in answer when a client sends too fast, and where there is no Kafka at all."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.integration
KEY = {"X-API-Key": "k-default-0123456789abcdef"}
OTHER_KEY = {"X-API-Key": "k-other-0123456789abcdef"}


def events(count: int) -> list[dict[str, Any]]:
    event = {"bus_id": "TJ-1", "occupancy": 3, "ts_device": "2026-01-15T12:34:56Z"}
    return [event] * count


def count(number: int) -> dict[str, Any]:
    return {"stream_id": "550e8400-e29b-41d4-a716-446655440000", "timestamp": "2026-01-15T19:34:56+0700",
            "longitude": 106.8, "latitude": -6.2, "total_in_area": number}  # fmt: skip


def test_a_client_that_sends_too_fast_is_told_when_to_come_again(api: Any, seed: Any) -> None:
    """Of its 20 events a minute: 12, then 12 that are too many and do not count, then 8."""
    with api(max_events_per_minute=20) as client:
        answers = [client.post("/api/occupancy/ingest", json=events(n)) for n in (12, 12, 8, 1)]
        with client.websocket_connect("/ws") as socket:
            socket.send_json(count(1))
            told = socket.receive_json()

    assert [a.status_code for a in answers] == [202, 429, 202, 429]
    assert (answers[1].headers["content-type"], answers[1].json()["code"]) == ("application/problem+json", "too_fast")
    assert "20 events a minute" in answers[1].json()["detail"]
    assert 1 <= int(answers[1].headers["Retry-After"]) <= 60
    assert (told["status"], told["code"]) == ("error", "too_fast")
    assert 1 <= told["retry_after_s"] <= 60


def test_tenants_have_an_allowance_each_and_garbage_counts_too(api: Any, seed: Any) -> None:
    with api(mode="production", max_events_per_minute=3) as client:
        garbage = [client.post("/api/traffic/ingest", content=b"{", headers=KEY).status_code for _ in range(4)]
        other = client.post("/api/traffic/ingest", content=b"{", headers=OTHER_KEY).status_code

    assert (garbage, other) == ([422, 422, 422, 429], 422)


def test_a_bound_of_nought_is_none(api: Any, seed: Any) -> None:
    with api(max_events_per_minute=0) as client:
        assert client.post("/api/traffic/ingest", json=[count(1)] * 5_000).status_code == 202


def test_where_there_is_no_kafka_the_ways_in_say_so_and_the_rest_answers(api: Any, seed: Any) -> None:
    with api(kafka_bootstrap_servers=None) as client:
        answer = client.post("/api/occupancy/ingest", json=events(1))
        with client.websocket_connect("/ws") as socket:
            socket.send_json(count(1))
            told = socket.receive_json()
        health = client.get("/health").json()
        now = client.get("/api/occupancy/now")

    assert (answer.status_code, answer.json()["code"]) == (503, "ingest_off")
    assert "live ingest is off" in answer.json()["detail"]
    assert (told["status"], told["code"]) == ("error", "ingest_off")
    assert health["status"] == "degraded"
    assert "live ingest is off" in health["components"]["kafka"]["detail"].lower()
    assert now.status_code == 200
