"""The ways in: events per second that Kafka acknowledged, and how long a sender waits for the answer."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count

from ingest_ground import Ground, Row, await_that, console, fields, milliseconds
from ingest_http import HttpConnection

from plimsoll.contracts.topics import end_offsets
from plimsoll.stack.mosquitto import LocalMosquitto
from plimsoll.stack.ports import free_port
from plimsoll.stack.readiness import http_ready

CONNECTIONS = 32
MQTT_PUBLISHERS = 8
MQTT_IN_FLIGHT = 100
TRIES = 60
_TRAFFIC = json.dumps(
    {"stream_id": "550e8400-e29b-41d4-a716-446655440000", "timestamp": "2026-01-15T15:21:42+0700",
     "location": "Jakarta", "longitude": 106.816666, "latitude": -6.2, "total_in_area": 150,
     "estimated_max_people": 200, "label": "heavy", "type": "vehicle"}
)  # fmt: skip
Ask = Callable[[int], Awaitable[None]]


def measure(ground: Ground, seconds: float) -> list[Row]:
    """HTTP with one event and with a hundred, WebSocket, MQTT."""
    with ground.database() as url, _api(ground, url) as port:
        rows = []
        for events in (1, 100):
            with console.status(f"HTTP, {events} a request"):
                times = asyncio.run(_load(seconds, lambda n, events=events: _http(port, n, events)))
            what = f"HTTP, {events} event{'s' if events > 1 else ''} a request, {CONNECTIONS} connections"
            rows.append(Row(what, f"{len(times) * events / seconds:,.0f} events/s, {milliseconds(times)}"))
        with console.status("WebSocket"):
            times = asyncio.run(_load(seconds, lambda n: _web_socket(port)))
        what = f"WebSocket, {CONNECTIONS} connections"
        rows.append(Row(what, f"{len(times) / seconds:,.0f} events/s, {milliseconds(times)}"))
        rows += _mqtt(ground, url, seconds)
    return rows


@contextmanager
def _api(ground: Ground, url: str) -> Iterator[int]:
    port = free_port()
    environment = ground.environment(
        url, PLIMSOLL_API_PORT=str(port), PLIMSOLL_LOG_LEVEL="WARNING", PLIMSOLL_MAX_EVENTS_PER_MINUTE="0"
    )
    with ground.running(environment, "api"):
        answers = http_ready(f"http://127.0.0.1:{port}/healthz")
        await_that(answers, "the API to answer", 60)
        yield port


async def _load(seconds: float, connect: Callable[[int], Awaitable[tuple[Ask, Callable[[], None]]]]) -> list[float]:
    """Ask over and over on every connection; the times of the answers that came."""
    times: list[float] = []
    until = time.perf_counter() + seconds

    async def client(number: int) -> None:
        ask, close = await connect(number)
        for turn in count():
            started = time.perf_counter()
            if started > until:
                break
            await ask(turn * CONNECTIONS + number)
            times.append(time.perf_counter() - started)
        close()

    await asyncio.gather(*(client(number) for number in range(CONNECTIONS)))
    return times


async def _http(port: int, number: int, events: int) -> tuple[Ask, Callable[[], None]]:
    connection = await HttpConnection.open(port)

    async def ask(turn: int) -> None:
        sent = [_device_event(turn * events + n) for n in range(events)]
        body = json.dumps(sent if events > 1 else sent[0]).encode()
        status = await connection.post("/api/occupancy/ingest", body)
        if status != 202:
            raise RuntimeError(f"the gateway answered {status}")

    return ask, connection.close


def _device_event(number: int) -> dict[str, object]:
    """As a device sends it: its own tenant is not its business."""
    return {name: value for name, value in fields(number).items() if name != "tenant_id"}


async def _web_socket(port: int) -> tuple[Ask, Callable[[], None]]:
    from websockets.asyncio.client import connect

    socket = await connect(f"ws://127.0.0.1:{port}/ws")

    async def ask(turn: int) -> None:
        await socket.send(_TRAFFIC)
        answer = json.loads(await socket.recv())
        if answer.get("status") != "ok":
            raise RuntimeError(f"the gateway answered {answer}")

    return ask, socket.transport.close


def _mqtt(ground: Ground, url: str, seconds: float) -> list[Row]:
    what = f"MQTT QoS 1, {MQTT_PUBLISHERS} publishers"
    if not LocalMosquitto.is_installed():
        return [Row(what, "not measured: Mosquitto is not installed")]
    broker = LocalMosquitto(ground.folder / "mosquitto", free_port())
    broker.start()
    try:
        environment = ground.environment(url, PLIMSOLL_MQTT_METRICS_PORT="0", PLIMSOLL_LOG_LEVEL="WARNING")
        with ground.running(environment | broker.addresses, "mqtt", "run"), console.status("MQTT"):
            rate, times = _published(ground, broker.port, seconds)
    finally:
        broker.stop()
    return [Row(what, f"{rate:,.0f} events/s in Kafka, {milliseconds(times)} to the broker's PUBACK")]


def _published(ground: Ground, port: int, seconds: float) -> tuple[float, list[float]]:
    """Publish for a while, and wait until all of it is in Kafka."""

    def in_kafka() -> int:
        return sum(end_offsets(ground.bootstrap_servers, ["occupancy.events"]).values())

    _await_bridge(port, in_kafka)
    before, started = in_kafka(), time.perf_counter()
    times: list[float] = []
    publishers = [threading.Thread(target=_publish, args=(port, n, seconds, times)) for n in range(MQTT_PUBLISHERS)]
    for publisher in publishers:
        publisher.start()
    for publisher in publishers:
        publisher.join()
    await_that(lambda: in_kafka() >= before + len(times), "the MQTT messages to be in Kafka", 120)
    return len(times) / (time.perf_counter() - started), times


def _await_bridge(port: int, in_kafka: Callable[[], int]) -> None:
    """Publish until something arrives: before the bridge has subscribed for the first time nothing is kept for it."""
    from paho.mqtt.publish import single

    logging.getLogger("paho").setLevel(logging.CRITICAL)  # it calls the end of a connection an error
    before = in_kafka()
    for _ in range(TRIES):
        single("oms/v1/occupancy", json.dumps(_bus_event(0)), qos=1, hostname="127.0.0.1", port=port)
        with suppress(RuntimeError):
            await_that(lambda: in_kafka() > before, "the bridge", 1)
            return
    raise RuntimeError(f"nothing that was published {TRIES} times came through the bridge")


def _publish(port: int, publisher: int, seconds: float, times: list[float]) -> None:
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    sent: dict[int, float] = {}
    free = threading.Semaphore(MQTT_IN_FLIGHT)

    def on_publish(_: object, __: object, mid: int, *___: object) -> None:
        times.append(time.perf_counter() - sent.pop(mid))
        free.release()

    client = Client(CallbackAPIVersion.VERSION2, f"bench-{publisher}")
    client.on_publish = on_publish
    client.max_inflight_messages_set(MQTT_IN_FLIGHT)
    client.connect("127.0.0.1", port)
    client.loop_start()
    until = time.perf_counter() + seconds
    number = publisher
    while time.perf_counter() < until:
        free.acquire()
        number += MQTT_PUBLISHERS
        at = time.perf_counter()
        sent[client.publish("oms/v1/occupancy", json.dumps(_bus_event(number)), qos=1).mid] = at
    for _ in range(MQTT_IN_FLIGHT):
        free.acquire(timeout=30)
    client.disconnect()
    client.loop_stop()


def _bus_event(number: int) -> dict[str, object]:
    event = _device_event(number)
    return {"bus_id": event.pop("site_id"), "bus_code": "TJ", **event}
