"""What gateways buried in the dead-letter topics is in the table once, however many landers look for it."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable

import psycopg
import pytest
from kafka import KafkaProducer

from ingest.dead_letter_headers import to_headers
from ingest.lander.cluster import Cluster
from ingest.lander.gateway_letters import GatewayLetters
from ingest.lander.source import Partition
from plimsoll.contracts import load_contracts
from plimsoll.settings import PROJECT_DIR
from plimsoll.stack.local import LocalStack

pytestmark = pytest.mark.integration
FACTS = {"topic": "oms/v1/occupancy", "stage": "gateway", "class.name": "bad_signature", "field": "sig",
         "exception.message": "sig: is missing", "tenant_id": "default"}  # fmt: skip


def bury(stack: LocalStack, letters: list[tuple[bytes, dict[str, str]]]) -> None:
    producer = KafkaProducer(bootstrap_servers=stack.bootstrap_servers, linger_ms=5)
    for value, facts in letters:
        producer.send("occupancy.events.dlq", value=value, headers=to_headers(facts))
    producer.flush()
    producer.close()


def take_in(stack: LocalStack, database_url: str, landers: int) -> None:
    contracts = load_contracts(PROJECT_DIR / "data" / "contracts")
    several = [GatewayLetters(database_url, stack.bootstrap_servers, contracts) for _ in range(landers)]
    threads = [threading.Thread(target=letters.run, args=[True], daemon=True) for letters in several]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_each_letter_is_taken_in_once_and_the_landers_own_are_passed_over(
    stack: LocalStack, database_url: str, connection: psycopg.Connection
) -> None:
    mark = uuid.uuid4().hex
    own = FACTS | {"topic": "occupancy.events", "stage": "decode"}
    first, second = (
        [(f"{mark} {n}".encode(), own if n % 10 == 0 else FACTS) for n in numbers]
        for numbers in (range(3_000), range(3_000, 3_100))
    )

    bury(stack, first)
    take_in(stack, database_url, landers=3)
    bury(stack, second)
    take_in(stack, database_url, landers=3)

    rows = connection.execute(
        "SELECT topic, stage, reason_code, field, reason, address, tenant_id, count(*), count(DISTINCT value),"
        ' count(DISTINCT "offset"), bool_and(broker_at > now() - interval \'5 minutes\')'
        " FROM ingest.rejected_messages WHERE value LIKE %s GROUP BY 1, 2, 3, 4, 5, 6, 7", [f"{mark}%".encode()],
    ).fetchall()  # fmt: skip
    assert rows == [("occupancy.events", "gateway", "bad_signature", "sig", "is missing", "oms/v1/occupancy", "default",
                     2_790, 2_790, 2_790, True)]  # fmt: skip


def test_a_letter_that_another_lander_takes_in_while_this_one_opens_its_ledger_is_taken_in_once(
    stack: LocalStack, database_url: str, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    mark = uuid.uuid4().hex.encode()
    bounds = Cluster.bounds

    def overtaken(cluster: Cluster, partitions: Iterable[Partition]) -> dict[Partition, tuple[int, int]]:
        found = bounds(cluster, partitions)
        monkeypatch.undo()
        bury(stack, [(mark, FACTS)])
        take_in(stack, database_url, landers=1)
        return found

    monkeypatch.setattr(Cluster, "bounds", overtaken)
    take_in(stack, database_url, landers=1)
    take_in(stack, database_url, landers=1)

    kept = connection.execute("SELECT count(*) FROM ingest.rejected_messages WHERE value = %s", [mark]).fetchone()
    assert kept == (1,)
    assert "Kafka has lost offsets" not in caplog.text


def test_a_letter_whose_headers_no_table_can_store_is_taken_in_all_the_same(
    stack: LocalStack, database_url: str, connection: psycopg.Connection
) -> None:
    mark = uuid.uuid4().hex.encode()
    bury(stack, [(mark + b"\x00\xff", {"topic": "oms/v1/device/\x00/status", "stage": "gateway"})])

    take_in(stack, database_url, landers=1)

    row = connection.execute(
        "SELECT reason_code, reason, address, tenant_id, value FROM ingest.rejected_messages WHERE value LIKE %s",
        [mark + b"%"],
    ).fetchone()
    assert row == ("unknown", "", "oms/v1/device/␀/status", None, mark + b"\x00\xff")
