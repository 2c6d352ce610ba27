"""A fleet at 1 Hz on the whole platform: how old an event is when `/api/occupancy/now` shows it.

Half of the buses speak MQTT, half HTTP; lander, bridge, API and Dagster run beside each other as `make up` starts them.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections import Counter, defaultdict, deque
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import httpx
import msgspec
from ingest_ground import Ground, Row, console, milliseconds, percentile
from ingest_http import HttpConnection
from psycopg.conninfo import conninfo_to_dict

from plimsoll.stack.demo import Platform, api_url, running_platform
from plimsoll.stack.ports import free_port

LOOK_EVERY_S = 0.1
SETTLE_S = 5.0
HTTP_CONNECTIONS = 128  # a bus has its own; too few, and events wait for one another before they are sent
WANTED_P99_S = 1.0
ROUTE = "fleet"  # only these are asked for: the events of other parts are in the tables as well


class _Site(msgspec.Struct):
    site_id: str
    event_at: datetime | None = None


class _Page(msgspec.Struct):
    items: list[_Site]


class Fleet:
    """Buses that report once a second, each at its own moment of the second, until stopped.

    Attributes:
        ways: by bus, the way that it reports by.
        waiting: by bus, the times of events that were sent and not seen yet.
        failed: events that a gateway did not take.
    """

    def __init__(self, buses: int, platform: Platform) -> None:
        self.waiting: dict[str, deque[datetime]] = defaultdict(deque)
        self.failed = 0
        self._platform = platform
        self._stop = threading.Event()
        names = [f"FLEET-{number:04}" for number in range(buses)]
        over_mqtt = names[: buses // 2] if platform.settings.mqtt_url else []
        self.ways = dict.fromkeys(names, "HTTP") | dict.fromkeys(over_mqtt, "MQTT")
        self._threads = [threading.Thread(target=self._over_http, args=(names[len(over_mqtt) :],))]
        if over_mqtt:
            self._threads.append(threading.Thread(target=self._over_mqtt, args=(over_mqtt,)))

    def __enter__(self) -> Fleet:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _report(self, bus: str, turn: int) -> str:
        at = datetime.now(UTC)
        self.waiting[bus].append(at)
        return json.dumps(
            {"bus_id": bus, "device_id": f"E-{bus}", "ts_device": at.isoformat(), "occupancy": turn % 90,
             "seq": turn, "event_id": f"{bus}-{turn}", "route_id": ROUTE, "capacity": 80}
        )  # fmt: skip

    def _over_http(self, buses: list[str]) -> None:
        asyncio.run(self._all_over_http(buses))

    async def _all_over_http(self, buses: list[str]) -> None:
        port = self._platform.settings.api_port
        free: asyncio.Queue[HttpConnection] = asyncio.Queue()
        for _ in range(HTTP_CONNECTIONS):
            free.put_nowait(await HttpConnection.open(port))

        async def send(bus: str, turn: int) -> None:
            report = self._report(bus, turn).encode()
            connection = await free.get()
            self.failed += await connection.post("/api/occupancy/ingest", report) != 202
            free.put_nowait(connection)

        begun, turn, sending = time.monotonic(), 0, set()
        while not self._stop.is_set():
            for number, bus in enumerate(buses):
                await asyncio.sleep(max(0.0, begun + turn + number / len(buses) - time.monotonic()))
                task = asyncio.create_task(send(bus, turn))
                sending.add(task)
                task.add_done_callback(sending.discard)
            turn += 1
        await asyncio.gather(*sending)

    def _over_mqtt(self, buses: list[str]) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        client = Client(CallbackAPIVersion.VERSION2, "bench-fleet")
        client.connect("127.0.0.1", self._platform.settings.mqtt_port)
        client.loop_start()
        begun, turn = time.monotonic(), 0
        while not self._stop.is_set():
            for number, bus in enumerate(buses):
                self._stop.wait(max(0.0, begun + turn + number / len(buses) - time.monotonic()))
                client.publish("oms/v1/occupancy", self._report(bus, turn), qos=1)
            turn += 1
        client.disconnect()
        client.loop_stop()


def measure(ground: Ground, buses: int, minutes: float) -> list[Row]:
    """Ages (device time → visible) once the fleet has run for some seconds."""
    with ExitStack() as exits:
        url = exits.enter_context(ground.database())
        exits.enter_context(mock.patch.dict(os.environ, _environment(ground, url)))
        platform = exits.enter_context(running_platform(console))
        platform.run("lander", "wait")
        fleet = exits.enter_context(Fleet(buses, platform))
        with console.status(f"{buses:,} buses at 1 Hz for {minutes:g} minutes"):
            ages = _watched(fleet, f"{api_url(platform.settings)}/api/occupancy/now?route_id={ROUTE}", 60 * minutes)
            unseen = Counter(fleet.ways[bus] for bus, queue in fleet.waiting.items() for _ in queue)
    rows = []
    for way, of_way in sorted(ages.items()):
        p99 = percentile(sorted(of_way), 0.99)
        figure = f"{milliseconds(of_way)}; {len(of_way):,} events, {unseen[way]} on their way at the end"
        what = f"{buses:,} buses at 1 Hz for {minutes:g} min, everything running: device → /api/occupancy/now by {way}"
        rows.append(Row(what, figure, f"p99 < {1000 * WANTED_P99_S:,.0f} ms", p99 < WANTED_P99_S))
    if fleet.failed:
        rows.append(Row("events that HTTP refused", f"{fleet.failed:,}", "0", False))
    return rows


def _environment(ground: Ground, url: str) -> dict[str, str]:
    ports = ("API", "DAGSTER", "MQTT", "LANDER_METRICS", "MQTT_METRICS")
    return {
        "DATABASE_URL": url,
        "KAFKA_BOOTSTRAP_SERVERS": ground.bootstrap_servers,
        "PLIMSOLL_KAFKA_GROUP": str(conninfo_to_dict(url)["dbname"]),
        "PLIMSOLL_HOME": str(ground.folder / "fleet"),
        **{f"PLIMSOLL_{port}_PORT": str(free_port()) for port in ports},
    }


def _watched(fleet: Fleet, url: str, seconds: float) -> dict[str, list[float]]:
    """Ages by way; an event counts as seen when its bus shows it or a later one, looked at ten times a second."""
    ages: dict[str, list[float]] = defaultdict(list)
    decoder = msgspec.json.Decoder(_Page)
    until = time.monotonic() + SETTLE_S + seconds
    with httpx.Client(timeout=30) as client:
        while (now := time.monotonic()) < until:
            page = decoder.decode(client.get(url).content)
            seen_at = datetime.now(UTC)
            for site in page.items:
                seen = _seen(fleet.waiting, site, seen_at)
                if seen and now > until - seconds:
                    ages[fleet.ways[site.site_id]] += seen
            time.sleep(max(0.0, now + LOOK_EVERY_S - time.monotonic()))
    return ages


def _seen(waiting: dict[str, deque[datetime]], site: _Site, seen_at: datetime) -> list[float]:
    queue: Any = waiting.get(site.site_id)
    ages = []
    while queue and site.event_at and queue[0] <= site.event_at:
        ages.append((seen_at - queue.popleft()).total_seconds())
    return ages
