"""Health, readiness, metrics, status, errors and documentation."""

from __future__ import annotations

import re
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from plimsoll.contracts.topics import end_offsets
from plimsoll.stack.local import LocalStack

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", autouse=True)
def sites(seed: Any) -> None:
    seed.site("bus-1")
    seed.live("bus-1", 5)
    seed.site("bus-2")
    seed.forecast("bus-1", [1.0])
    seed.hour("bus-1", 1, mean=5)


def test_every_part_has_a_state_and_a_sentence(client: TestClient) -> None:
    health = client.get("/health").json()

    assert health["ok"] is True
    assert set(health["components"]) == {"database", "kafka", "lander", "marts", "forecast"}
    states = {name: part["state"] for name, part in health["components"].items()}
    assert states == {"database": "ok", "kafka": "ok", "lander": "unknown", "marts": "ok", "forecast": "ok"}
    assert health["status"] == "degraded"  # nothing was ever landed
    assert all(part["detail"].endswith(".") for part in health["components"].values())


def test_the_old_health_addresses_say_ok(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"ok": True}
    assert client.get("/health").json()["ok"] is True
    assert client.get("/health/ready").status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/health/ready", "/", "/api/occupancy/now"])
def test_what_can_be_got_can_be_asked_for_its_head(client: TestClient, path: str) -> None:
    head, got = client.head(path), client.get(path)

    assert (head.status_code, head.headers["content-type"]) == (200, got.headers["content-type"])
    assert client.head("/nowhere").status_code == 404
    assert client.head("/api/recommendations/0b9b4c1e-4b3a-4d3e-9d52-6f0d7c9f1a11/accept").status_code == 405


def test_waiting_messages_are_counted_as_lag(client: TestClient, api: Any, seed: Any) -> None:
    assert client.post("/api/occupancy/ingest", json=_event()).status_code == 202
    for partition in range(64):
        seed.insert(
            "ingest.offsets", topic="occupancy.events", partition=partition, cluster_id="c", topic_id="t",
            next_offset=0, landed_at="2026-01-01T00:00:00Z",
        )  # fmt: skip
    seed.insert(
        "ingest.landing_batches", topic="occupancy.events", landed_at="2026-01-01T00:00:00Z", rows_landed=1,
        rows_rejected=0, bytes_read=1, newest_event_at="2026-01-01T00:00:00Z", duration_s=0.1,
    )  # fmt: skip
    with api() as fresh:
        lander = fresh.get("/health").json()["components"]["lander"]
    assert lander["state"] == "down"
    assert lander["lag_messages"] >= 1 and "plimsoll lander run" in lander["detail"]


def test_messages_of_a_topic_created_again_wait_although_more_were_landed_of_its_predecessor(
    api: Any, connection: psycopg.Connection
) -> None:
    connection.execute("UPDATE ingest.offsets SET next_offset = 1000000000 WHERE topic = 'occupancy.events'")
    with api() as fresh:
        lander = fresh.get("/health").json()["components"]["lander"]
    assert lander["state"] == "down"
    assert 1 <= lander["lag_messages"] < 1_000_000


def test_what_lands_between_two_looks_does_not_wait(
    api: Any, stack: LocalStack, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.health.GOOD_FOR_S", 0.0)
    with api() as client:
        for _ in range(2):
            assert client.post("/api/occupancy/ingest", json=_event()).status_code == 202
            for (topic, partition), end in end_offsets(stack.bootstrap_servers, ["occupancy.events"]).items():
                connection.execute(
                    "UPDATE ingest.offsets SET next_offset = %s WHERE topic = %s AND partition = %s",
                    [end, topic, partition],
                )

            assert client.get("/health").json()["components"]["lander"]["lag_messages"] == 0


def _event() -> dict[str, Any]:
    return {"bus_id": "TJ-1", "occupancy": 3, "ts_device": "2026-01-15T12:34:56Z", "device_id": "E"}


def test_without_kafka_reading_goes_on_and_the_service_is_not_ready(api: Any, seed: Any, unreachable: str) -> None:
    with api(kafka_bootstrap_servers=unreachable) as client:
        health = client.get("/health")
        assert health.status_code == 200
        assert (health.json()["status"], health.json()["components"]["kafka"]["state"]) == ("degraded", "down")
        assert client.get("/health/ready").status_code == 503
        assert client.get("/api/occupancy/now").status_code == 200
        assert 'plimsoll_component_up{component="kafka"} 0.0' in client.get("/metrics").text


def test_an_event_that_kafka_does_not_take_is_answered_503(api: Any, seed: Any, unreachable: str) -> None:
    with api(kafka_bootstrap_servers=unreachable) as client:
        answer = client.post("/api/occupancy/ingest", json=_event())

    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")


def test_something_that_listens_but_is_no_broker_is_down(api: Any, seed: Any, database_url: str) -> None:
    port = re.search(r":(\d+)/", database_url)
    assert port
    with api(kafka_bootstrap_servers=f"127.0.0.1:{port[1]}") as client:  # PostgreSQL
        assert client.get("/health").json()["components"]["kafka"]["state"] == "down"


def test_without_database_the_service_starts_and_says_so(api: Any, unreachable: str) -> None:
    with api(database_url=SecretStr(f"postgresql://u:secret-word@{unreachable}/x")) as client:
        health = client.get("/health")
        assert (health.status_code, health.json()["status"], health.json()["ok"]) == (200, "down", False)
        assert client.get("/health/ready").status_code == 503
        answer = client.get("/api/occupancy/now")
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
        assert answer.headers["retry-after"]
        assert "secret-word" not in answer.text + health.text


def test_connections_that_the_server_closed_are_replaced(
    client: TestClient, seed: Any, connection: psycopg.Connection
) -> None:
    assert client.get("/api/occupancy/bus-1/history").status_code == 200
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'plimsoll-api' AND datname = current_database()"
    )

    assert client.get("/api/occupancy/bus-1/history").status_code == 200


