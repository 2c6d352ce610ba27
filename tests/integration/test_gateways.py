"""The ways in, over real HTTP and WebSocket, through Kafka into the tables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
from websockets.sync.client import connect

from plimsoll.stack.local import LocalStack
from plimsoll.stack.ports import free_port
from plimsoll.stack.readiness import http_ready
from plimsoll.stack.supervisor import Supervisor

pytestmark = pytest.mark.integration
Plimsoll = Callable[..., subprocess.CompletedProcess[str]]

BUS_EVENT = {
    "bus_id": "TJ-0345", "bus_code": "TJ", "door_id": 1, "in_count": 3, "out_count": 1, "occupancy": 37,
    "ts_device": "2025-01-15T12:34:56Z", "device_id": "EDGE-A1B2", "fw_version": "1.7.3", "sig": "HMAC_SHA256_BASE64",
}  # fmt: skip
TRAFFIC_COUNT = {
    "timestamp": "2025-12-02T15:21:42+0700", "location": "Jakarta", "longitude": 106.816666, "latitude": -6.2,
    "total_in_area": 150, "estimated_max_people": 200, "label": "heavy", "type": "vehicle",
}  # fmt: skip


@pytest.fixture(scope="module")
def api(stack: LocalStack, database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port, home = free_port(), tmp_path_factory.mktemp("api")
    environment = {
        **os.environ,
        "DATABASE_URL": database_url,
        "KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
        "PLIMSOLL_API_PORT": str(port),
        "PLIMSOLL_HOME": str(home),
    }
    with Supervisor(home) as supervisor:
        url = f"http://127.0.0.1:{port}"
        supervisor.start(
            "api", [sys.executable, "-m", "plimsoll", "api"], env=environment, ready=http_ready(f"{url}/healthz")
        )
        yield url


def bus_event(**changes: object) -> dict[str, object]:
    return BUS_EVENT | {"bus_id": f"TJ-{uuid.uuid4().hex[:8]}"} | changes


def test_a_bus_event_of_the_old_system_lands_unchanged(
    api: str, connection: psycopg.Connection, plimsoll: Plimsoll
) -> None:
    event = bus_event()

    answer = httpx.post(f"{api}/api/occupancy/ingest", json=event)
    plimsoll("lander", "run", "--until-caught-up")

    assert answer.status_code == 202
    row = connection.execute(
        "SELECT tenant_id, door_id, in_count, out_count, occupancy, device_id, extra FROM raw.occupancy_events"
        " WHERE site_id = %s", [event["bus_id"]],
    ).fetchone()  # fmt: skip
    assert row == ("default", 1, 3, 1, 37, "EDGE-A1B2", {"bus_code": "TJ"})


def test_of_a_list_the_good_events_land_and_the_bad_ones_are_named(
    api: str, connection: psycopg.Connection, plimsoll: Plimsoll
) -> None:
    good, bad = bus_event(), bus_event(in_count=-1)

    answer = httpx.post(f"{api}/api/occupancy/ingest", json=[good, bad, "nonsense"])
    plimsoll("lander", "run", "--until-caught-up")

    assert answer.status_code == 207
    assert [(e["index"], e["field"]) for e in answer.json()["errors"]] == [(1, "in_count"), (2, None)]
    landed = connection.execute(
        "SELECT site_id FROM raw.occupancy_events WHERE site_id = ANY(%s)", [[good["bus_id"], bad["bus_id"]]]
    ).fetchall()
    assert landed == [(good["bus_id"],)]


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        (b"{", 422, "not_json", None),
        (json.dumps(BUS_EVENT | {"ts_device": "yesterday"}).encode(), 422, "invalid_field", "ts_device"),
        (json.dumps(BUS_EVENT | {"ts_device": "2025-01-15T12:34:56"}).encode(), 422, "invalid_field", "ts_device"),
        (json.dumps(BUS_EVENT | {"fw_version": "a\u0000b"}).encode(), 422, "nul_character", None),
        (b'{"x":"' + b"a" * 1_100_000 + b'"}', 413, "content_too_large", None),
        (b"[" + b",".join([b"{}"] * 5_001) + b"]", 413, "too_many", None),
        (b"[" * 200_000, 422, "too_deep", None),
    ],
)
def test_bad_input_answers_with_the_field_and_the_reason(
    api: str, body: bytes, status: int, code: str, field: str | None
) -> None:
    answer = httpx.post(f"{api}/api/occupancy/ingest", content=body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    if field:
        assert answer.json()["errors"][0]["field"] == field


def test_a_venue_counts_for_the_site_that_its_device_is_registered_for(
    api: str, connection: psycopg.Connection, plimsoll: Plimsoll
) -> None:
    device = f"door-{uuid.uuid4().hex[:8]}"
    connection.execute(
        "INSERT INTO registry.devices (tenant_id, device_id, site_id) VALUES ('default', %s, 'gym')", [device]
    )

    answer = httpx.post(f"{api}/ingest", json={"count": 42, "device_id": device})
    plimsoll("lander", "run", "--until-caught-up")

    assert answer.status_code == 202
    row = connection.execute(
        "SELECT site_id, occupancy, ts_device > now() - interval '1 minute' FROM raw.occupancy_events"
        " WHERE device_id = %s",
        [device],
    ).fetchone()
    assert row == ("gym", 42, True)


def test_a_venue_count_that_comes_after_a_move_is_for_the_site_of_its_time(
    api: str, connection: psycopg.Connection, plimsoll: Plimsoll
) -> None:
    device = f"door-{uuid.uuid4().hex[:8]}"
    connection.execute(
        "INSERT INTO registry.devices (tenant_id, device_id, site_id, valid_from, valid_to) VALUES"
        " ('default', %(id)s, 'gym', '-infinity', '2025-02-01Z'),"
        " ('default', %(id)s, 'pool', '2025-02-01Z', '2025-03-01Z'),"
        " ('default', %(id)s, 'annex', '2025-04-01Z', now() + interval '1 hour'),"
        " ('default', %(id)s, 'tower', now() + interval '1 hour', 'infinity')", {"id": device},
    )  # fmt: skip
    months = {1: "gym", 2: "pool", 3: "annex", 4: "annex"}  # in March it was registered nowhere

    counts = [{"count": month, "device_id": device, "ts": f"2025-{month:02}-15T12:00:00Z"} for month in months]
    answer = httpx.post(f"{api}/ingest", json=[*counts, {"count": 5, "device_id": device}])
    plimsoll("lander", "run", "--until-caught-up")

    assert answer.status_code == 202
    landed = connection.execute("SELECT occupancy, site_id FROM raw.occupancy_events WHERE device_id = %s", [device])
    assert dict(landed.fetchall()) == months | {5: "annex"}


def test_the_payload_cannot_choose_its_tenant(api: str, connection: psycopg.Connection, plimsoll: Plimsoll) -> None:
    event = bus_event(tenant_id="somebody-else")

    httpx.post(f"{api}/api/occupancy/ingest", json=event)
    plimsoll("lander", "run", "--until-caught-up")

    row = connection.execute(
        "SELECT tenant_id FROM raw.occupancy_events WHERE site_id = %s", [event["bus_id"]]
    ).fetchone()
    assert row == ("default",)


def test_traffic_counts_over_the_websocket_are_each_answered(
    api: str, connection: psycopg.Connection, plimsoll: Plimsoll
) -> None:
    stream_id = str(uuid.uuid4())
    with connect(api.replace("http", "ws") + "/ws") as socket:
        answers = []
        for message in (
            TRAFFIC_COUNT | {"stream_id": stream_id},
            TRAFFIC_COUNT | {"stream_id": "no-uuid"},
            TRAFFIC_COUNT | {"stream_id": stream_id, "timestamp": "0001-01-01T00:00:00+07:00"},
            TRAFFIC_COUNT | {"stream_id": stream_id, "timestamp": "2025-12-02T15:26:42+0700"},
        ):
            socket.send(json.dumps(message))
            answers.append(json.loads(socket.recv()))
    plimsoll("lander", "run", "--until-caught-up")

    assert [a["status"] for a in answers] == ["ok", "error", "error", "ok"]
    assert [a["field"] for a in answers[1:3]] == ["stream_id", "timestamp"]
    rows = connection.execute(
        "SELECT to_char(ts_device, 'HH24:MI'), utc_offset_s, total_in_area FROM raw.traffic_counts"
        " WHERE stream_id = %s ORDER BY 1", [stream_id],
    ).fetchall()  # fmt: skip
    assert rows == [("08:21", 25_200, 150), ("08:26", 25_200, 150)]


def test_device_reports_become_its_live_state(api: str, connection: psycopg.Connection, plimsoll: Plimsoll) -> None:
    device = f"edge-{uuid.uuid4().hex[:8]}"

    httpx.post(f"{api}/api/devices/{device}/heartbeat", json={"uptime_s": 86_400, "battery": 77.5}).raise_for_status()
    httpx.post(f"{api}/api/devices/{device}/status", json={"status": "error", "error_code": "E7"}).raise_for_status()
    wrong = httpx.post(f"{api}/api/devices/{device}/status", json={"status": "online", "device_id": "another"})
    plimsoll("lander", "run", "--until-caught-up")

    assert wrong.status_code == 422
    row = connection.execute(
        "SELECT status, error_code, uptime_s, battery_percent FROM live.device WHERE device_id = %s", [device]
    ).fetchone()
    assert row is not None
    assert row[:3] == ("error", "E7", 86_400)


def test_replay_keeps_gaps_local_times_and_refusals(
    tmp_path: Path, connection: psycopg.Connection, plimsoll: Plimsoll
) -> None:
    site = f"lot-{uuid.uuid4().hex[:8]}"
    file = tmp_path / "lots.csv"
    file.write_text(
        "Lot,Places,Cars,When\n"
        f"{site},100,50,2016-07-01 10:00:00\n"  # summer time: 09:00 UTC
        f"{site},100,,2016-07-01 10:30:00\n"  # nothing was counted
        f"{site},100,61,2016-12-01 10:00:00\n"
    )
    done = plimsoll(
        "replay", str(file), "--map", "site_id=Lot", "--map", "capacity=Places", "--map", "occupancy=Cars",
        "--map", "ts_device=When", "--tz", "Europe/London", "--hold", "3600",
    )  # fmt: skip
    plimsoll("lander", "run", "--until-caught-up")

    assert "sent 2 events, refused 1" in done.stdout
    assert "row 2: occupancy: needs occupancy" in done.stdout
    rows = connection.execute(
        "SELECT to_char(ts_device, 'MM-DD HH24:MI'), occupancy, capacity FROM raw.occupancy_events"
        " WHERE site_id = %s ORDER BY ts_device", [site],
    ).fetchall()  # fmt: skip
    assert rows == [("07-01 09:00", 50, 100), ("12-01 10:00", 61, 100)]
    registered = connection.execute(
        "SELECT kind, capacity, time_zone, hold_s FROM registry.sites WHERE site_id = %s", [site]
    ).fetchone()
    assert registered == ("venue", 100, "Europe/London", 3600)


def test_the_pace_of_a_replay_begins_with_the_first_valid_time(tmp_path: Path, plimsoll: Plimsoll) -> None:
    file = tmp_path / "lots.csv"
    times = ["", "yesterday", "1970-01-01 00:00:00", "2016-07-01 10:00:00", "2016-07-01 10:01:00"]
    file.write_text("\n".join(["Cars,When", *(f"5,{at}" for at in times)]))

    done = plimsoll("replay", str(file), "--tz", "UTC", "--map", "occupancy=Cars", "--map", "ts_device=When",
                    "--speed", "60", timeout=30)  # fmt: skip

    assert "sent 2 events, refused 3" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--map", "occupancy=Cars"], "say which column holds the time"),
        (["--map", "ts_device=When"], "name it with --tz"),
        (["--map", "ts_device=When", "--tz", "Moon/Base"], "no such time zone"),
        (["--map", "nothing=Cars"], "is no field of occupancy.events"),
        (["--map", "ts_device=Whenever"], "has no column 'Whenever'"),
        (["--map", "ts_device=When", "--tz", "UTC", "--speed", "warp"], "write a number above 0"),
    ],
)
def test_a_wrong_replay_command_is_told_what_to_write(
    tmp_path: Path, plimsoll: Plimsoll, arguments: list[str], complaint: str
) -> None:
    file = tmp_path / "lots.csv"
    file.write_text("Cars,When\n5,2016-07-01 10:00:00\n")

    done = plimsoll("replay", str(file), *arguments, check=False)

    assert done.returncode == 1
    assert complaint in " ".join(done.stderr.split())
