"""Kafka goes away while devices send over HTTP, WebSocket and MQTT: nothing that was acknowledged is missing."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psycopg
import pytest
from kafka import KafkaProducer
from kafka.errors import KafkaError
from websockets.sync.client import connect

from ingest.dead_letter_headers import to_headers
from ingest.lander.dead_letters import DeadLetters
from ingest.lander.landing import Message, Reject
from plimsoll.contracts import InvalidEvent, load_contracts
from plimsoll.contracts.topics import create_topics
from plimsoll.settings import PROJECT_DIR
from plimsoll.stack.kafka import LocalKafka
from plimsoll.stack.mosquitto import LocalMosquitto
from plimsoll.stack.ports import free_port
from plimsoll.stack.process import Child
from plimsoll.stack.readiness import await_ready, http_ready
from plimsoll.stack.supervisor import Supervisor

pytestmark = pytest.mark.integration
PAUSE_S = 0.02
"""Between two events of a client."""
LONGEST_ANSWER_S = 12
"""No client waits longer to be told that its event was not taken."""
LANDER_GRACE_S = 9


class Client(threading.Thread, ABC):
    """Sends numbered events one after the other, each again until it is acknowledged."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.source = f"{type(self).__name__.lower()}-{uuid.uuid4().hex[:8]}"
        self.acknowledged: list[int] = []
        self.turned_away = 0
        self.longest_s = 0.0
        self.failure: BaseException | None = None
        self._exits = ExitStack()
        self._stop_asked = threading.Event()

    def run(self) -> None:
        number = 0
        try:
            while not self._stop_asked.wait(PAUSE_S):
                started = time.monotonic()
                if self.send(number):
                    self.acknowledged.append(number)
                    number += 1
                else:
                    self.turned_away += 1
                self.longest_s = max(self.longest_s, time.monotonic() - started)
        except BaseException as error:
            self.failure = error

    def stop(self) -> None:
        self._stop_asked.set()
        self.join(30)
        assert not self.is_alive()
        self._exits.close()

    @abstractmethod
    def send(self, number: int) -> bool:
        """Send one event; True if it was acknowledged, False if the answer was to try again."""


class Http(Client):
    def __init__(self, url: str) -> None:
        super().__init__()
        self._client = self._exits.enter_context(httpx.Client(base_url=url, timeout=60))

    def send(self, number: int) -> bool:
        answer = self._client.post("/api/occupancy/ingest", json=bus_event(self.source, number))
        if answer.status_code == 202:
            return True
        assert answer.status_code == 503, answer.text
        assert answer.json()["code"] == "broker_unavailable"
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
        return False


class WebSocket(Client):
    def __init__(self, url: str) -> None:
        super().__init__()
        self._socket = self._exits.enter_context(connect(url.replace("http", "ws") + "/ws"))
        self.source = str(uuid.uuid4())

    def send(self, number: int) -> bool:
        event = {"stream_id": self.source, "timestamp": now(), "location": "Jakarta", "longitude": 106.8,
                 "latitude": -6.2, "total_in_area": number, "type": "vehicle"}  # fmt: skip
        self._socket.send(json.dumps(event))
        answer = json.loads(self._socket.recv(timeout=60))
        if answer["status"] == "ok":
            return True
        assert answer["code"] == "broker_unavailable", answer
        assert 1 <= answer["retry_after_s"] <= 60
        return False


class Mqtt(Client):
    """Sends to Mosquitto, which takes everything; whether the bridge acknowledges shows in Mosquitto's own figures."""

    def __init__(self, port: int) -> None:
        from paho.mqtt.client import CallbackAPIVersion
        from paho.mqtt.client import Client as PahoClient

        super().__init__()
        self._client = PahoClient(CallbackAPIVersion.VERSION2)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._exits.callback(self._client.loop_stop)
        self._exits.callback(self._client.disconnect)

    def send(self, number: int) -> bool:
        sent = self._client.publish("oms/v1/occupancy", json.dumps(bus_event(self.source, number)), qos=1)
        sent.wait_for_publish(30)
        return sent.is_published()


def now() -> str:
    return datetime.now(UTC).isoformat()


def bus_event(source: str, number: int) -> dict[str, object]:
    return {"bus_id": source, "device_id": source, "seq": number, "occupancy": number % 90, "ts_device": now()}


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[LocalKafka]:
    """A broker of the test's own, so that stopping it disturbs nobody."""
    broker = LocalKafka(tmp_path / "kafka", free_port(), free_port())
    broker.start()
    create_topics(broker.bootstrap_servers, load_contracts(PROJECT_DIR / "data" / "contracts").values())
    yield broker
    broker.stop()


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[LocalMosquitto | None]:
    if not LocalMosquitto.is_installed():
        yield None
        return
    with LocalMosquitto(tmp_path / "mqtt", free_port()) as running:
        yield running


