"""Messages through confluent-kafka (librdkafka), which takes a tenth of the time per message: the extra `fast`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

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
from plimsoll.errors import PlimsollError

if TYPE_CHECKING:
    from confluent_kafka import TopicPartition

log = logging.getLogger(__name__)


class ConfluentSource:
    """A `Source` on librdkafka's consumer; arguments as for `open_source`.

    A partition that the group assigns is held, but fetched only once `start` says from where: librdkafka would begin
    at Kafka's commits.
    """

    def __init__(self, bootstrap_servers: str, topics: Iterable[str], group: str, name: str | None) -> None:
        try:
            from confluent_kafka import Consumer
        except ImportError as error:
            raise PlimsollError(
                "PLIMSOLL_KAFKA_CLIENT=confluent needs the package confluent-kafka: pip install 'plimsoll[fast]'"
            ) from error
        self._share: list[Partition] = []
        self._ends: dict[Partition, int] = {}
        self._positions_lost = False
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "client.id": "plimsoll-lander",
                "group.id": group,
                **({"group.instance.id": name} if name else {}),
                "isolation.level": "read_committed",
                "enable.partition.eof": True,  # its offset is the only word about what was passed over
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",  # never jump: what is out of range is a matter for the ledger
                "fetch.min.bytes": FETCH_MIN_BYTES,
                "fetch.wait.max.ms": FETCH_WAIT_MS,
                "fetch.max.bytes": FETCH_BYTES,
                "max.partition.fetch.bytes": PARTITION_FETCH_BYTES,
                "queued.max.messages.kbytes": FETCH_BYTES // 1024,
                "fetch.queue.backoff.ms": 5,  # by default a full queue stops the fetching for a second
                "check.crcs": True,
                "topic.metadata.refresh.interval.ms": METADATA_AGE_MS,
                "session.timeout.ms": SESSION_TIMEOUT_MS,
                "heartbeat.interval.ms": HEARTBEAT_MS,
                "reconnect.backoff.max.ms": 1_000,
                # Rebalances are eager as in kafka-python, so that one group may have members of both kinds.
                "partition.assignment.strategy": "range,roundrobin",
            },
            logger=logging.getLogger("kafka.librdkafka"),
        )
        self._consumer.subscribe(
            list(topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )

    def poll(self, max_messages: int, timeout_ms: int) -> list[Message]:
        """See `Source`."""
        from confluent_kafka import KafkaException
        from kafka.errors import KafkaError

        try:
            # `consume` waits until it has all it may return: wait for one, then take what is there.
            polled: list[Any] = self._consumer.consume(1, timeout_ms / 1000)
            if polled:
                polled += self._consumer.consume(max_messages - 1, 0)
        except KafkaException as error:
            raise KafkaError(str(error)) from error
        if self._positions_lost:
            # What this poll brought may be of partitions that were taken away since.
            self._positions_lost = False
            raise PositionsLost("partitions were assigned")
        return [
            Message(m.topic(), m.partition(), m.offset(), broker_time(m.timestamp()[1]), m.key(), m.value())
            for m in polled
            if m.error() is None or self._is_told(m)
        ]

    def _is_told(self, message: Any) -> bool:
        """Whether what came instead of a message can be passed over; librdkafka goes on by itself.

        Raises:
            PositionsLost: Kafka does not have the offset that comes next.
            kafka.errors.KafkaError: the consumer can do nothing any more.
        """
        from confluent_kafka import KafkaError as Code
        from kafka.errors import KafkaError

        error = message.error()
        if error.code() == Code._PARTITION_EOF:
            self._ends[message.topic(), message.partition()] = message.offset()
            return False
        if error.code() in (Code._AUTO_OFFSET_RESET, Code.OFFSET_OUT_OF_RANGE, Code._NO_OFFSET):
            raise PositionsLost(str(error))
        if error.fatal():
            raise KafkaError(str(error))
        log.debug("%s", error)
        return False

    def _on_assign(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        consumer.assign([])
        self._share = sorted((p.topic, p.partition) for p in partitions)
        self._positions_lost = True

    def _on_revoke(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        consumer.unassign()
        self._share = []
        self._ends.clear()

    def positions(self) -> dict[Partition, int]:
        """See `Source`."""
        return self._ends

    def assigned(self) -> list[Partition]:
        """See `Source`."""
        return self._share

    def start(self, offsets: Mapping[Partition, int]) -> None:
        """See `Source`."""
        from confluent_kafka import TopicPartition

        self._ends.clear()
        # A new assignment also drops what was fetched under the old one.
        self._consumer.assign([TopicPartition(*partition, offset) for partition, offset in offsets.items()])

    def commit(self, next_offsets: Mapping[Partition, int]) -> None:
        """See `Source`."""
        from confluent_kafka import KafkaException, TopicPartition

        try:
            self._consumer.commit(
                offsets=[TopicPartition(*partition, offset) for partition, offset in next_offsets.items()],
                asynchronous=True,
            )
        except KafkaException as error:
            log.debug("offsets were not committed to Kafka: %s", error)

    def close(self) -> None:
        """See `Source`."""
        self._consumer.close()
