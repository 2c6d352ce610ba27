"""Where messages come from: Kafka through kafka-python, behind the few methods that the lander needs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ingest.lander.landing import Message
from plimsoll.errors import PlimsollError

log = logging.getLogger(__name__)
Partition = tuple[str, int]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
GROUP_ID = "plimsoll-lander"


class KafkaSource:
    """A consumer in the landers' group whose positions are set by the ledger, not by Kafka's commits.

    Args:
        bootstrap_servers: `host:port[,host:port]`.
        topics: what to subscribe to; they exist.
        name: a name for this member of the group; a lander that comes back under its name takes its partitions back
            at once, an unnamed one only when the group has given up its predecessor (6 s).
        on_assigned: called from `poll` with the partitions now held, when they changed; it must `seek` each.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        topics: Iterable[str],
        on_assigned: Callable[[list[Partition]], None],
        name: str | None = None,
    ) -> None:
        from kafka import ConsumerRebalanceListener, KafkaConsumer
        from kafka.errors import KafkaError

        self._on_assigned = on_assigned
        self._reassigned = False

        class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
            def on_partitions_revoked(self, revoked: Any) -> None:
                """Nothing is in flight while the consumer polls: batches are written between polls."""

            def on_partitions_assigned(_, assigned: Any) -> None:
                # This is the client's IO thread, which must not block: `poll` tells the lander.
                self._reassigned = True

        try:
            self._consumer = KafkaConsumer(
                bootstrap_servers=bootstrap_servers,
                client_id="plimsoll-lander",
                group_id=GROUP_ID,
                group_instance_id=name,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                fetch_max_wait_ms=20,
                max_partition_fetch_bytes=4 * 1024 * 1024,
                session_timeout_ms=6_000,
                heartbeat_interval_ms=2_000,
            )
        except KafkaError as error:
            raise PlimsollError(f"Kafka at {bootstrap_servers} cannot be reached: {error}") from error
        self._bootstrap_servers = bootstrap_servers
        self._consumer.subscribe(topics=list(topics), listener=Listener())

    def poll(self, max_messages: int, timeout_ms: int) -> list[Message]:
        """Up to `max_messages` messages; empty when none came within the time."""
        polled = self._consumer.poll(timeout_ms=timeout_ms, max_records=max_messages)
        if self._reassigned:
            # What this poll brought was read from Kafka's idea of the position; the ledger's is the true one.
            self._reassigned = False
            self._on_assigned(self.assigned())
            return []
        return [
            Message(r.topic, r.partition, r.offset, _EPOCH + timedelta(milliseconds=r.timestamp), r.key, r.value)
            for records in polled.values()
            for r in records
        ]

    def seek(self, partition: Partition, offset: int) -> None:
        """Go on with an assigned partition from this offset."""
        from kafka import TopicPartition

        self._consumer.seek(TopicPartition(*partition), offset)

    def assigned(self) -> list[Partition]:
        """The partitions that this consumer holds now."""
        return sorted((p.topic, p.partition) for p in self._consumer.assignment())

    def first_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The oldest offset that the broker still has."""
        from kafka import TopicPartition

        found = self._consumer.beginning_offsets([TopicPartition(*p) for p in partitions])
        return {(p.topic, p.partition): offset for p, offset in found.items()}

    def identity(self, topics: Iterable[str]) -> tuple[str, dict[str, str]]:
        """The cluster's id and each topic's id, which changes when a topic is created again."""
        from kafka.admin import KafkaAdminClient

        admin = KafkaAdminClient(bootstrap_servers=self._bootstrap_servers)
        try:
            cluster_id = admin.describe_cluster()["cluster_id"]
            described = admin.describe_topics(list(topics))
        finally:
            admin.close()
        return cluster_id, {t["name"]: str(t.get("topic_id", "")) for t in described}

    def commit(self, next_offsets: Mapping[Partition, int]) -> None:
        """Tell Kafka how far the ledger is, for lag monitors; a failure does no harm and is only logged."""
        from kafka import OffsetAndMetadata, TopicPartition

        offsets = {TopicPartition(*p): OffsetAndMetadata(offset, "", -1) for p, offset in next_offsets.items()}
        self._consumer.commit_async(offsets, callback=_log_failed_commit)

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()


def _log_failed_commit(_: object, response: object) -> None:
    if isinstance(response, Exception):
        log.debug("offsets were not committed to Kafka: %s", response)
