"""The API as a process: it starts, answers over HTTP and WebSocket, and stops when told."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import pytest
from websockets.sync.client import connect

from plimsoll.stack.ports import free_port

pytestmark = pytest.mark.integration

COMMAND = [sys.executable, "-m", "plimsoll", "api"]


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def process(platform_env: dict[str, str], port: int) -> Iterator[subprocess.Popen[str]]:
    environment = platform_env | {"PLIMSOLL_API_PORT": str(port)}
    with subprocess.Popen(COMMAND, env=environment, stderr=subprocess.PIPE, text=True) as started:
        _await_answer(started, port)
        yield started
        started.kill()


def _await_answer(started: subprocess.Popen[str], port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and started.poll() is None:
        with socket.socket() as probe:
            probe.settimeout(0.2)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
    pytest.fail(f"the API did not start: {started.communicate(timeout=5)[1]}")


def test_it_serves_and_takes_events_until_it_is_told_to_stop(process: subprocess.Popen[str], port: int) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=15) as client:
        assert client.get("/healthz").json() == {"ok": True}
        assert client.get("/api/occupancy/now").json()["items"] == []
        event = {"bus_id": "TJ-1", "occupancy": 3, "ts_device": "2026-01-15T12:34:56Z", "device_id": "E"}
        assert client.post("/api/occupancy/ingest", json=event).status_code == 202
        assert "server" not in client.get("/").headers
    with connect(f"ws://127.0.0.1:{port}/ws") as socket_:
        socket_.send(json.dumps({"stream_id": "not a uuid"}))
        assert json.loads(socket_.recv(timeout=10))["status"] == "error"

    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=15)

    assert process.returncode in (0, -signal.SIGTERM), log
    assert "Traceback" not in log


def test_a_taken_port_is_a_clear_sentence(platform_env: dict[str, str], port: int) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", port))
        holder.listen()
        done = subprocess.run(
            COMMAND, env=platform_env | {"PLIMSOLL_API_PORT": str(port)}, capture_output=True, text=True, timeout=60
        )

    assert done.returncode == 1
    assert f"port {port} is taken" in done.stderr and "PLIMSOLL_API_PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_production_without_keys_is_a_clear_sentence(platform_env: dict[str, str], port: int) -> None:
    environment = {name: value for name, value in platform_env.items() if name != "PLIMSOLL_API_KEYS"}
    done = subprocess.run(
        COMMAND,
        env=environment | {"PLIMSOLL_API_PORT": str(port), "PLIMSOLL_MODE": "production"},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert done.returncode == 1
    assert "PLIMSOLL_API_KEYS" in done.stderr and "Traceback" not in done.stderr
