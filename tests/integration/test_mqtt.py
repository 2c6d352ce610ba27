"""MQTT in, through a real Mosquitto and a real Kafka: what was published is in Kafka, or refused with its reason.

What happens while Kafka is away: `test_kafka_outage`.
"""

from __future__ import annotations

import json
import os
import pwd
import shlex
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ingest.gateways.signatures import sign
from plimsoll.stack.local import LocalStack
from plimsoll.stack.mosquitto import LocalMosquitto, local_mosquitto
from plimsoll.stack.ports import free_port
from plimsoll.stack.process import Child
from plimsoll.stack.readiness import await_ready, port_ready

mqtt = pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not LocalMosquitto.is_installed() or shutil.which("mosquitto_pub") is None,
        reason="Mosquitto or its clients are not installed (apt-get install mosquitto mosquitto-clients)",
    ),
]
Plimsoll = Callable[..., subprocess.CompletedProcess[str]]
SECRET = "correct-horse-battery-staple-0001"
BUS_EVENT = {
    "bus_code": "TJ", "door_id": 1, "in_count": 3, "out_count": 1, "occupancy": 37,
    "ts_device": "2025-01-15T12:34:56Z", "device_id": "EDGE-A1B2", "fw_version": "1.7.3", "sig": "HMAC_SHA256_BASE64",
}  # fmt: skip


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMosquitto]:
    with LocalMosquitto(tmp_path_factory.mktemp("mqtt"), free_port()) as running:
        yield running


@pytest.fixture
def bridge(broker: LocalMosquitto, platform_env: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Child]]:
    """Starts bridges under the one name that the broker knows; they are stopped at the end."""
    started: list[Child] = []

    def start(**environment: str) -> Child:
        child = Child(
            "bridge", [sys.executable, "-m", "plimsoll", "mqtt", "run"],
            log_path=tmp_path / f"bridge-{len(started)}.log", env=platform_env | broker.addresses | environment,
        )  # fmt: skip
        started.append(child)
        await_log(child, "connected to MQTT")
        return child

    yield start
    for child in started:
        child.stop()


@pytest.fixture
def publish(broker: LocalMosquitto) -> Iterator[Callable[..., None]]:
    """Publishes at QoS 1 and waits until the broker has every message."""
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()

    def send(topic: str, *payloads: dict[str, Any] | bytes) -> None:
        sent = [client.publish(topic, p if isinstance(p, bytes) else json.dumps(p).encode(), qos=1) for p in payloads]
        for info in sent:
            info.wait_for_publish(30)
            assert info.is_published()

    yield send
    client.disconnect()
    client.loop_stop()


def await_true(condition: Callable[[], bool], what: str, timeout_s: float = 20) -> None:
    deadline, pause = time.monotonic() + timeout_s, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s} s"
        pause.wait(0.05)


def await_log(child: Child, words: str, timeout_s: float = 20) -> None:
    try:
        await_true(lambda: words in child.log_tail(1000), f"the bridge says '{words}'", timeout_s)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{child.log_tail(40)}") from None


def in_kafka(bootstrap_servers: str, site: str, wanted: int) -> list[int]:
    """The sequence numbers of a site's events in Kafka, once there are as many distinct ones as wanted."""
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(bootstrap_servers=bootstrap_servers, enable_auto_commit=False)
    found: list[int] = []

    def enough() -> bool:
        for records in consumer.poll(timeout_ms=100).values():
            # The topic is shared with tests that send worse than this one.
            found.extend(json.loads(r.value)["seq"] for r in records if r.value and site.encode() in r.value)
        return len(set(found)) >= wanted

    try:
        partitions = [TopicPartition("occupancy.events", n) for n in consumer.partitions_for_topic("occupancy.events")]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        await_true(enough, f"{wanted} events of {site} in Kafka", 40)
    finally:
        consumer.close()
    return sorted(found)


