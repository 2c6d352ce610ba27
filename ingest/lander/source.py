"""Where messages come from: Kafka through kafka-python, behind the few methods that the lander needs."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ingest.lander.landing import Message
from plimsoll.errors import PlimsollError

log = logging.getLogger(__name__)
Partition = tuple[str, int]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What the client may keep beside the batch in hand; with one batch this bounds the lander's memory.
FETCH_BYTES = 16 * 1024 * 1024
PARTITION_FETCH_BYTES = 4 * 1024 * 1024


class PositionsLost(Exception):
    """The consumer's positions are not the ledger's (any more): open the partitions it holds and seek each."""


class KafkaSource:
    """A consumer in the landers' group whose positions are set by the ledger, not by Kafka's commits.

    Args:
        bootstrap_servers: `host:port[,host:port]`.
        topics: what to subscribe to; they exist.
        group: the consumer group of all landers that share one ledger.
        name: a name for this member of the group; a lander that comes back under its name takes its partitions back
            at once, an unnamed one only when the group has given up its predecessor (6 s).
    """

    def __init__(self, bootstrap_servers: str, topics: Iterable[str], group: str, name: str | None = None) -> None:
        from kafka import ConsumerRebalanceListener, KafkaConsumer
        from kafka.admin import KafkaAdminClient
        from kafka.errors import KafkaError

        self._topics = list(topics)
        self._positions_lost = False

        class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
            def on_partitions_revoked(_, revoked: Any) -> None:
                """A rejoin begins; nothing is in flight, because batches are written between polls.

                kafka-python 3.0 forgets a rejoin that it began because a topic changed when the poll times out before
                the group has answered: the lander would hold nothing for ever. A requested rejoin is remembered until
                it is complete (the same fault in Kafka's own client was KAFKA-9815).
                """
                self._consumer._coordinator.request_rejoin()

            def on_partitions_assigned(_, assigned: Any) -> None:
                # This is the client's IO thread, which must not block: `poll` tells the lander.
                self._positions_lost = True

        try:
            self._admin = KafkaAdminClient(bootstrap_servers=bootstrap_servers, client_id="plimsoll-lander")
            self._consumer = KafkaConsumer(
                bootstrap_servers=bootstrap_servers,
                client_id="plimsoll-lander",
                group_id=group,
                group_instance_id=name,
                enable_auto_commit=False,
                auto_offset_reset="none",  # never jump: what is out of range is a matter for the ledger
                fetch_max_wait_ms=20,
                fetch_max_bytes=FETCH_BYTES,
                max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
                metadata_max_age_ms=5_000,
                session_timeout_ms=6_000,
                heartbeat_interval_ms=2_000,
            )
        except KafkaError as error:
            raise PlimsollError(f"Kafka at {bootstrap_servers} cannot be reached: {error}") from error
        for topic in self._topics:
            # A member that leads its first join without knowing the topics would share out nothing at first.
            self._consumer.partitions_for_topic(topic)
        self._consumer.subscribe(topics=self._topics, listener=Listener())

    def poll(self, max_messages: int, timeout_ms: int) -> list[Message]:
        """Up to `max_messages` messages; empty when none came within the time.

        Raises:
            PositionsLost: what is held has changed, or Kafka does not have what comes next.
            kafka.errors.KafkaError: the broker cannot be asked.
        """
        from kafka.errors import NoOffsetForPartitionError, OffsetOutOfRangeError

        try:
            polled = self._consumer.poll(timeout_ms=timeout_ms, max_records=max_messages)
        except (NoOffsetForPartitionError, OffsetOutOfRangeError) as error:
            self._positions_lost = False
            raise PositionsLost(str(error)) from error
        if self._positions_lost:
            # What this poll brought was read from Kafka's idea of the position; the ledger's is the true one.
            self._positions_lost = False
            raise PositionsLost("partitions were assigned")
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

    def bounds(self, partitions: Iterable[Partition]) -> dict[Partition, tuple[int, int]]:
        """The oldest offset that the broker still has, and the one after its newest."""
        from kafka import TopicPartition

        wanted = [TopicPartition(*p) for p in partitions]
        first, end = self._consumer.beginning_offsets(wanted), self._consumer.end_offsets(wanted)
        return {(p.topic, p.partition): (first[p], end[p]) for p in wanted}

    def cluster_id(self) -> str:
        """The cluster that answers.

        Raises:
            kafka.errors.KafkaError: the broker cannot be asked.
        """
        return str(self._admin.describe_cluster()["cluster_id"])

    def topic_ids(self) -> dict[str, str]:
        """Each topic that exists and its id, which is another one when the topic is created again.

        Raises:
            kafka.errors.KafkaError: the broker cannot be asked.
        """
        described = self._admin.describe_topics(self._topics)
        return {t["name"]: str(t["topic_id"]) for t in described if not t["error_code"] and t.get("topic_id")}

    def commit(self, next_offsets: Mapping[Partition, int]) -> None:
        """Tell Kafka how far the ledger is, for lag monitors; a failure does no harm and is only logged."""
        from kafka import OffsetAndMetadata, TopicPartition

        offsets = {TopicPartition(*p): OffsetAndMetadata(offset, "", -1) for p, offset in next_offsets.items()}
        self._consumer.commit_async(offsets, callback=_log_failed_commit)

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()
        self._admin.close()


def _log_failed_commit(_: object, response: object) -> None:
    if isinstance(response, Exception):
        log.debug("offsets were not committed to Kafka: %s", response)
