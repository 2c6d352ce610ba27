"""The Kafka topics of the contracts: each stream's, and its dead-letter topic."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from typing import Any

from plimsoll.contracts.model import Contract
from plimsoll.errors import PlimsollError

# The broker stamps arrival itself: the sender's clock is in the payload already.
_TOPIC_CONFIG = {"retention.ms": str(7 * 24 * 3600 * 1000), "message.timestamp.type": "LogAppendTime"}

PATIENCE_MS = 5_000
Ends = dict[tuple[str, int], int]
"""(topic, partition) to the offset after its newest message."""


def wanted_topics(contracts: Iterable[Contract]) -> dict[str, int]:
    """Topic to number of partitions."""
    wanted: dict[str, int] = {}
    for contract in contracts:
        wanted[contract.topic] = contract.partitions
        wanted[contract.dead_letter_topic] = 1
    return wanted


def present_topics(bootstrap_servers: str) -> dict[str, int]:
    """The broker's topics and their number of partitions.

    Raises:
        PlimsollError: the broker cannot be reached.
    """
    with closing(open_consumer(bootstrap_servers)) as consumer, _answered(bootstrap_servers):
        return {topic: len(consumer.partitions_for_topic(topic) or ()) for topic in consumer.topics()}


def end_offsets(bootstrap_servers: str, topics: Iterable[str]) -> Ends:
    """How far each partition of the topics goes; topics that do not exist are left out.

    Raises:
        PlimsollError: the broker cannot be reached.
    """
    with closing(open_consumer(bootstrap_servers)) as consumer, _answered(bootstrap_servers):
        return read_ends(consumer, topics)


def open_consumer(bootstrap_servers: str) -> Any:
    """A consumer of no group, for questions about topics; it gives up after seconds, and belongs to one thread.

    Raises:
        PlimsollError: the broker cannot be reached.
    """
    from kafka import KafkaConsumer
    from kafka.errors import KafkaError

    try:
        return KafkaConsumer(
            bootstrap_servers=bootstrap_servers, client_id="plimsoll-observer", enable_auto_commit=False,
            request_timeout_ms=PATIENCE_MS, bootstrap_timeout_ms=PATIENCE_MS,
        )  # fmt: skip
    except KafkaError as error:
        raise PlimsollError(f"Kafka at {bootstrap_servers} cannot be reached: {error}") from error


def read_ends(consumer: Any, topics: Iterable[str]) -> Ends:
    """Ask an open consumer how far the topics go.

    Raises:
        kafka.errors.KafkaError: the broker does not answer.
    """
    from kafka import TopicPartition

    wanted = [TopicPartition(topic, n) for topic in topics for n in consumer.partitions_for_topic(topic) or ()]
    return {(p.topic, p.partition): end for p, end in consumer.end_offsets(wanted).items()}


def create_topics(bootstrap_servers: str, contracts: Iterable[Contract], replication: int = 1) -> list[str]:
    """Create the topics that are missing; return their names.

    Raises:
        PlimsollError: the broker cannot be reached or refuses.
    """
    from kafka.admin import KafkaAdminClient, NewTopic
    from kafka.errors import TopicAlreadyExistsError

    missing = _missing(wanted_topics(contracts), present_topics(bootstrap_servers))
    if not missing:
        return []
    topics = [NewTopic(name, number, replication, topic_configs=_TOPIC_CONFIG) for name, number in missing.items()]
    with (
        _answered(bootstrap_servers),
        closing(KafkaAdminClient(bootstrap_servers=bootstrap_servers)) as admin,
        suppress(TopicAlreadyExistsError),  # somebody else was faster, which is as good
    ):
        admin.create_topics(topics)
    return sorted(missing)


@contextmanager
def _answered(bootstrap_servers: str) -> Iterator[None]:
    from kafka.errors import KafkaError

    try:
        yield
    except KafkaError as error:
        raise PlimsollError(f"Kafka at {bootstrap_servers} does not answer as it should: {error}") from error


def _missing(wanted: Mapping[str, int], present: Mapping[str, int]) -> dict[str, int]:
    return {name: partitions for name, partitions in wanted.items() if name not in present}
