"""How the simulated city's events leave for the gateway."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from ingest.simulator.city import City
from ingest.simulator.config import MIN_BUSES, CityConfig
from ingest.simulator.feed import send_live


def test_events_for_an_api_on_this_machine_go_past_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    stop = threading.Event()

    class Gateway(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            stop.set()
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(202)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    with HTTPServer(("127.0.0.1", 0), Gateway) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        given_up = threading.Timer(15, stop.set)
        given_up.start()
        city = City.build(CityConfig(seed=7, buses=MIN_BUSES))
        accepted, _ = send_live(city, f"http://127.0.0.1:{server.server_port}", an_hour_ago, stop, speed=1e6)
        given_up.cancel()
        server.shutdown()

    assert accepted > 0
