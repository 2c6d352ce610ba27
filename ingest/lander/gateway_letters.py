"""The dead letters of gateways: from `<topic>.dlq` into `ingest.rejected_messages`, each once.

A gateway that nobody waits for (MQTT) can only bury what it refuses. The lander's own dead letters are in the same
topics and in the table already: they are passed over.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import psycopg

from ingest.dead_letter_headers import from_headers
from ingest.lander.cluster import Cluster
from ingest.lander.landing import first_line, storable
from ingest.lander.ledger import FencedError, Position, advance, created_again, open_position
from ingest.lander.session import open_session
from ingest.lander.source import Partition
from plimsoll.contracts import Contract
from plimsoll.contracts.topics import PATIENCE_MS
from plimsoll.errors import PlimsollError

log = logging.getLogger(__name__)
POLL_MS = 500
MAX_BATCH = 1_000
MIN_BACKOFF_S, MAX_BACKOFF_S = 0.5, 10.0
STAGE = "gateway"


class GatewayLetters:
    """Lands what gateways buried, until it is stopped.

    Every lander process may run one: the ledger lets only the first of them write a message. They are few, so no group
    shares the topics out.
    """

    def __init__(self, database_url: str, bootstrap_servers: str, contracts: Mapping[str, Contract]) -> None:
        self._database_url = database_url
        self._bootstrap_servers = bootstrap_servers
        self._topics = {contract.dead_letter_topic: topic for topic, contract in contracts.items()}
        self._stop = threading.Event()

    def stop(self) -> None:
        """Ask it to end; safe to call from a signal handler."""
        self._stop.set()

    def run(self, until_caught_up: bool = False) -> None:
        """Land until stopped, or until all that is in the topics now has been landed; trouble is waited out."""
        from kafka.errors import KafkaError

        wait_s = MIN_BACKOFF_S
        while not self._stop.is_set():
            try:
                self._session(until_caught_up)
                return
            except FencedError as error:
                log.debug("%s; reading the ledger again", error)
                wait_s = MIN_BACKOFF_S
            except (psycopg.Error, KafkaError, PlimsollError) as error:
                log.error("dead letters of gateways wait: %s; trying again in %.1f s", first_line(error), wait_s)
                wait_s = min(wait_s * 2, MAX_BACKOFF_S)
            self._stop.wait(wait_s)

    def _session(self, until_caught_up: bool) -> None:
        from kafka import KafkaConsumer, TopicPartition

        with (
            closing(Cluster(self._bootstrap_servers, self._topics)) as cluster,
            closing(
                KafkaConsumer(
                    bootstrap_servers=self._bootstrap_servers,
                    client_id="plimsoll-dead-letters",
                    enable_auto_commit=False,
                    auto_offset_reset="none",
                    isolation_level="read_committed",
                    bootstrap_timeout_ms=PATIENCE_MS,
                    request_timeout_ms=PATIENCE_MS,
                )
            ) as consumer,
            open_session(self._database_url, "plimsoll-dead-letters") as to,
        ):
            positions, ends = self._open(to, cluster)
            consumer.assign([TopicPartition(*p) for p in positions])
            for partition, position in positions.items():
                consumer.seek(TopicPartition(*partition), position.next_offset)
            while not self._stop.is_set():
                if until_caught_up and all(consumer.position(TopicPartition(*p)) >= end for p, end in ends.items()):
                    return
                polled = consumer.poll(timeout_ms=POLL_MS, max_records=MAX_BATCH)
                records = [record for batch in polled.values() for record in batch]
                if records:
                    self._require_same_topics(cluster, positions)
                    self._land(to, records, positions)

    def _open(self, to: psycopg.Connection, cluster: Cluster) -> tuple[dict[Partition, Position], dict[Partition, int]]:
        """Where the ledger is, and where the topics end now."""
        cluster_id, topic_ids = cluster.cluster_id(), cluster.topic_ids()
        bounds = cluster.bounds((topic, 0) for topic in topic_ids)
        positions = {
            p: open_position(to, *p, cluster_id, topic_ids[p[0]], first, end, partial(cluster.end, p))
            for p, (first, end) in bounds.items()
        }
        return positions, {partition: end for partition, (_, end) in bounds.items()}

    def _require_same_topics(self, cluster: Cluster, positions: Mapping[Partition, Position]) -> None:
        if position := created_again(positions.values(), cluster.topic_ids()):
            raise FencedError(position)

    def _land(self, to: psycopg.Connection, records: Sequence[Any], positions: dict[Partition, Position]) -> None:
        targets = {positions[record.topic, record.partition]: record.offset + 1 for record in records}
        landed_at = max([datetime.now(UTC), *(p.landed_at + timedelta(microseconds=1) for p in targets)])
        with to.transaction(), to.cursor() as cursor:
            moved = advance(to, targets, landed_at)
            cursor.executemany(
                """
                INSERT INTO ingest.rejected_messages
                    (topic, partition, "offset", stage, reason_code, field, reason, key, value, broker_at, address,
                     tenant_id)
                VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, to_timestamp(%s / 1000.0), %s, %s)
                """,
                [row for record in records if (row := self._row(record))],
            )
        positions.update({(position.topic, position.partition): position for position in moved})

    def _row(self, record: Any) -> tuple[Any, ...] | None:
        facts = {name: storable(value) for name, value in from_headers(record.headers).items()}
        if facts.get("stage") != STAGE:
            return None
        field = facts.get("field")
        reason = (facts.get("exception.message") or "").removeprefix(f"{field}: ")
        return (self._topics[record.topic], record.partition, record.offset, STAGE, facts.get("class.name", "unknown"),
                field, reason, record.key, record.value, record.timestamp, facts.get("topic"),
                facts.get("tenant_id"))  # fmt: skip
