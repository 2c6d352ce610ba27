"""Producers that write in transactions: what they commit lands, what they abort does not; neither is lag for ever."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient

from plimsoll.contracts import load_contracts
from plimsoll.contracts.topics import create_topics
from plimsoll.settings import PROJECT_DIR
from plimsoll.stack.local import LocalStack

pytestmark = pytest.mark.integration
Plimsoll = Callable[..., subprocess.CompletedProcess[str]]
OCCUPANCY = PROJECT_DIR / "data" / "contracts" / "occupancy.events.yaml"


@pytest.fixture
def contracts_dir(stack: LocalStack, tmp_path: Path) -> Iterator[Path]:
    """The occupancy contract with a topic of its own: markers take offsets, which elsewhere are counted as messages."""
    topic = f"transactions.{uuid.uuid4().hex[:8]}"
    folder = tmp_path / "contracts"
    folder.mkdir()
    text = OCCUPANCY.read_text().replace("value: occupancy.events}", f"value: {topic}}}")
    (folder / OCCUPANCY.name).write_text(text)
    contracts = load_contracts(folder)
    create_topics(stack.bootstrap_servers, contracts.values())
    yield folder
    admin = KafkaAdminClient(bootstrap_servers=stack.bootstrap_servers)
    admin.delete_topics([topic, f"{topic}.dlq"])
    admin.close()


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_what_is_committed_lands_and_the_ends_of_transactions_are_no_lag(
    stack: LocalStack, connection: psycopg.Connection, plimsoll: Plimsoll, contracts_dir: Path, client: str
) -> None:
    """One partition ends with a transaction that was aborted, the others with one that was committed."""
    [topic] = load_contracts(contracts_dir)
    producer = KafkaProducer(bootstrap_servers=stack.bootstrap_servers, transactional_id=topic)
    producer.init_transactions()
    for number, (end, partitions) in enumerate([("commit", 3), ("abort", 3), ("commit", 3), ("abort", 1)]):
        producer.begin_transaction()
        event = {"site_id": topic, "ts_device": "2026-01-15T12:00:00Z", "occupancy": number}
        for message in range(20 * partitions):
            producer.send(topic, partition=message % partitions, value=json.dumps(event).encode())
        producer.flush()
        producer.commit_transaction() if end == "commit" else producer.abort_transaction()
    producer.close()
    environment = {
        "PLIMSOLL_CONTRACTS_DIR": str(contracts_dir), "PLIMSOLL_KAFKA_CLIENT": client, "PLIMSOLL_KAFKA_GROUP": topic
    }  # fmt: skip

    plimsoll("lander", "run", "--until-caught-up", timeout=30, **environment)
    plimsoll("lander", "wait", "--timeout", "1", **environment)

    landed = "SELECT occupancy, count(*) FROM raw.occupancy_events WHERE site_id = %s GROUP BY 1 ORDER BY 1"
    assert connection.execute(landed, [topic]).fetchall() == [(0, 60), (2, 60)]