def dead_letters(stack: LocalStack, mark: str, wanted: int) -> list[tuple[bytes, dict[str, str]]]:
    """Value and headers of the dead letters whose MQTT topic or value holds the mark."""
    from kafka import KafkaConsumer

    consumer = KafkaConsumer(
        "occupancy.events.dlq", "device.status.dlq", "device.heartbeats.dlq", bootstrap_servers=stack.bootstrap_servers,
        auto_offset_reset="earliest", enable_auto_commit=False,
    )  # fmt: skip
    found: list[tuple[bytes, dict[str, str]]] = []

    def enough() -> bool:
        for records in consumer.poll(timeout_ms=200).values():
            for record in records:
                headers = {name: value.decode() for name, value in record.headers}
                if mark.encode() in record.value or mark in headers["__connect.errors.topic"]:
                    found.append((record.value, headers))
        return len(found) >= wanted

    try:
        await_true(enough, f"{wanted} dead letters of {mark}")
    finally:
        consumer.close()
    return found


def test_the_documented_mosquitto_pub_line_works_unchanged(
    stack: LocalStack,
    broker: LocalMosquitto,
    bridge: Callable[..., Child],
    connection: psycopg.Connection,
    plimsoll: Plimsoll,
) -> None:
    bridge()
    site = f"TJ-{uuid.uuid4().hex[:8]}"
    line = f"""mosquitto_pub -h localhost -p {broker.port} -t "/oms/v1/occupancy" -m '{{
  "bus_id": "{site}",
  "bus_code": "TJ",
  "door_id": 1,
  "in_count": 3,
  "out_count": 1,
  "occupancy": 37,
  "seq": 1,
  "ts_device": "2025-01-15T12:34:56Z",
  "device_id": "EDGE-A1B2",
  "fw_version": "1.7.3",
  "sig": "HMAC_SHA256_BASE64"
}}'"""

    subprocess.run(shlex.split(line), check=True, timeout=10)

    assert in_kafka(stack.bootstrap_servers, site, 1) == [1]
    plimsoll("lander", "run", "--until-caught-up")
    row = connection.execute(
        "SELECT tenant_id, device_id, occupancy, extra FROM raw.occupancy_events WHERE site_id = %s", [site]
    ).fetchone()
    assert row == ("default", "EDGE-A1B2", 37, {"bus_code": "TJ"})


def test_status_and_heartbeat_take_their_device_from_the_topic(
    bridge: Callable[..., Child], publish: Callable[..., None], connection: psycopg.Connection, plimsoll: Plimsoll
) -> None:
    bridge()
    device = f"edge-{uuid.uuid4().hex[:8]}"

    publish(f"/oms/v1/device/{device}/status", {"status": "error", "error_code": "E7"})
    publish(f"oms/v1/device/{device}/heartbeat", {"uptime_s": 86_400, "battery": 77.5})

    def live() -> bool:
        plimsoll("lander", "run", "--until-caught-up")
        query = "SELECT status, error_code, uptime_s FROM live.device WHERE device_id = %s"
        return connection.execute(query, [device]).fetchone() == ("error", "E7", 86_400)

    await_true(live, "the device's live state")


def test_poison_goes_to_the_dead_letters_with_its_reason_and_what_follows_is_taken(
    bridge: Callable[..., Child],
    publish: Callable[..., None],
    stack: LocalStack,
    connection: psycopg.Connection,
) -> None:
    bridge()
    site = f"TJ-{uuid.uuid4().hex[:8]}"
    signer = f"edge-{uuid.uuid4().hex[:8]}"
    connection.execute(
        "INSERT INTO registry.devices (tenant_id, device_id, secret) VALUES ('default', %s, %s)", [signer, SECRET]
    )
    good = BUS_EVENT | {"bus_id": site}
    signed = good | {"device_id": signer, "seq": 2}
    del signed["sig"]
    poison = {
        "not_json": f'{{"bus_id": "{site}"'.encode(),
        "invalid_field": json.dumps(good | {"in_count": -1}).encode(),
        "too_deep": b"[" * 100_000 + site.encode(),
        "nul_character": json.dumps(good | {"fw_version": "a\x00b"}).encode(),
        "bad_signature": json.dumps(signed | {"sig": sign(signed, "another")}).encode(),
    }

    publish("oms/v1/occupancy", good | {"seq": 1}, *poison.values(), signed | {"sig": sign(signed, SECRET)})
    publish(f"oms/v1/device/{site}/status", b"\xff\xfe")

    assert in_kafka(stack.bootstrap_servers, site, 2) == [1, 2]
    letters = dead_letters(stack, site, len(poison) + 1)
    assert {value for value, _ in letters} == {*poison.values(), b"\xff\xfe"}
    assert {h["__connect.errors.class.name"] for _, h in letters} == set(poison)
    reasons = {h["__connect.errors.class.name"]: h["__connect.errors.exception.message"] for _, h in letters}
    assert reasons["bad_signature"] == "sig: does not fit this payload and device"
    assert {h["__connect.errors.stage"] for _, h in letters} == {"gateway"}


