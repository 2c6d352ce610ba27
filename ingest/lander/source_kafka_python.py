"""Messages through kafka-python."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from ingest.lander.landing import Message
from ingest.lander.source import (
    FETCH_BYTES,
    FETCH_MIN_BYTES,
    FETCH_WAIT_MS,
    HEARTBEAT_MS,
    METADATA_AGE_MS,
    PARTITION_FETCH_BYTES,
    SESSION_TIMEOUT_MS,
    Partition,
    PositionsLost,
    broker_time,
)
from plimsoll.contracts.topics import PATIENCE_MS
from plimsoll.errors import PlimsollError

log = logging.getLogger(__name__)


class KafkaPythonSource:
    """A `Source` on kafka-python's consumer; arguments as for `open_source`."""

    def __init__(self, bootstrap_servers: str, topics: Iterable[str], group: str, name: str | None) -> None:
        from kafka import ConsumerRebalanceListener, KafkaConsumer
        from kafka.errors import KafkaError

        self._positions_lost = False

        class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
            def on_partitions_revoked(_, revoked: Any) -> None:
                """A rejoin begins; what is in flight of these partitions, the ledger fences.

                kafka-python 3.0 forgets a rejoin that it began because a topic changed when the poll times out before
                the group has answered: the lander would hold nothing for ever. A requested rejoin is remembered until
                it is complete (the same fault in Kafka's own client was KAFKA-9815).
                """
                self._consumer._coordinator.request_rejoin()

            def on_partitions_assigned(_, assigned: Any) -> None:
                # This is the client's IO thread, which must not block: `poll` tells the lander.
                self._positions_lost = True

        try:
            self._consumer = KafkaConsumer(
                bootstrap_servers=bootstrap_servers,
                client_id="plimsoll-lander",
                group_id=group,
                group_instance_id=name,
                enable_auto_commit=False,
                auto_offset_reset="none",  # never jump: what is out of range is a matter for the ledger
                isolation_level="read_committed",
                fetch_min_bytes=FETCH_MIN_BYTES,
                fetch_max_wait_ms=FETCH_WAIT_MS,
                fetch_max_bytes=FETCH_BYTES,
                max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
                metadata_max_age_ms=METADATA_AGE_MS,
                reconnect_backoff_max_ms=1_000,  # by default a broker that is back is found up to 30 s later
                session_timeout_ms=SESSION_TIMEOUT_MS,
                heartbeat_interval_ms=HEARTBEAT_MS,
            )
        except KafkaError as error:
            raise PlimsollError(f"Kafka at {bootstrap_servers} cannot be reached: {error}") from error
        topics = list(topics)
        for topic in topics:
            # A member that leads its first join without knowing the topics would share out nothing at first.
            self._consumer.partitions_for_topic(topic)
        self._consumer.subscribe(topics=topics, listener=Listener())

    def poll(self, max_messages: int, timeout_ms: int) -> list[Message]:
        """See `Source`."""
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
            Message(r.topic, r.partition, r.offset, broker_time(r.timestamp), r.key, r.value)
            for records in polled.values()
            for r in records
        ]

    def positions(self) -> dict[Partition, int]:
        """See `Source`."""
        from kafka import TopicPartition
        from kafka.errors import IllegalStateError, NoOffsetForPartitionError

        try:
            found = {p: self._consumer.position(TopicPartition(*p), timeout_ms=0) for p in self.assigned()}
        except (IllegalStateError, NoOffsetForPartitionError) as error:  # taken away or given anew meanwhile
            raise PositionsLost(str(error)) from error
        if self._positions_lost:  # looked at last: what is assigned anew has Kafka's idea of the position
            raise PositionsLost("partitions were assigned")
        return {partition: offset for partition, offset in found.items() if offset is not None}

    def assigned(self) -> list[Partition]:
        """See `Source`."""
        return sorted((p.topic, p.partition) for p in self._consumer.assignment())

    def start(self, offsets: Mapping[Partition, int]) -> None:
        """See `Source`."""
        from kafka import TopicPartition

        for partition, offset in offsets.items():
            try:
                self._consumer.seek(TopicPartition(*partition), offset)
            except ValueError as error:  # the group has taken it back since the caller looked
                raise PositionsLost(f"{partition[0]}[{partition[1]}] is not held any more") from error

    def commit(self, next_offsets: Mapping[Partition, int]) -> None:
        """See `Source`."""
        from kafka import OffsetAndMetadata, TopicPartition

        offsets = {TopicPartition(*p): OffsetAndMetadata(offset, "", -1) for p, offset in next_offsets.items()}
        self._consumer.commit_async(offsets, callback=_log_failed_commit)

    def close(self) -> None:
        """See `Source`."""
        self._consumer.close(timeout_ms=PATIENCE_MS)


def _log_failed_commit(_: object, response: object) -> None:
    if isinstance(response, Exception):
        log.debug("offsets were not committed to Kafka: %s", response)
