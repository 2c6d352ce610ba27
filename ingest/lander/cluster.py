"""What the lander asks of the Kafka cluster itself: which one it is, which topics it has, how far they go."""

from __future__ import annotations

from collections.abc import Iterable

from ingest.lander.source import Partition
from plimsoll.broker_probe import require_broker
from plimsoll.contracts.topics import PATIENCE_MS
from plimsoll.errors import PlimsollError


class Cluster:
    """An admin client for the landers' topics; every method raises `kafka.errors.KafkaError` if none answers.

    Args:
        bootstrap_servers: `host:port[,host:port]`.
        topics: the ones that matter.

    Raises:
        PlimsollError: no broker can be reached.
    """

    def __init__(self, bootstrap_servers: str, topics: Iterable[str]) -> None:
        from kafka.admin import KafkaAdminClient
        from kafka.errors import KafkaError

        self._topics = list(topics)
        require_broker(bootstrap_servers)
        try:
            self._admin = KafkaAdminClient(
                bootstrap_servers=bootstrap_servers, client_id="plimsoll-lander", reconnect_backoff_max_ms=1_000,
                bootstrap_timeout_ms=PATIENCE_MS, request_timeout_ms=PATIENCE_MS,
            )  # fmt: skip
        except KafkaError as error:
            raise PlimsollError(f"Kafka at {bootstrap_servers} cannot be reached: {error}") from error

    def cluster_id(self) -> str:
        """The cluster that answers."""
        return str(self._admin.describe_cluster()["cluster_id"])

    def topic_ids(self) -> dict[str, str]:
        """Each topic that exists and its id, which is another one when the topic is created again."""
        described = self._admin.describe_topics(self._topics)
        return {t["name"]: str(t["topic_id"]) for t in described if not t["error_code"] and t.get("topic_id")}

    def bounds(self, partitions: Iterable[Partition]) -> dict[Partition, tuple[int, int]]:
        """The oldest offset that the broker still has, and the one after its newest."""
        from kafka import TopicPartition
        from kafka.admin import OffsetSpec

        wanted = [TopicPartition(*p) for p in partitions]
        if not wanted:
            return {}
        first, end = (
            self._admin.list_partition_offsets(dict.fromkeys(wanted, spec))
            for spec in (OffsetSpec.EARLIEST, OffsetSpec.LATEST)
        )
        return {(p.topic, p.partition): (first[p].offset, end[p].offset) for p in wanted}

    def end(self, partition: Partition) -> int:
        """The offset after the newest that the broker has of one partition now."""
        return self.bounds([partition])[partition][1]

    def close(self) -> None:
        """Close the connections."""
        self._admin.close()