@pytest.mark.parametrize("topic", ["oms/v1/device//status", "/oms/v1/device//heartbeat"])
def test_a_topic_with_an_empty_device_is_a_dead_letter_and_what_follows_is_taken(
    bridge: Callable[..., Child], publish: Callable[..., None], stack: LocalStack, topic: str
) -> None:
    bridge()
    site = f"TJ-{uuid.uuid4().hex[:8]}"
    report = json.dumps({"status": "online", "device_id": site}).encode()

    publish(topic, report)
    publish("oms/v1/occupancy", BUS_EVENT | {"bus_id": site, "seq": 1})

    assert in_kafka(stack.bootstrap_servers, site, 1) == [1]
    [(value, headers)] = dead_letters(stack, site, 1)
    assert value == report
    assert [headers[f"__connect.errors.{name}"] for name in ("topic", "class.name", "field")] == [
        topic, "invalid_field", "device_id",
    ]  # fmt: skip


def test_a_payload_that_is_too_large_for_a_dead_letter_is_buried_in_part_and_does_not_come_again(
    bridge: Callable[..., Child], publish: Callable[..., None], stack: LocalStack
) -> None:
    """It would end the session and be sent again in the next one, for ever."""
    bridge(PLIMSOLL_MAX_BODY_BYTES="2000000")
    site = f"TJ-{uuid.uuid4().hex[:8]}"
    large = f"{site} {'x' * 1_048_500}".encode()
    wordy = json.dumps(BUS_EVENT | {"bus_id": site, "count_mode": "x" * 550_000}).encode()

    publish("oms/v1/occupancy", large, wordy, BUS_EVENT | {"bus_id": site, "seq": 1})

    assert in_kafka(stack.bootstrap_servers, site, 1) == [1]
    letters = dict(dead_letters(stack, site, 2))
    assert set(letters) == {large[:65_536], wordy}
    assert letters[large[:65_536]]["__connect.errors.truncated"] == f"{len(large)} bytes"


def test_refusals_are_listed_and_replayed_once_when_the_registry_has_learned_of_the_device(
    bridge: Callable[..., Child],
    publish: Callable[..., None],
    stack: LocalStack,
    connection: psycopg.Connection,
    plimsoll: Plimsoll,
) -> None:
    """A replay asks for a fitting signature as the bridge does, and takes the device from the MQTT topic again."""
    bridge()
    site, device = f"TJ-{uuid.uuid4().hex[:8]}", f"edge-{uuid.uuid4().hex[:8]}"
    connection.execute(
        "INSERT INTO registry.devices (tenant_id, device_id, secret) VALUES ('default', %s, 'not-its-secret')", [device]
    )
    event = {k: v for k, v in BUS_EVENT.items() if k != "sig"} | {"bus_id": site, "device_id": device, "seq": 7}
    signed, forged = (json.dumps(event | {"sig": sign(event, key)}).encode() for key in (SECRET, "forged"))
    report = {"status": "error", "error_code": "E7", "ts": "2026-01-15T12:00:00Z"}
    publish("oms/v1/occupancy", signed, forged)
    publish(f"/oms/v1/device/{device}/status", report | {"sig": sign(report, SECRET)})
    dead_letters(stack, device, 3)

    plimsoll("lander", "run", "--until-caught-up")
    plimsoll("lander", "run", "--until-caught-up")
    kept = connection.execute(
        "SELECT topic, stage, reason_code, field, reason, address, tenant_id, value FROM ingest.rejected_messages"
        " WHERE value LIKE %s OR address LIKE %s ORDER BY rejected_id", [f"%{site}%".encode(), f"%{device}%"],
    ).fetchall()  # fmt: skip
    listed = plimsoll("rejects", "list", "--reason", "bad_signature", COLUMNS="160").stdout
    before = plimsoll("rejects", "replay", "--reason", "bad_signature").stdout
    connection.execute("UPDATE registry.devices SET secret = %s WHERE device_id = %s", [SECRET, device])
    after = [plimsoll("rejects", "replay", "--reason", "bad_signature").stdout for _ in range(2)]

    assert sorted(row[0] for row in kept) == ["device.status", "occupancy.events", "occupancy.events"]
    assert {row[1:5] for row in kept} == {("gateway", "bad_signature", "sig", "does not fit this payload and device")}
    assert {row[5:7] for row in kept} == {
        ("oms/v1/occupancy", "default"), (f"/oms/v1/device/{device}/status", "default"),
    }  # fmt: skip
    assert {signed, forged} <= {row[7] for row in kept}, "exactly as they came"
    assert "oms/v1/occupancy" in listed
    assert "landed 0 messages" in before
    assert [text.split(",")[0] for text in after] == ["landed 2 messages", "landed 0 messages"]
    landed = connection.execute("SELECT seq, extra FROM raw.occupancy_events WHERE site_id = %s", [site]).fetchall()
    assert landed == [(7, {"bus_code": "TJ"})]
    live = connection.execute("SELECT status FROM live.device WHERE device_id = %s", [device]).fetchall()
    assert live == [("error",)]


