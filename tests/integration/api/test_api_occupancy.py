"""Occupancy as the API gives it: now, of one site, and the past."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from pydantic import TypeAdapter

from serving.schemas.occupancy import OccupancyPage

pytestmark = pytest.mark.integration

STREAM = "550e8400-e29b-41d4-a716-446655440000"


@pytest.fixture(scope="module", autouse=True)
def city(seed: Any) -> None:
    seed.site("bus-1", seats=30, route_id="1")
    seed.live("bus-1", 62, route_id="1", direction_id=0, lat=-6.2, lon=106.8)
    seed.site("bus-silent", route_id="1")
    seed.live("bus-silent", 40, age_s=400, route_id="1", direction_id=0)
    seed.site("bus-never")
    seed.site("bus-retired", is_active=False)
    seed.live("bus-retired", 10)
    seed.live("bus-unregistered", 7, capacity=60, route_id="2", direction_id=1)
    seed.site("gym", kind="venue", hold_s=1800, lat=-6.3, lon=106.9)
    seed.live("gym", 20, age_s=600)
    seed.traffic(STREAM, 150)
    seed.live("secret-bus", 33, tenant_id="other", route_id="9")
    seed.tenant("other")
    for ago in range(1, 31):
        seed.hour("gym", ago, mean=10 + ago)


def _now(client: TestClient, **params: Any) -> dict[str, Any]:
    answer = client.get("/api/occupancy/now", params=params)
    assert answer.status_code == 200, answer.text
    return {site["site_id"]: site for site in answer.json()["items"]}


def test_now_lists_every_active_site_of_the_tenant_and_no_other(client: TestClient) -> None:
    expected = {"bus-1", "bus-silent", "bus-never", "bus-unregistered", "gym", STREAM}
    assert set(_now(client)) == expected


def test_now_answers_in_the_documented_shape(client: TestClient) -> None:
    answer = client.get("/api/occupancy/now")

    page = TypeAdapter(OccupancyPage).validate_json(answer.content, strict=False)

    assert page.total == 6 and page.next_cursor is None and page.level_version
    assert set(answer.json()["items"][0]) == {field.name for field in fields(page.items[0])}


@pytest.mark.parametrize("path", ["/api/occupancy/now", "/api/map"])
def test_live_answers_are_compressed_for_who_takes_it(client: TestClient, path: str) -> None:
    plain = client.get(path, headers={"Accept-Encoding": "identity"})
    packed = client.get(path, headers={"Accept-Encoding": "gzip"})

    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert plain.headers["vary"] == packed.headers["vary"] == "Accept-Encoding"
    assert int(packed.headers["content-length"]) < len(plain.content) / 2
    assert packed.json().keys() == plain.json().keys()


def test_a_heard_site_has_count_load_and_level(client: TestClient) -> None:
    bus = _now(client)["bus-1"]

    assert (bus["count"], bus["capacity"], bus["seats"], bus["load_factor"]) == (62, 80, 30, 0.775)
    assert bus["seat_load_factor"] == pytest.approx(62 / 30, abs=1e-4)
    assert (bus["level"], bus["rider_level"], bus["is_stale"]) == ("CRUSHED_STANDING_ROOM_ONLY", "high", False)
    assert 0 < bus["age_s"] < 60
    assert (bus["route_id"], bus["direction_id"]) == ("1", 0)


@pytest.mark.parametrize(("site_id", "last_count"), [("bus-silent", 40), ("bus-never", None)])
def test_a_silent_site_is_unknown_and_never_empty(client: TestClient, site_id: str, last_count: int | None) -> None:
    bus = _now(client)[site_id]

    assert bus["count"] is None and bus["load_factor"] is None and bus["is_stale"]
    assert (bus["level"], bus["rider_level"]) == ("NO_DATA_AVAILABLE", "unknown")
    assert bus["last_count"] == last_count


def test_how_long_a_count_holds_is_the_sites_own(client: TestClient) -> None:
    gym = _now(client)["gym"]

    assert gym["age_s"] > 590 and not gym["is_stale"] and gym["count"] == 20


def test_a_clock_that_runs_ahead_does_not_keep_a_silent_site_alive(api: Any, seed: Any) -> None:
    ahead = datetime.now(UTC) + timedelta(minutes=40)
    seed.tenant("hasty")
    seed.live("bus-ahead", 40, age_s=400, tenant_id="hasty", route_id="1", event_at=ahead)
    seed.traffic(str(uuid4()), 150, age_s=700, tenant_id="hasty", event_at=ahead)

    with api(default_tenant="hasty") as client:
        sites = list(_now(client).values())

    assert [(site["is_stale"], site["count"]) for site in sites] == [(True, None)] * 2
    assert all(datetime.fromisoformat(site["event_at"]) == ahead for site in sites)
    assert 400 <= min(site["age_s"] for site in sites) < 460


def test_sites_that_only_their_events_tell_of_are_there(client: TestClient) -> None:
    sites = _now(client)

    assert (sites["bus-unregistered"]["kind"], sites["bus-unregistered"]["capacity"]) == ("bus", 60)
    area = sites[STREAM]
    assert (area["kind"], area["name"], area["count"], area["load_factor"]) == ("area", "Jakarta", 150, 0.75)
    assert not area["is_registered"]


def test_filters_narrow_the_list(client: TestClient) -> None:
    assert set(_now(client, kind="venue")) == {"gym"}
    assert set(_now(client, route_id="1")) == {"bus-1", "bus-silent"}


def test_pages_are_complete_and_do_not_overlap(client: TestClient) -> None:
    seen: list[str] = []
    cursor = None
    while True:
        page = client.get(
            "/api/occupancy/now", params={"limit": 2, "cursor": cursor} if cursor else {"limit": 2}
        ).json()
        assert len(page["items"]) <= 2 and page["total"] == 6
        seen += [site["site_id"] for site in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == sorted(_now(client))


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/api/occupancy/now?limit=0", "limit"),
        ("/api/occupancy/now?limit=5001", "limit"),
        ("/api/occupancy/now?kind=boat", "kind"),
        ("/api/occupancy/now?cursor=%21%21", "cursor"),
        ("/api/occupancy/now?cursor=MTIz", "cursor"),
        ("/api/occupancy/gym/history?step=minute", "step"),
        ("/api/occupancy/gym/history?from=2026-01-01T00:00:00", "from"),
        ("/api/occupancy/gym/history?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "from"),
        ("/api/occupancy/gym/history?from=2026-01-01T00:00:00Z&to=2026-05-01T00:00:00Z", "from"),
        ("/api/occupancy/gym/history?to=0001-01-01T00:00:00Z", "to"),
        ("/api/occupancy/gym/history?to=9999-12-31T23:59:00-12:00", "to"),
        ("/api/occupancy/gym/history?from=0001-01-01T00:00:00%2B14:00", "from"),
        ("/api/map?bbox=1,2,3", "bbox"),
        ("/api/map?bbox=0,50,1,40", "bbox"),
    ],
)
def test_what_is_out_of_bounds_is_a_problem_that_names_the_field(client: TestClient, path: str, field: str) -> None:
    answer = client.get(path)

    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == 422 and field in problem["detail"]
    assert problem["errors"][0]["field"] == field


@pytest.mark.parametrize("path", ["", "/history"])
@pytest.mark.parametrize("site_id", ["nowhere", "secret-bus", "bus-retired", "a'; DROP TABLE x; --"])
def test_a_site_the_tenant_does_not_have_is_not_found(client: TestClient, site_id: str, path: str) -> None:
    answer = client.get(f"/api/occupancy/{site_id}{path}")

    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_site")


def test_one_site_is_the_same_as_in_the_list(client: TestClient) -> None:
    one = client.get("/api/occupancy/bus-1").json()

    assert one | {"age_s": 0} == _now(client)["bus-1"] | {"age_s": 0}


def test_current_keeps_the_old_shape_and_takes_the_only_venue(client: TestClient) -> None:
    current = client.get("/api/occupancy/current").json()

    assert current["predicted"] == 20 and current["site_id"] == "gym" and current["source"] == "live"
    taken = datetime.fromisoformat(current["ts"])
    assert timedelta(seconds=590) < datetime.now(UTC) - taken < timedelta(seconds=700)


def test_current_of_a_silent_site_without_forecast_is_null(client: TestClient) -> None:
    current = client.get("/api/occupancy/current", params={"site_id": "bus-silent"}).json()

    assert (current["predicted"], current["source"], current["level"]) == (None, "none", "NO_DATA_AVAILABLE")


def test_current_of_a_silent_site_is_what_the_forecast_says(client: TestClient, seed: Any) -> None:
    seed.forecast("bus-never", [31.6, 40])

    current = client.get("/api/occupancy/current", params={"site_id": "bus-never"}).json()

    assert (current["predicted"], current["source"], current["is_stale"]) == (32, "forecast", True)


def test_current_takes_the_configured_default_site(api: Any, seed: Any) -> None:
    with api(default_site="bus-1") as client:
        assert client.get("/api/occupancy/current").json()["site_id"] == "bus-1"


def test_the_default_site_of_one_tenant_is_not_asked_of_another(api: Any, seed: Any) -> None:
    seed.site("pool", kind="venue", tenant_id="swimmers")
    with api(default_site="bus-1", default_tenant="swimmers") as client:
        assert client.get("/api/occupancy/current").json()["site_id"] == "pool"


def test_history_by_hour_is_the_mart(client: TestClient) -> None:
    history = client.get("/api/occupancy/gym/history").json()

    hours = history["items"]
    assert hours[-1]["mean_occupancy"] == 11.0 and 22 < len(hours) < 26
    assert (hours[-1]["samples"], hours[-1]["coverage"], hours[-1]["is_imputed"]) == (12, 1.0, False)
    assert hours[-1]["level"] == "MANY_SEATS_AVAILABLE" and hours[-1]["load_factor"] == 11 / 80
    assert history["refreshed_at"] and history["from"] < history["to"]


def test_history_of_a_site_whose_name_has_a_slash(client: TestClient, seed: Any) -> None:
    seed.site("hall 3/east", kind="venue", is_active=True)
    seed.hour("hall 3/east", 1, mean=7)
    path = "/api/occupancy/hall%203%2Feast/history"

    assert [item["mean_occupancy"] for item in client.get(path).json()["items"]] == [7.0]
    assert client.get("/api/sites/", follow_redirects=False).headers["location"].endswith("/api/sites")


def test_history_is_bounded_by_from_and_to(client: TestClient) -> None:
    newest = client.get("/api/occupancy/gym/history").json()["items"][-1]
    to = datetime.fromisoformat(newest["at"])
    params = {"from": (to - timedelta(hours=2)).isoformat(), "to": to.isoformat()}

    items = client.get("/api/occupancy/gym/history", params=params).json()["items"]

    assert [item["mean_occupancy"] for item in items] == [13.0, 12.0]


@pytest.mark.parametrize("offset", ["+07:00", "+0700"])
def test_an_offset_whose_plus_became_a_space_is_understood(client: TestClient, offset: str) -> None:
    path = f"/api/occupancy/gym/history?from=2026-01-01T07:00:00{offset}&to=2026-01-02T00:00:00Z"

    assert client.get(path).json()["from"] == "2026-01-01T00:00:00Z"


def test_history_by_day_is_of_the_sites_own_days(client: TestClient, seed: Any) -> None:
    for day in (1, 2, 3, 4):
        seed.day("gym", date(2026, 3, day), mean=10 * day)
    # 2 March in Jakarta begins at 17:00 UTC on 1 March.
    params = {"step": "day", "from": "2026-03-01T17:00:00Z", "to": "2026-03-03T17:00:00Z"}

    items = client.get("/api/occupancy/gym/history", params=params).json()["items"]

    assert [(item["service_date"], item["mean_occupancy"]) for item in items] == [
        ("2026-03-02", 20),
        ("2026-03-03", 30),
    ]
    assert all(item["at"] is None for item in items)


def test_history_of_an_area_is_its_traffic(client: TestClient, seed: Any) -> None:
    for hour in range(4):
        seed.traffic_hour(STREAM, datetime(2026, 3, 1, 22, tzinfo=UTC) + timedelta(hours=hour), 50 + hour)
    params = {"from": "2026-03-01T00:00:00Z", "to": "2026-03-03T00:00:00Z"}

    hours = client.get(f"/api/occupancy/{STREAM}/history", params=params).json()["items"]
    days = client.get(f"/api/occupancy/{STREAM}/history", params=params | {"step": "day"}).json()["items"]

    assert [hour["mean_occupancy"] for hour in hours] == [50, 51, 52, 53]
    assert [(day["service_date"], day["mean_occupancy"]) for day in days] == [
        ("2026-03-01", 50.5),
        ("2026-03-02", 52.5),
    ]


def test_map_is_geojson_of_the_sites_with_a_position(client: TestClient) -> None:
    answer = client.get("/api/map")

    assert answer.headers["content-type"] == "application/geo+json"
    features = {feature["id"]: feature for feature in answer.json()["features"]}
    assert set(features) == {"bus-1", "gym", STREAM}
    assert features["bus-1"]["geometry"] == {"type": "Point", "coordinates": [106.8, -6.2]}
    assert features["bus-1"]["properties"]["rider_level"] == "high"
    assert features["bus-1"]["properties"]["colour"].startswith("#")


def test_map_is_narrowed_by_box_and_paged(client: TestClient) -> None:
    inside = client.get("/api/map", params={"bbox": "106.85,-6.4,107,-6.25"}).json()["features"]
    assert [feature["id"] for feature in inside] == ["gym"]

    first = client.get("/api/map", params={"limit": 2}).json()
    rest = client.get("/api/map", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [f["id"] for f in first["features"] + rest["features"]] == sorted(["bus-1", "gym", STREAM])
    assert rest["next_cursor"] is None


def test_routes_carry_the_load_of_the_buses_heard_on_them(client: TestClient, seed: Any) -> None:
    for direction in (0, 1):
        seed.insert(
            "registry.routes", tenant_id="default", route_id="1", direction_id=direction, route_name="Corridor 1",
            headsign="Kota",
        )  # fmt: skip

    there, back = client.get("/api/routes").json()["items"]

    assert (there["vehicles"], there["load_factor"], there["mean_count"]) == (1, 0.775, 62)
    assert (back["vehicles"], back["load_factor"], back["level"]) == (0, None, "NO_DATA_AVAILABLE")


def test_routes_are_lines_through_their_stops_in_the_order_of_travel(client: TestClient, seed: Any) -> None:
    for tenant, route, stops in (
        ("default", "7", [(2, -6.21, 106.82), (1, -6.20, 106.81)]),
        ("default", "8", [(1, -6.3, 106.8)]),
        ("other", "9", [(1, 1.0, 1.0), (2, 2.0, 2.0)]),
    ):
        seed.tenant(tenant)
        seed.insert(
            "registry.routes", tenant_id=tenant, route_id=route, direction_id=0, route_name=route, headsign="Kota"
        )
        for sequence, lat, lon in stops:
            seed.insert(
                "registry.route_stops", tenant_id=tenant, route_id=route, direction_id=0, stop_sequence=sequence,
                stop_id=f"s{sequence}", stop_name="Stop", lat=lat, lon=lon,
            )  # fmt: skip

    # One stop is no line, and another tenant's routes are its own.
    (line,) = client.get("/api/map/routes").json()["features"]

    assert line["properties"] == {"route_id": "7", "direction_id": 0}
    assert line["geometry"] == {"type": "LineString", "coordinates": [[106.81, -6.2], [106.82, -6.21]]}
