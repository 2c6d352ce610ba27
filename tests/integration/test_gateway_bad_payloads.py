"""Whatever is thrown at the ways in, each is refused with its reason, nothing breaks, and a valid neighbour lands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from websockets.sync.client import ClientConnection, connect

from plimsoll.stack.local import LocalStack
from plimsoll.stack.ports import free_port
from plimsoll.stack.process import Child
from plimsoll.stack.readiness import await_ready, http_ready

pytestmark = pytest.mark.integration
Plimsoll = Callable[..., subprocess.CompletedProcess[str]]
EXAMPLES = 400
TEN_MB = 10_000_000
BUS = {"bus_id": "TJ-1", "occupancy": 37, "lat": -6.2, "ts_device": "2026-01-15T12:34:56Z", "device_id": "E-1"}
TRAFFIC = {"stream_id": str(uuid.UUID(int=7)), "timestamp": "2026-01-15T12:34:56Z", "longitude": 106.8,
           "latitude": -6.2, "total_in_area": 150, "type": "vehicle"}  # fmt: skip
CODES = {"not_json", "too_deep", "too_large", "invalid_field", "missing_field", "incomplete", "clock_ahead",
         "clock_behind", "nul_character", "invalid_extra"}  # fmt: skip


def spoilt(event: dict[str, Any], count: str, degrees: str, at: str) -> st.SearchStrategy[bytes]:
    """Bodies that stand for no event, made of one that does; the names are those of its fields of each type."""
    whole = json.dumps(event).encode()

    def with_note(raw: str) -> bytes:
        return whole[:-1] + f', "note": {raw}}}'.encode()

    def changed(field: str) -> Callable[[Any], bytes]:
        return lambda value: json.dumps(event | {field: value}).encode()

    something = st.one_of(st.booleans(), st.lists(st.integers(), max_size=2), st.dictionaries(st.text(), st.none()))
    return st.one_of(
        st.integers(1, len(whole) - 1).map(lambda n: whole[:n]),
        st.binary(max_size=60).map(lambda b: b"\x80" + b),
        st.sampled_from(["utf-16", "utf-32", "utf-16-be"]).map(lambda name: json.dumps(event).encode(name)),
        st.sampled_from(["NaN", "-Infinity", "1e999", "01", "'a'", r'"\ud800"', '"a\\u0000b"']).map(with_note),
        st.sampled_from([b"\xe9", b"\xed\xa0\x80", b"\xf5\x80\x80\x80"]).map(
            lambda raw: whole[:-1] + b', "note": "' + raw + b'"}'
        ),
        st.integers(2_000, 50_000).map(lambda depth: with_note("[" * depth + "]" * depth)),
        st.integers(2_000, 50_000).map(lambda depth: b"[" * depth),
        st.integers(17_000, 900_000).map(lambda size: with_note(json.dumps("x" * size))),
        st.integers(4_400, 9_000).map(lambda digits: with_note("9" * digits)),
        st.sampled_from([b"", b"null", b"1", b'"text"', b"true", b"{}"]),
        st.sampled_from(sorted(event)).flatmap(lambda field: something.map(changed(field))),
        st.one_of(something, st.floats(0.1, 0.9), st.integers(2**31, 10**40), st.text(max_size=9)).map(changed(count)),
        st.one_of(something, st.floats(181, 1e300), st.integers(181, 10**40)).map(changed(degrees)),
        st.sampled_from(["yesterday", "", "2026-13-01T00:00:00Z", "2026-01-15T12:00:00", "1980-01-01T00:00:00Z",
                         "2099-01-01T00:00:00Z", "10000-01-01T00:00:00Z",
                         "0001-01-01T00:00:00+07:00"]).map(changed(at)),
    )  # fmt: skip


def each(bodies: st.SearchStrategy[bytes], send: Callable[[bytes], None]) -> None:
    @seed(20_260_115)
    @settings(max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(bodies)
    def run(body: bytes) -> None:
        send(body)

    run()


@pytest.fixture(scope="module")
def api(stack: LocalStack, database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Child]]:
    """The API as a process that nobody starts again."""
    port, home = free_port(), tmp_path_factory.mktemp("api")
    environment = {
        **os.environ, "DATABASE_URL": database_url, "KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
        "PLIMSOLL_API_PORT": str(port), "PLIMSOLL_HOME": str(home),
    }  # fmt: skip
    child = Child("api", [sys.executable, "-m", "plimsoll", "api"], log_path=home / "log", env=environment)
    await_ready(child, http_ready(f"http://127.0.0.1:{port}/healthz"), 60)
    yield f"http://127.0.0.1:{port}", child
    child.stop()


def assert_unharmed(child: Child) -> None:
    assert child.exit_code is None
    assert "Traceback" not in child.log_tail(10_000)


def test_over_http_each_is_refused_with_its_reason(
    api: tuple[str, Child], connection: psycopg.Connection, plimsoll: Plimsoll
) -> None:
    url, child = api
    site, neighbours = f"TJ-{uuid.uuid4().hex[:8]}", 0
    with httpx.Client(base_url=url) as client:

        def send(body: bytes) -> None:
            nonlocal neighbours
            answer = client.post("/api/occupancy/ingest", content=body)
            assert answer.status_code == 422, (answer.status_code, answer.text, body[:200])
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["code"] in CODES, (answer.text, body[:200])
            assert answer.json()["detail"]
            if neighbours % 10 == 0:
                good = client.post("/api/occupancy/ingest", json=BUS | {"bus_id": site, "seq": neighbours})
                assert good.status_code == 202, good.text
            neighbours += 1

        each(spoilt(BUS, "occupancy", "lat", "ts_device"), send)
    plimsoll("lander", "run", "--until-caught-up")

    landed = connection.execute("SELECT count(*) FROM raw.occupancy_events WHERE site_id = %s", [site]).fetchone()
    assert landed == (-(-neighbours // 10),)
    assert_unharmed(child)


def test_over_the_websocket_each_is_answered_with_its_reason(
    api: tuple[str, Child], connection: psycopg.Connection, plimsoll: Plimsoll
) -> None:
    url, child = api
    stream, sent = str(uuid.uuid4()), 0
    with connect(url.replace("http", "ws") + "/ws", max_size=None) as socket:

        def send(body: bytes) -> None:
            nonlocal sent
            answer = told(socket, body)
            assert answer["status"] == "error", (answer, body[:200])
            assert answer["code"] in CODES, (answer, body[:200])
            assert answer["reason"]
            if sent % 10 == 0:
                assert told(socket, json.dumps(TRAFFIC | {"stream_id": stream}).encode()) == {"status": "ok"}
            sent += 1

        each(spoilt(TRAFFIC, "total_in_area", "latitude", "timestamp"), send)
        too_much = told(socket, b'"' + b"x" * TEN_MB + b'"')
        after = told(socket, json.dumps(TRAFFIC | {"stream_id": stream}).encode())
    plimsoll("lander", "run", "--until-caught-up")

    assert (too_much["code"], after) == ("content_too_large", {"status": "ok"})
    landed = connection.execute("SELECT count(*) FROM raw.traffic_counts WHERE stream_id = %s", [stream]).fetchone()
    assert landed == (-(-sent // 10) + 1,)
    assert_unharmed(child)


def told(socket: ClientConnection, body: bytes) -> dict[str, Any]:
    socket.send(body)
    answer: dict[str, Any] = json.loads(socket.recv(timeout=20))
    return answer


@pytest.mark.parametrize("framing", ["with its length", "in chunks"])
def test_ten_megabytes_are_refused_while_they_come_in(api: tuple[str, Child], framing: str) -> None:
    url, child = api
    pieces = [b"x" * 100_000] * (TEN_MB // 100_000)

    answer = httpx.post(
        f"{url}/api/occupancy/ingest", content=b"".join(pieces) if framing == "with its length" else iter(pieces)
    )

    assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
    assert "larger than 1,000,000 bytes" in answer.json()["detail"]
    assert httpx.get(f"{url}/healthz").status_code == 200
    assert_unharmed(child)