def test_what_comes_while_the_bridge_is_away_waits_at_the_broker_even_through_its_restart(
    stack: LocalStack,
    broker: LocalMosquitto,
    bridge: Callable[..., Child],
    publish: Callable[..., None],
) -> None:
    first = bridge()
    first.stop()
    assert first.exit_code == 0
    site = f"TJ-{uuid.uuid4().hex[:8]}"
    numbers = range(1, 3001)  # three times what Mosquitto keeps by default

    publish("oms/v1/occupancy", *(BUS_EVENT | {"bus_id": site, "seq": n} for n in numbers))
    broker.stop()
    broker.start()
    bridge()

    assert in_kafka(stack.bootstrap_servers, site, len(numbers)) == list(numbers)


def test_a_killed_bridge_loses_nothing(
    stack: LocalStack, bridge: Callable[..., Child], publish: Callable[..., None]
) -> None:
    site = f"TJ-{uuid.uuid4().hex[:8]}"
    events = [BUS_EVENT | {"bus_id": site, "seq": n} for n in range(1, 4001)]
    killed = bridge()
    burst = threading.Thread(target=publish, args=("oms/v1/occupancy", *events))

    burst.start()
    threading.Event().wait(0.3)  # somewhere in the burst
    subprocess.run(["kill", "-KILL", str(killed.pid)], check=True)
    burst.join()
    bridge()

    assert set(in_kafka(stack.bootstrap_servers, site, len(events))) == set(range(1, 4001))


def test_whoever_is_not_the_bridge_may_publish_and_not_read(
    broker: LocalMosquitto, publish: Callable[..., None]
) -> None:
    heard: dict[str, list[bytes]] = {"anybody": [], "bridge": []}
    ready = threading.Barrier(3)
    listeners = []
    for name, messages in heard.items():
        listener = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        if name == "bridge":
            listener.username_pw_set("plimsoll", broker.password)
        listener.on_subscribe = lambda *_: ready.wait(10)
        listener.on_message = lambda _, __, message, messages=messages: messages.append(message.payload)
        listener.connect("127.0.0.1", broker.port)
        listener.subscribe("oms/v1/#", qos=1)
        listener.loop_start()
        listeners.append(listener)
    ready.wait(10)

    publish("oms/v1/occupancy", b"a count")
    await_true(lambda: heard["bridge"] == [b"a count"], "the bridge hears it")
    for listener in listeners:
        listener.disconnect()
        listener.loop_stop()
    wrong = subprocess.run(
        ["mosquitto_pub", "-p", str(broker.port), "-u", "plimsoll", "-P", "guess", "-t", "x", "-m", ""],
        capture_output=True, text=True, timeout=10,
    )  # fmt: skip

    assert heard["anybody"] == []
    assert wrong.returncode != 0