@pytest.mark.parametrize(
    "outage_s", [1, pytest.param(60, marks=[pytest.mark.long, pytest.mark.timeout(600)])], ids=["short", "long"]
)
def test_what_was_acknowledged_around_an_outage_of_kafka_lands_and_the_rest_is_told_to_come_again(
    kafka: LocalKafka,
    mosquitto: LocalMosquitto | None,
    database_url: str,
    connection: psycopg.Connection,
    tmp_path: Path,
    outage_s: float,
) -> None:
    """The short outage ends when every client has been turned away, which takes some six seconds."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    environment = {
        **os.environ, "DATABASE_URL": database_url, "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "PLIMSOLL_API_PORT": str(port), "PLIMSOLL_HOME": str(tmp_path),
        **(mosquitto.addresses if mosquitto else {}),
    }  # fmt: skip
    program = [sys.executable, "-m", "plimsoll"]
    clients: list[Client] = []

    def await_true(condition: Callable[[], bool], what: str, timeout_s: float = 60) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert [client.failure for client in clients] == [None] * len(clients)
            if time.monotonic() > deadline:
                state = {c.source: (len(c.acknowledged), c.turned_away) for c in clients}
                pytest.fail(f"{what}: not within {timeout_s} s; (acknowledged, turned away) are {state}")
            time.sleep(0.05)

    with Supervisor(tmp_path) as supervisor:
        supervisor.start("api", [*program, "api"], env=environment, ready=http_ready(f"{url}/healthz"))
        supervisor.start("lander", [*program, "lander", "run"], env=environment)
        answering: list[Client] = [Http(url), Http(url), WebSocket(url)]
        clients += answering
        if mosquitto:
            bridge = supervisor.start("bridge", [*program, "mqtt", "run"], env=environment)
            # Before its first session the broker knows of nobody to keep messages for.
            await_true(lambda: "connected to MQTT" in bridge.log_tail(), "the bridge is there")
            clients.append(Mqtt(mosquitto.port))
        for client in clients:
            client.start()

        await_true(lambda: all(len(landed(connection, c.source)) > 20 for c in clients), "events before the outage")
        kafka.stop()
        went = time.monotonic()
        await_true(lambda: all(client.turned_away for client in answering), "every client is turned away", 30)
        if mosquitto:
            await_true(lambda: "what is not acknowledged comes again" in bridge.log_tail(99), "the bridge says so", 30)
        await_true(lambda: time.monotonic() - went > outage_s, "the outage", outage_s + 1)
        kafka.start()
        before = [len(client.acknowledged) for client in clients]
        await_true(
            lambda: all(len(c.acknowledged) > n + 20 for c, n in zip(clients, before, strict=True)), "events after it"
        )
        for client in clients:
            client.stop()
        bury(kafka.bootstrap_servers, b"refused after the outage")
        await_true(
            lambda: all(set(c.acknowledged) <= landed(connection, c.source) for c in clients),
            "all that was acknowledged",
        )
        await_true(lambda: is_listed(connection, b"refused after the outage"), "the dead letter")

    assert [client.failure for client in clients] == [None] * len(clients)
    assert max(client.longest_s for client in answering) < LONGEST_ANSWER_S


def landed(connection: psycopg.Connection, source: str) -> set[int]:
    """The numbers of a client's events in the tables."""
    query = """
        SELECT seq FROM raw.occupancy_events WHERE site_id = %(source)s
        UNION SELECT total_in_area FROM raw.traffic_counts WHERE stream_id::text = %(source)s
    """
    return {int(number) for (number,) in connection.execute(query, {"source": source})}


def bury(bootstrap_servers: str, value: bytes) -> None:
    """What the bridge does with a message that it refuses."""
    producer = KafkaProducer(bootstrap_servers=bootstrap_servers)
    facts = {"topic": "oms/v1/occupancy", "stage": "gateway", "class.name": "not_json", "exception.message": "no JSON"}
    producer.send("occupancy.events.dlq", value=value, headers=to_headers(facts)).get(20)
    producer.close()


def is_listed(connection: psycopg.Connection, value: bytes) -> bool:
    query = "SELECT 1 FROM ingest.rejected_messages WHERE value = %s"
    return connection.execute(query, [value]).fetchone() is not None


def test_while_kafka_is_away_a_lander_gives_up_its_rejects_in_hand_and_ends_when_it_is_told_to(
    kafka: LocalKafka, database_url: str, tmp_path: Path
) -> None:
    """The supervisor waits for ten seconds before it kills."""
    environment = {
        **os.environ, "DATABASE_URL": database_url, "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "PLIMSOLL_LANDER_METRICS_PORT": "0", "PLIMSOLL_HOME": str(tmp_path),
    }  # fmt: skip
    contracts = load_contracts(PROJECT_DIR / "data" / "contracts")
    reject = Reject(
        Message("occupancy.events", 0, 0, datetime.now(UTC), None, b"{}"), "decode", InvalidEvent("empty", "test")
    )
    letters = DeadLetters(kafka.bootstrap_servers, contracts)
    letters.send([reject])
    log = tmp_path / "lander.log"
    lander = Child("lander", [sys.executable, "-m", "plimsoll", "lander", "run"], log_path=log, env=environment)
    try:
        await_ready(lander, lambda: " landing " in log.read_text(), 60)
        kafka.stop()
        await_ready(lander, lambda: "nothing can land because of Kafka" in log.read_text(), 60)
        os.kill(lander.pid, signal.SIGTERM)
        ended = lander.wait(LANDER_GRACE_S)
        said = lander.log_tail()
    finally:
        lander.stop()
    assert ended, f"it still runs:\n{said}"
    assert lander.exit_code == 0, said

    started = time.monotonic()
    with pytest.raises(KafkaError):
        letters.send([reject])
    letters.close()
    assert time.monotonic() - started < 20
