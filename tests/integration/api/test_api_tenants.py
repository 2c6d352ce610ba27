"""Tenants do not see, and cannot decide, each other's things; production asks for a key."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

pytestmark = pytest.mark.integration

KEYS = {"default": "k-default-0123456789abcdef", "other": "k-other-0123456789abcdef"}
READING = [
    "/api/occupancy/now",
    "/api/occupancy/{site}",
    "/api/occupancy/{site}/history",
    "/api/occupancy/current?site_id={site}",
    "/api/forecast/hourly?site_id={site}",
    "/forecast/hourly?site_id={site}",
    "/api/hotspots",
    "/api/recommendations",
    "/api/map",
    "/api/map/routes",
    "/api/routes",
    "/api/levels",
    "/api/system/status",
    "/metrics",
]


@pytest.fixture(scope="module", autouse=True)
def tenants(seed: Any) -> dict[str, str]:
    made = {}
    for tenant in KEYS:
        site = f"hall-{tenant}"
        seed.site(site, kind="venue", tenant_id=tenant, lat=1, lon=2)
        seed.live(site, 11, tenant_id=tenant)
        seed.hour(site, 1, mean=10, tenant_id=tenant)
        seed.forecast(site, [12.0] * 24, tenant_id=tenant)
        seed.hotspot(site, 50, tenant_id=tenant)
        seed.insert(
            "registry.routes", tenant_id=tenant, route_id=f"r-{tenant}", direction_id=0, route_name=tenant, headsign="x"
        )
        of_both = {"default": 20.0, "other": 70.0}[tenant]
        seed.site("lobby", kind="venue", tenant_id=tenant)
        seed.live("lobby", int(of_both), tenant_id=tenant)
        seed.hour("lobby", 1, mean=of_both, tenant_id=tenant)
        seed.day("lobby", date(2026, 3, 1), mean=of_both, tenant_id=tenant)
        seed.forecast("lobby", [of_both] * 24, tenant_id=tenant)
        made[tenant] = seed.recommendation(
            site, tenant_id=tenant, entity_kind="site", direction_id=None, action="quiet_hours"
        )
    return made


@pytest.fixture
def production(api: Any, seed: Any) -> Iterator[TestClient]:
    with api(mode="production") as opened:
        yield opened


def _as(tenant: str) -> dict[str, str]:
    return {"X-API-Key": KEYS[tenant]}


@pytest.mark.parametrize("path", READING)
def test_production_answers_nothing_without_a_key(production: TestClient, path: str) -> None:
    for headers in ({}, {"X-API-Key": "wrong-0123456789abcdef"}, {"Authorization": "Basic abc"}):
        answer = production.get(path.format(site="hall-default"), headers=headers)

        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/healthz", "/health", "/health/ready", "/docs", "/openapi.json", "/"])
def test_health_and_documentation_need_no_key_and_show_no_tenant(production: TestClient, path: str) -> None:
    answer = production.get(path)

    assert answer.status_code == 200
    assert "hall-" not in answer.text


def test_ingest_needs_a_key_too(production: TestClient) -> None:
    assert production.post("/ingest", json={"count": 1, "device_id": "d"}).status_code == 401
    with pytest.raises(WebSocketDisconnect), production.websocket_connect("/ws"):
        pass


def test_a_bearer_token_is_as_good_as_the_header(production: TestClient) -> None:
    answer = production.get("/api/occupancy/hall-other", headers={"Authorization": f"Bearer {KEYS['other']}"})

    assert answer.json()["count"] == 11


@pytest.mark.parametrize("path", READING)
def test_a_tenant_reads_its_own_and_nothing_of_another(production: TestClient, path: str) -> None:
    for mine, theirs in (("default", "other"), ("other", "default")):
        own = production.get(path.format(site=f"hall-{mine}"), headers=_as(mine))
        assert own.status_code == 200, own.text
        assert f"hall-{theirs}" not in own.text and f"r-{theirs}" not in own.text
        if "{site}" in path:
            foreign = production.get(path.format(site=f"hall-{theirs}"), headers=_as(mine))
            assert (foreign.status_code, foreign.json()["code"]) == (404, "unknown_site")


@pytest.mark.parametrize("decision", ["accept", "dismiss", "execute"])
def test_a_tenant_cannot_decide_what_is_another_s(
    production: TestClient, tenants: dict[str, str], decision: str
) -> None:
    answer = production.post(f"/api/recommendations/{tenants['other']}/{decision}", headers=_as("default"))

    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_recommendation")
    theirs = production.get("/api/recommendations", headers=_as("other")).json()["items"]
    assert [(item["recommendation_id"], item["state"]) for item in theirs] == [(tenants["other"], "proposed")]


def test_the_cache_of_one_tenant_is_not_shown_to_another(production: TestClient) -> None:
    for tenant in ("default", "other", "default"):
        sites = production.get("/api/occupancy/now", headers=_as(tenant)).json()["items"]
        assert [site["site_id"] for site in sites] == [f"hall-{tenant}", "lobby"]


@pytest.mark.parametrize(("tenant", "count"), [("default", 20), ("other", 70)])
def test_a_site_of_the_same_name_is_each_tenants_own(production: TestClient, tenant: str, count: int) -> None:
    def get(path: str) -> Any:
        return production.get(path, headers=_as(tenant)).json()

    assert get("/api/occupancy/lobby")["count"] == count
    assert get("/api/occupancy/current?site_id=lobby")["predicted"] == count
    assert [hour["mean_occupancy"] for hour in get("/api/occupancy/lobby/history")["items"]] == [count]
    days = get("/api/occupancy/lobby/history?step=day&from=2026-03-01T00:00:00Z&to=2026-03-02T00:00:00Z")["items"]
    assert {day["mean_occupancy"] for day in days} == {count}
    assert {hour["predicted"] for hour in get("/api/forecast/hourly?site_id=lobby")} == {count}
