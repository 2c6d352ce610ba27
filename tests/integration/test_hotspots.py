"""Detection and recommendations against a real PostgreSQL: recorded once, audited, each tenant for itself."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any

import pandas as pd
import psycopg
import pytest

from forecasting import store
from forecasting.hotspots import DetectionResult, acknowledge, detect
from forecasting.lifecycle import RecordExpired, UnknownRecord, WrongState
from forecasting.recommendations import decide, recommend, recommend_for_site
from plimsoll.database import connect

pytestmark = pytest.mark.integration
NOW = datetime(2026, 3, 2, 5, tzinfo=UTC)  # a Monday
ROUTE_SERIES = "route:1:0"


@pytest.fixture
def tenant(connection: psycopg.Connection) -> str:
    name = f"tenant-{uuid.uuid4().hex[:8]}"
    connection.execute("INSERT INTO registry.tenants (tenant_id, name) VALUES (%s, %s)", [name, name])
    return name


def at(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def site(connection: psycopg.Connection, tenant: str, site_id: str, **fields: Any) -> None:
    row = {"tenant_id": tenant, "site_id": site_id, "name": site_id, "kind": "venue", "capacity": 100} | fields
    row.setdefault("hold_s", 300 if row["kind"] == "bus" else 1800)
    _insert(connection, "registry.sites", [row])


def route(connection: psycopg.Connection, tenant: str, stops: int = 9, spare_vehicles: int = 1) -> None:
    known = {"tenant_id": tenant, "route_id": "1", "direction_id": 0}
    _insert(
        connection,
        "registry.routes",
        [known | {"route_name": "1", "headsign": "Kota", "spare_vehicles": spare_vehicles, "headway_offpeak_s": 600}],
    )
    _insert(
        connection,
        "registry.route_stops",
        [
            known | {"stop_sequence": number, "stop_id": f"S{number}", "stop_name": f"Stop {number}"}
            | {"lat": -6.2 + number / 111.2, "lon": 106.8}
            for number in range(stops)
        ],
    )  # fmt: skip


def count(
    connection: psycopg.Connection, tenant: str, site_id: str, occupancy: int, when: datetime, **fields: Any
) -> None:
    row = {"tenant_id": tenant, "site_id": site_id, "occupancy": occupancy, "event_at": when, "received_at": when}
    connection.execute("DELETE FROM live.occupancy WHERE tenant_id = %s AND site_id = %s", [tenant, site_id])
    _insert(connection, "live.occupancy", [row | fields])


def bus(connection: psycopg.Connection, tenant: str, site_id: str, occupancy: int, when: datetime, stop: str) -> None:
    places = {"capacity": 80, "route_id": "1", "direction_id": 0, "stop_id": stop}
    count(connection, tenant, site_id, occupancy, when, **places)


def predict(
    connection: psycopg.Connection,
    tenant: str,
    series_id: str,
    loads: list[float],
    first: datetime,
    origin: datetime = NOW,
) -> None:
    hours = pd.date_range(first, periods=len(loads), freq="h")
    frame = pd.DataFrame({"hour": hours, "prediction": loads})
    store.append_predictions(
        connection, tenant, "v1",
        frame.assign(
            site_id=series_id, origin=pd.Timestamp(origin), horizon_h=range(1, len(loads) + 1),
            p10=frame["prediction"] * 0.9, p90=frame["prediction"] * 1.1, baseline=1.0, method="champion",
        ),
    )  # fmt: skip


def _insert(connection: psycopg.Connection, table: str, rows: list[dict[str, Any]]) -> None:
    names = list(rows[0])
    query = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))})"
    with connection.cursor() as cursor:
        cursor.executemany(query.encode(), [list(row.values()) for row in rows])


def snapshot(connection: psycopg.Connection, tenant: str) -> list[Any]:
    tables = ("hotspots", "hotspot_events", "recommendations", "recommendation_events")
    return [
        connection.execute(
            f"SELECT * FROM ops.{table} WHERE tenant_id = %s ORDER BY 1, 2".encode(), [tenant]
        ).fetchall()
        for table in tables
    ]


def crowded_gym(connection: psycopg.Connection, tenant: str) -> DetectionResult:
    """A gym that has been crowded for ten minutes."""
    site(connection, tenant, "gym")
    for minutes in (0, 5, 10):
        count(connection, tenant, "gym", 97, at(minutes))
        result = detect(connection, tenant, at(minutes))
    return result


def test_a_crowded_site_becomes_pending_fires_and_clears_with_its_audit(
    connection: psycopg.Connection, tenant: str
) -> None:
    site(connection, tenant, "gym")
    found = {}
    for minutes, people in ((0, 97), (5, 98), (10, 97), (15, 70), (25, 60)):
        count(connection, tenant, "gym", people, at(minutes))
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


def test_detection_twice_at_the_same_instant_changes_nothing(connection: psycopg.Connection, tenant: str) -> None:
    predict(connection, tenant, "gym", [95.0, 30.0], at(60))
    crowded_gym(connection, tenant)
    recommend(connection, tenant, at(10))
    before = snapshot(connection, tenant)
    assert all(before)

    detect(connection, tenant, at(10))
    recommend(connection, tenant, at(10))

    assert snapshot(connection, tenant) == before


def test_detection_by_many_sessions_at_once_raises_one_hotspot(
    connection: psycopg.Connection, database_url: str, tenant: str
) -> None:
    site(connection, tenant, "gym")
    count(connection, tenant, "gym", 97, NOW)

    def run(number: int) -> None:
        with connect(database_url) as own:
            detect(own, tenant, at(number / 60))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(run, range(6)))

    assert connection.execute("SELECT count(*) FROM ops.hotspots WHERE tenant_id = %s", [tenant]).fetchone() == (1,)


def test_a_silent_venue_expires_and_is_never_cleared(connection: psycopg.Connection, tenant: str) -> None:
    crowded_gym(connection, tenant)
    states = []
    for minutes in range(15, 76, 5):  # the reading of minute 10 holds for 30 minutes, silence for 30 more
        result = detect(connection, tenant, at(minutes))
        states.append((len(result.cleared), len(result.expired), result.entities_unknown))
    assert states[5:7] == [(0, 0, 0), (0, 0, 1)]
    assert [expired for _, expired, _ in states] == [0] * 11 + [1, 0]
    assert not any(cleared for cleared, _, _ in states)


def test_a_device_clock_that_runs_ahead_does_not_keep_its_reading_alive(
    connection: psycopg.Connection, tenant: str
) -> None:
    site(connection, tenant, "gym", hold_s=300)
    count(connection, tenant, "gym", 97, at(0))
    connection.execute("UPDATE live.occupancy SET event_at = %s WHERE tenant_id = %s", [at(59), tenant])
    assert detect(connection, tenant, at(4)).entities_known == 1
    assert detect(connection, tenant, at(6)).entities_known == 0


def test_a_route_and_direction_is_judged_by_its_busiest_stretch(connection: psycopg.Connection, tenant: str) -> None:
    route(connection, tenant)
    bus(connection, tenant, "A", 80, NOW, "S0")
    bus(connection, tenant, "B", 72, NOW, "S2")
    bus(connection, tenant, "C", 4, NOW, "S5")
    [raised] = detect(connection, tenant, NOW).raised
    assert (raised.entity.kind, raised.entity.entity_id, raised.entity.direction_id) == ("route", "1", 0)
    assert raised.load_factor == 0.95
    assert raised.evidence["busiest_stretch"]["to_stop"] == "Stop 2"


def test_a_bus_that_reports_only_its_position_is_placed_at_the_nearest_stop(
    connection: psycopg.Connection, tenant: str
) -> None:
    route(connection, tenant)
    places = {"capacity": 80, "route_id": "1", "direction_id": 0, "lat": -6.2 + 7.2 / 111.2, "lon": 106.8}
    count(connection, tenant, "A", 80, NOW, **places)
    [raised] = detect(connection, tenant, NOW).raised
    assert raised.evidence["busiest_stretch"]["from_stop"] == "Stop 7"


def test_a_crowded_area_is_found_by_its_stream(connection: psycopg.Connection, tenant: str) -> None:
    stream = uuid.uuid4()
    row = {"tenant_id": tenant, "stream_id": stream, "location": "Monas", "total_in_area": 195}
    _insert(connection, "live.traffic", [row | {"estimated_max_people": 200, "event_at": NOW, "received_at": NOW}])
    [raised] = detect(connection, tenant, NOW).raised
    assert (raised.entity.kind, raised.entity.entity_id, raised.load_factor) == ("area", str(stream), 0.975)


def test_inactive_sites_and_sites_without_capacity_are_left_out(connection: psycopg.Connection, tenant: str) -> None:
    site(connection, tenant, "closed", is_active=False)
    site(connection, tenant, "unmeasured", capacity=None)
    count(connection, tenant, "closed", 100, NOW)
    count(connection, tenant, "unmeasured", 100, NOW)
    assert detect(connection, tenant, NOW).entities_known == 0


def test_forecast_windows_become_hotspots_and_stale_forecasts_do_not(
    connection: psycopg.Connection, tenant: str
) -> None:
    for name in ("gym", "pool"):
        site(connection, tenant, name)
    predict(connection, tenant, "gym", [50.0, 92.0, 95.0, 40.0], at(60))
    predict(connection, tenant, "pool", [99.0] * 40, NOW - timedelta(hours=29), origin=NOW - timedelta(hours=30))

    [raised] = detect(connection, tenant, NOW).raised

    assert raised.state == "firing" and raised.source == "forecast" and raised.entity.entity_id == "gym"
    assert (raised.window_from, raised.window_to) == (at(120), at(240))
    assert raised.crowded_passenger_minutes == pytest.approx((2 + 5) * 60)


def test_one_tenant_s_crowd_is_not_another_s(connection: psycopg.Connection, tenant: str) -> None:
    crowded_gym(connection, tenant)
    assert detect(connection, "default", at(10)).open == ()
    assert recommend(connection, "default", at(10)) == []


def test_a_firing_hotspot_is_acknowledged_once_and_by_its_own_tenant_only(
    connection: psycopg.Connection, tenant: str
) -> None:
    [hotspot] = crowded_gym(connection, tenant).fired
    with pytest.raises(UnknownRecord):
        acknowledge(connection, "default", hotspot.hotspot_id, actor="eve", now=at(11))

    first = acknowledge(connection, tenant, hotspot.hotspot_id, actor="ana", reason="on my way", now=at(11))
    again = acknowledge(connection, tenant, hotspot.hotspot_id, actor="ben", now=at(12))

    assert (first.state, again.state) == ("acknowledged", "acknowledged")
    events = connection.execute(
        "SELECT actor, reason FROM ops.hotspot_events WHERE tenant_id = %s AND to_state = 'acknowledged'", [tenant]
    ).fetchall()
    assert events == [("ana", "on my way")]
    count(connection, tenant, "gym", 97, at(15))
    assert [row.state for row in detect(connection, tenant, at(15)).updated] == ["acknowledged"]


def crowded_route(connection: psycopg.Connection, tenant: str, spare_vehicles: int = 1) -> None:
    """A route whose forecast is crowded from 07:00 to 09:00 on its busiest stretch."""
    route(connection, tenant, spare_vehicles=spare_vehicles)
    bus(connection, tenant, "A", 30, NOW, "S1")
    predict(connection, tenant, ROUTE_SERIES, [20.0, 50.0, 51.0, 30.0], at(60))
    detect(connection, tenant, NOW)


def test_a_trip_is_recommended_recorded_accepted_and_executed(connection: psycopg.Connection, tenant: str) -> None:
    crowded_route(connection, tenant)
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


def test_no_trip_is_recommended_without_a_spare_vehicle(connection: psycopg.Connection, tenant: str) -> None:
    crowded_route(connection, tenant, spare_vehicles=0)
    assert recommend(connection, tenant, NOW) == []


def test_what_was_dismissed_is_not_said_again(connection: psycopg.Connection, tenant: str) -> None:
    crowded_route(connection, tenant)
    [proposal] = recommend(connection, tenant, NOW)
    assert proposal.recommendation_id is not None
    decide(connection, tenant, proposal.recommendation_id, "dismiss", actor="ana", reason="match day plan", now=at(1))
    assert recommend(connection, tenant, at(2)) == []
    assert recommend_for_site(connection, tenant, "A", at(2)) == []


def test_decisions_that_cannot_be_are_refused_with_their_kind(connection: psycopg.Connection, tenant: str) -> None:
    crowded_route(connection, tenant)
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
    connection: psycopg.Connection, database_url: str, tenant: str
) -> None:
    crowded_route(connection, tenant)
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


def test_an_open_proposal_is_brought_up_to_date_and_ends_with_its_hotspot(
    connection: psycopg.Connection, tenant: str
) -> None:
    crowded_route(connection, tenant)
    [first] = recommend(connection, tenant, NOW)
    predict(connection, tenant, ROUTE_SERIES, [20.0, 20.0, 51.0, 52.0, 20.0], at(60), origin=at(30))
    detect(connection, tenant, at(30))
    [moved] = recommend(connection, tenant, at(30))
    assert moved.recommendation_id == first.recommendation_id
    assert (first.expires_at, moved.expires_at) == (at(120), at(180))

    predict(connection, tenant, ROUTE_SERIES, [20.0] * 6, at(60), origin=at(50))
    detect(connection, tenant, at(50))

    assert recommend(connection, tenant, at(50)) == []
    [(state, reason)] = connection.execute(
        "SELECT to_state, reason FROM ops.recommendation_events WHERE tenant_id = %s AND from_state = 'proposed'",
        [tenant],
    ).fetchall()
    assert (state, reason) == ("expired", "the hotspot is resolved")


@pytest.fixture
def route_mart(connection: psycopg.Connection) -> Iterator[None]:
    connection.execute(
        """
        CREATE SCHEMA IF NOT EXISTS marts;
        CREATE TABLE marts.fct_route_occupancy_hourly (
            route_hour_key text, tenant_id text, route_id text, direction_id smallint, hour timestamptz,
            mean_occupancy double precision, capacity double precision, load_factor double precision,
            max_load_factor double precision, boardings bigint, alightings bigint, vehicles bigint,
            vehicle_minutes double precision, crowded_passenger_minutes double precision,
            coverage double precision, refreshed_at timestamptz)
        """
    )
    yield
    connection.execute("DROP TABLE marts.fct_route_occupancy_hourly")


@pytest.mark.usefixtures("route_mart")
def test_larger_vehicles_are_recommended_for_three_crowded_weeks_of_four(
    connection: psycopg.Connection, tenant: str
) -> None:
    route(connection, tenant)
    connection.execute("UPDATE registry.routes SET time_zone = 'Asia/Jakarta' WHERE tenant_id = %s", [tenant])
    site(connection, tenant, "big", kind="bus", capacity=120, route_id="1")
    row = {"tenant_id": tenant, "route_id": "1", "direction_id": 0, "capacity": 80, "vehicle_minutes": 360}
    monday_7 = datetime(2026, 2, 2, tzinfo=UTC)  # 07:00 in Jakarta
    weeks = [monday_7 + timedelta(weeks=number) for number in range(4)]
    _insert(
        connection,
        "marts.fct_route_occupancy_hourly",
        [row | {"hour": week, "mean_occupancy": 50} for week in weeks[:3]]
        + [row | {"hour": weeks[3], "mean_occupancy": 30}]
        + [row | {"hour": week + timedelta(hours=1), "mean_occupancy": 50} for week in weeks[:2]],
    )

    [proposal] = recommend(connection, tenant, NOW - timedelta(hours=5))

    assert proposal.action == "larger_vehicle"
    assert "120 places" in proposal.summary and "Mondays 07:00." in proposal.summary
    assert proposal.evidence["recurring_hours"][0]["weeks_of_four"] == 3


def test_advice_for_one_site_records_nothing_and_knows_what_is_recorded(
    connection: psycopg.Connection, tenant: str
) -> None:
    site(connection, tenant, "gym", time_zone="Asia/Jakarta")
    predict(connection, tenant, "gym", [104.0, 30.0], at(60))
    detect(connection, tenant, NOW)
    advice = recommend_for_site(connection, tenant, "gym", NOW)
    assert {one.action for one in advice} == {"quiet_hour_advice", "staffing", "cap_at_door"}
    assert all(one.recommendation_id is None for one in advice)
    assert connection.execute("SELECT count(*) FROM ops.recommendations WHERE tenant_id = %s", [tenant]).fetchone() == (
        0,
    )

    recorded = {one.fingerprint: one.recommendation_id for one in recommend(connection, tenant, NOW)}
    advice = recommend_for_site(connection, tenant, "gym", NOW)
    assert {one.fingerprint: one.recommendation_id for one in advice} == recorded
    with pytest.raises(UnknownRecord, match="no site 'nowhere'"):
        recommend_for_site(connection, tenant, "nowhere", NOW)
    with pytest.raises(UnknownRecord):
        recommend_for_site(connection, "default", "gym", NOW)


def test_advice_for_a_bus_is_that_for_its_route(connection: psycopg.Connection, tenant: str) -> None:
    crowded_route(connection, tenant)
    [advice] = recommend_for_site(connection, tenant, "A", NOW)
    assert (advice.entity_kind, advice.entity_id, advice.action) == ("route", "1", "add_trip")


def test_five_thousand_sites_are_judged_within_a_second_and_one_within_a_tenth(
    connection: psycopg.Connection, tenant: str
) -> None:
    _make_city(connection, tenant)
    detect(connection, tenant, NOW)
    started = perf_counter()
    result = detect(connection, tenant, at(1))
    detecting = perf_counter() - started
    recommend(connection, tenant, at(1))
    started = perf_counter()
    recommend_for_site(connection, tenant, "site-7", at(1))
    advising = perf_counter() - started
    assert result.entities_known == 5000 // 2 + 100
    assert len(result.updated) > 100
    assert detecting < 1.0, f"detection took {detecting:.2f} s"
    assert advising < 0.1, f"advice took {advising:.3f} s"


def _make_city(connection: psycopg.Connection, tenant: str) -> None:
    """2,500 venues, and 2,500 buses on 100 routes with 20 stops; a tenth of all is crowded; forecasts for 200."""
    parameters = {"tenant": tenant, "now": NOW}
    connection.execute(
        """
        INSERT INTO registry.routes (tenant_id, route_id, direction_id, route_name, headsign, spare_vehicles)
        SELECT %(tenant)s, 'R' || number, 0, 'R' || number, 'Centre', 1 FROM generate_series(0, 99) AS number
        """,
        parameters,
    )
    connection.execute(
        """
        INSERT INTO registry.route_stops
        SELECT %(tenant)s, 'R' || number, 0, stop, 'S' || stop, 'Stop ' || stop, -6.2 + stop * 0.01, 106.8
        FROM generate_series(0, 99) AS number, generate_series(1, 20) AS stop
        """,
        parameters,
    )
    connection.execute(
        """
        INSERT INTO registry.sites (tenant_id, site_id, name, kind, capacity)
        SELECT %(tenant)s, 'site-' || number, 'Site', CASE WHEN number < 2500 THEN 'venue' ELSE 'bus' END, 100
        FROM generate_series(0, 4999) AS number
        """,
        parameters,
    )
    connection.execute(
        """
        INSERT INTO live.occupancy (tenant_id, site_id, occupancy, route_id, direction_id, stop_id, lat, lon,
                                    event_at, received_at)
        SELECT %(tenant)s, 'site-' || number, CASE WHEN number %% 10 = 7 THEN 97 ELSE 40 END,
               CASE WHEN number >= 2500 THEN 'R' || number %% 100 END, CASE WHEN number >= 2500 THEN 0 END,
               CASE WHEN number %% 2 = 0 THEN 'S' || (1 + number / 100 %% 20) END, -6.15, 106.8, %(now)s, %(now)s
        FROM generate_series(0, 4999) AS number
        """,
        parameters,
    )
    store.ensure_partitions(connection, NOW, NOW + timedelta(days=7))
    connection.execute(
        """
        INSERT INTO forecast.occupancy_hourly (tenant_id, series_id, model_version, origin_at, target_hour, horizon_h,
                                               predicted, p10, p90, method)
        SELECT %(tenant)s, CASE WHEN series < 100 THEN 'site-' || series ELSE 'route:R' || series - 100 || ':0' END,
               'v1', %(now)s::timestamptz - make_interval(hours => origin),
               %(now)s::timestamptz + make_interval(hours => ahead),
               ahead + origin + 1, 60 + series %% 10 * 5, 50, 110, 'champion'
        FROM generate_series(0, 199) AS series, generate_series(0, 5) AS origin, generate_series(0, 47) AS ahead
        """,
        parameters,
    )
    connection.execute("ANALYZE registry.sites, registry.route_stops, live.occupancy, forecast.occupancy_hourly")
