"""Where messages come from: the few methods that the lander needs of a Kafka consumer, whichever client it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal, Protocol

from ingest.lander.landing import Message

Partition = tuple[str, int]
Client = Literal["kafka-python", "confluent"]

# What a client may keep beside the batches in hand; together they bound the lander's memory.
FETCH_BYTES = 16 * 1024 * 1024
PARTITION_FETCH_BYTES = 4 * 1024 * 1024
# So much or so long the broker gathers before it answers. It is part of every event's latency; without it, a landing
# holds a dozen events at a thousand a second, and its fixed cost is most of what the lander and Postgres do.
FETCH_MIN_BYTES = 64 * 1024
FETCH_WAIT_MS = 20
SESSION_TIMEOUT_MS = 6_000
HEARTBEAT_MS = 2_000
METADATA_AGE_MS = 5_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class PositionsLost(Exception):
    """The consumer's positions are not the ledger's (any more): start the partitions it holds where the ledger is."""


class Source(Protocol):
    """A consumer of committed messages in the landers' group.

    Its positions are set by the ledger, not by Kafka's commits.
    """

    def poll(self, max_messages: int, timeout_ms: int) -> list[Message]:
        """Up to `max_messages` messages; empty when none came within the time.

        Raises:
            PositionsLost: what is held has changed, or Kafka does not have what comes next.
            kafka.errors.KafkaError: the broker cannot be asked.
        """
        ...

    def positions(self) -> dict[Partition, int]:
        """Where partitions go on after the last poll, as far as is known.

        That is beyond the messages that polls have returned and what they passed over, such as the marker that ends a
        transaction and the messages of an aborted one.

        Raises:
            PositionsLost: what is held has changed.
            kafka.errors.KafkaError: the broker has to be asked, and cannot.
        """
        ...

    def assigned(self) -> list[Partition]:
        """The partitions that the group has given to this consumer."""
        ...

    def start(self, offsets: Mapping[Partition, int]) -> None:
        """Go on with assigned partitions from these offsets, whatever was fetched before.

        Raises:
            PositionsLost: the group has taken one of them back.
        """
        ...

    def commit(self, next_offsets: Mapping[Partition, int]) -> None:
        """Tell Kafka how far the ledger is, for lag monitors; a failure does no harm and is only logged."""
        ...

    def close(self) -> None:
        """Leave the group."""
        ...


def open_source(
    client: Client, bootstrap_servers: str, topics: Iterable[str], group: str, name: str | None = None
) -> Source:
    """A source by one of the two clients.

    Args:
        client: which one.
        bootstrap_servers: `host:port[,host:port]`.
        topics: what to subscribe to; they exist.
        group: the consumer group of all landers that share one ledger; its members may use different clients.
        name: a name for this member of the group; a lander that comes back under its name takes its partitions back
            at once, an unnamed one only when the group has given up its predecessor (6 s).

    Raises:
        PlimsollError: Kafka cannot be reached, or the client is not installed.
    """
    if client == "confluent":
        from ingest.lander.source_confluent import ConfluentSource

        return ConfluentSource(bootstrap_servers, topics, group, name)
    from ingest.lander.source_kafka_python import KafkaPythonSource

    return KafkaPythonSource(bootstrap_servers, topics, group, name)


@lru_cache(maxsize=1024)
def broker_time(timestamp_ms: int) -> datetime:
    """The broker's timestamp as UTC; remembered, because all messages of a produced batch bear the same."""
    return _EPOCH + timedelta(milliseconds=timestamp_ms)