@pytest.fixture
def tls_broker(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """Mosquitto as in production: TLS, nobody without a password; yields port and certificate."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed, which makes the certificate")
    home, port = tmp_path / "tls", free_port()
    home.mkdir()
    certificate, key, passwords = home / "cert.pem", home / "key.pem", home / "passwords"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    passwords.write_text("bridge:hidden\ndevice:known\n")
    tools = f"/usr/sbin:{os.environ['PATH']}"
    subprocess.run([shutil.which("mosquitto_passwd", path=tools) or "", "-U", passwords], check=True)
    user = pwd.getpwuid(os.geteuid()).pw_name
    (home / "conf").write_text(
        f"listener {port} 127.0.0.1\ncertfile {certificate}\nkeyfile {key}\nallow_anonymous false\n"
        f"password_file {passwords}\nuser {user}\nlog_dest stderr\n"
    )
    child = Child(
        "Mosquitto", [shutil.which("mosquitto", path=tools) or "", "-c", str(home / "conf")], log_path=home / "log"
    )
    await_ready(child, port_ready(port), 10)
    yield port, certificate
    child.stop()


def test_production_goes_through_tls_with_user_and_password(
    tls_broker: tuple[int, Path], stack: LocalStack, bridge: Callable[..., Child], connection: psycopg.Connection
) -> None:
    port, certificate = tls_broker
    device, site = f"edge-{uuid.uuid4().hex[:8]}", f"TJ-{uuid.uuid4().hex[:8]}"
    connection.execute(
        "INSERT INTO registry.devices (tenant_id, device_id, secret) VALUES ('default', %s, %s)", [device, SECRET]
    )
    bridge(
        PLIMSOLL_MODE="production", MQTT_URL=f"mqtts://localhost:{port}", PLIMSOLL_MQTT_CA_FILE=str(certificate),
        PLIMSOLL_MQTT_USERNAME="bridge", PLIMSOLL_MQTT_PASSWORD="hidden",
    )  # fmt: skip
    event = BUS_EVENT | {"bus_id": site, "device_id": device, "seq": 5}
    del event["sig"]
    line = ["mosquitto_pub", "-h", "localhost", "-p", str(port), "--cafile", str(certificate), "-q", "1",
            "-t", "oms/v1/occupancy", "-u", "device", "-P", "known", "-m"]  # fmt: skip

    stranger = json.dumps(BUS_EVENT | {"bus_id": site, "seq": 4})
    subprocess.run([*line, stranger], check=True, timeout=10)
    subprocess.run([*line, json.dumps(event | {"sig": sign(event, SECRET)})], check=True, timeout=10)

    assert in_kafka(stack.bootstrap_servers, site, 1) == [5]
    ((value, headers),) = dead_letters(stack, site, 1)
    assert (value, headers["__connect.errors.class.name"]) == (stranger.encode(), "unregistered_device")


def test_a_wrong_password_is_said_and_tried_again(
    broker: LocalMosquitto, platform_env: dict[str, str], tmp_path: Path
) -> None:
    environment = platform_env | broker.addresses | {"PLIMSOLL_MQTT_PASSWORD": "guess"}
    child = Child(
        "bridge", [sys.executable, "-m", "plimsoll", "mqtt", "run"], log_path=tmp_path / "b.log", env=environment
    )
    try:
        await_log(child, "refused the connection: Not authorized")
        assert child.exit_code is None
    finally:
        child.stop()


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"mqtt_url": "http://127.0.0.1"}, "write mqtt://host:1883"),
        ({"mqtt_url": "mqtt://me:hidden@127.0.0.1"}, "set PLIMSOLL_MQTT_USERNAME"),
        ({"mqtt_url": "mqtts://127.0.0.1", "mqtt_ca_file": Path("/no.pem")}, "PLIMSOLL_MQTT_CA_FILE=/no.pem cannot be"),
        ({"mqtt_url": "mqtt://127.0.0.1", "mode": "production"}, "production needs PLIMSOLL_MQTT_USERNAME"),
        ({"mqtt_url": None}, "install Mosquitto"),
    ],
)
def test_a_wrong_address_is_told_what_to_write(given: dict[str, Any], complaint: str) -> None:
    from ingest.gateways.mqtt import link_from
    from plimsoll.errors import PlimsollError
    from plimsoll.settings import Settings

    with pytest.raises(PlimsollError, match=complaint) as raised:
        link_from(Settings(**given))
    assert "hidden" not in str(raised.value)


def test_the_demo_goes_without_mqtt_where_its_port_is_taken(broker: LocalMosquitto, tmp_path: Path) -> None:
    from plimsoll.settings import Settings

    said: list[str] = []
    settings = Settings(home=tmp_path, mqtt_port=broker.port)
    with local_mosquitto(settings, said.append) as addresses:
        assert addresses == {}
    assert "PLIMSOLL_MQTT_PORT" in said[0]
