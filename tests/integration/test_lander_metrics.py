"""What a running lander tells Prometheus and Dagster of its work."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
import uuid

import psycopg
import pytest
from kafka import KafkaProducer
from prometheus_client.parser import text_string_to_metric_families

from orchestration.streams import ends_if_known, stream_state
from plimsoll.contracts import load_contracts
from plimsoll.contracts.topics import end_offsets
from plimsoll.settings import PROJECT_DIR
from plimsoll.stack.local import LocalStack
from plimsoll.stack.ports import free_port

pytestmark = pytest.mark.integration
TOPIC = "device.heartbeats"
COUNTERS = ("plimsoll_lander_rows_total", "plimsoll_lander_rejects_total")


def scraped(port: int) -> dict[tuple[str, ...], float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        families = text_string_to_metric_families(answer.read().decode())
        # Labels in the reverse order of their names, which puts the topic first.
        return {
            (s.name, *(text for _, text in sorted(s.labels.items(), reverse=True))): s.value
            for family in families
            for s in family.samples
        }


def scraped_once_landed(port: int, messages: int) -> dict[tuple[str, ...], float]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            found = scraped(port)
        except OSError:
            found = {}
        if sum(value for key, value in found.items() if key[0] in COUNTERS and key[1] == TOPIC) >= messages:
            return found
        time.sleep(0.1)
    raise AssertionError(f"no metrics of {messages} landed or refused messages within a minute")


def test_a_landers_rows_rejects_and_lag_are_at_its_metrics_and_in_dagsters_figures(
    stack: LocalStack, connection: psycopg.Connection, platform_env: dict[str, str]
) -> None:
    contract = load_contracts(PROJECT_DIR / "data" / "contracts")[TOPIC]
    producer = KafkaProducer(bootstrap_servers=stack.bootstrap_servers)
    event = json.dumps({"device_id": uuid.uuid4().hex, contract.event_time: "2026-01-15T12:00:00Z"}).encode()
    for value in (event, event, b"{"):
        producer.send(TOPIC, value=value)
    producer.flush()
    producer.close()
    port = free_port()
    command = [sys.executable, "-m", "plimsoll", "lander", "run"]
    lander = subprocess.Popen(command, env=platform_env | {"PLIMSOLL_LANDER_METRICS_PORT": str(port)})
    try:
        found = scraped_once_landed(port, sum(end_offsets(stack.bootstrap_servers, [TOPIC]).values()))
    finally:
        lander.terminate()
        lander.wait(20)

    rejects = {key[2]: value for key, value in found.items() if key[:2] == (COUNTERS[1], TOPIC)}
    assert found[COUNTERS[0], TOPIC] >= 2
    assert rejects["not_json"] >= 1
    assert found["plimsoll_lander_batch_seconds_count",] >= 1
    assert time.time() - found["plimsoll_lander_last_landing_timestamp_seconds",] < 60
    lags = [value for key, value in found.items() if key[:2] == ("plimsoll_lander_partition_lag_messages", TOPIC)]
    assert len(lags) == contract.partitions

    state = stream_state(connection, contract, ends_if_known(stack.bootstrap_servers, [contract]))
    # There, what the gateways refused counts as well.
    assert all(state.rejects[reason] >= number for reason, number in rejects.items())
    assert state.lag == dict.fromkeys(range(contract.partitions), 0)


def test_a_lander_whose_metrics_port_is_taken_lands_all_the_same(
    platform_env: dict[str, str], stack: LocalStack
) -> None:
    taken = stack.bootstrap_servers.rpartition(":")[2]

    done = subprocess.run(
        [sys.executable, "-m", "plimsoll", "lander", "run", "--until-caught-up"],
        env=platform_env | {"PLIMSOLL_LANDER_METRICS_PORT": taken}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip

    assert done.returncode == 0
    assert "PLIMSOLL_LANDER_METRICS_PORT chooses another port" in done.stderr