def test_a_body_beyond_the_bound_is_not_read(api: Any, seed: Any) -> None:
    chunks = (b"x" * 1000 for _ in range(100))
    with api(max_body_bytes=5_000) as client:
        path = "/api/recommendations/0b9b4c1e-4b3a-4d3e-9d52-6f0d7c9f1a11/accept"
        answer = client.post(path, content=chunks, headers={"Content-Type": "application/json"})

    assert (answer.status_code, answer.json()["code"]) == (413, "content_too_large")


def test_metrics_count_requests_by_route_and_sites_by_state(client: TestClient) -> None:
    client.get("/api/occupancy/bus-1")
    client.get("/api/occupancy/bus-2")
    client.get("/no/such/page")

    answer = client.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    assert 'plimsoll_http_requests_total{method="GET",route="/api/occupancy/{site_id}",status="200"} 2.0' in lines
    assert 'plimsoll_http_requests_total{method="GET",route="unmatched",status="404"} 1.0' in lines
    assert 'plimsoll_sites{kind="bus",state="heard"} 1.0' in lines
    assert 'plimsoll_sites{kind="bus",state="silent"} 1.0' in lines
    assert all(re.fullmatch(r"#.*|[a-z_]+(\{[^}]*(\{[^}]*\}[^}]*)*\})? [-+.\de]+", line) for line in lines), lines


def test_status_tells_sites_devices_streams_and_model(client: TestClient, seed: Any) -> None:
    seed.insert("live.device", tenant_id="default", device_id="E1", status="online")
    seed.insert(
        "forecast.models", tenant_id="default", series_group="venue", model_version="m-1", status="champion",
        artefact=b"", trained_from="2026-01-01T00:00:00Z", trained_to="2026-02-01T00:00:00Z",
    )  # fmt: skip
    seed.insert(
        "forecast.backtests", tenant_id="default", model_version="m-1", method="champion", horizon_h=24, origins=8,
        window_from="2026-01-01T00:00:00Z", window_to="2026-02-01T00:00:00Z", wape=0.2,
    )  # fmt: skip

    status = client.get("/api/system/status").json()

    assert status["sites"] == {"bus": {"sites": 2, "heard": 1}}
    assert status["devices"] == {"online": 1}
    (model,) = status["models"]
    assert (model["series_group"], model["model_version"], model["errors"][0]["wape"]) == ("venue", "m-1", 0.2)
    assert status["mode"] == "development" and status["uptime_s"] >= 0


def test_marts_that_are_not_built_are_a_clear_answer(api: Any, seed: Any, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER SCHEMA marts RENAME TO marts_away")
        try:
            with api() as client:
                answer = client.get("/api/forecast/hourly", params={"site_id": "bus-9"})
                assert (answer.status_code, answer.json()["code"]) == (503, "not_built_yet")
                assert client.get("/health").json()["components"]["marts"]["state"] == "unknown"
                assert client.get("/api/occupancy/bus-1").status_code == 200
                assert client.get("/api/occupancy/current?site_id=bus-2").json()["source"] == "none"
        finally:
            connection.execute("ALTER SCHEMA marts_away RENAME TO marts")


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("DELETE", "/api/map", 405)])
def test_every_error_is_a_problem(client: TestClient, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)

    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["status"] == status


def test_a_fault_of_ours_shows_no_traceback(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    client.app.state.levels = None  # type: ignore[attr-defined]

    answer = client.get("/api/levels")

    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "Traceback" not in answer.text and "NoneType" not in answer.text
    reference = answer.json()["detail"].rsplit(" ", 1)[1].rstrip(".")
    assert reference in caplog.text


def test_answers_carry_headers_that_keep_browsers_in_check(client: TestClient) -> None:
    for path in ("/", "/docs", "/api/occupancy/now", "/nowhere"):
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'self'")
        assert headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in client.get("/api/map", headers={"Origin": "https://x.test"}).headers


def test_every_operation_is_documented(client: TestClient) -> None:
    document = client.get("/openapi.json").json()

    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            assert operation.get("summary") and operation.get("description"), where
            assert operation.get("tags"), where
            for parameter in operation.get("parameters", []):
                if operation["tags"] == ["ingest"]:
                    continue  # documented where it is written, in the gateways
                assert parameter.get("description"), f"{where}: {parameter['name']}"
    text = client.get("/openapi.json").text
    refs = set(re.findall(r"#/components/schemas/([\w.-]+)", text))
    assert refs <= set(document["components"]["schemas"])


@pytest.mark.parametrize("page", ["index.html", "docs.html"])
def test_pages_load_nothing_from_elsewhere(client: TestClient, page: str) -> None:
    html = client.get({"index.html": "/", "docs.html": "/docs"}[page]).text

    links = re.findall(r'(?:src|href)="([^"#][^"]*)"', html)
    assert links and all(link.startswith("/") and not link.startswith("//") for link in links)
    assert all(client.get(link).status_code == 200 for link in links)
    assert "<script>" not in html and "style=" not in html
