"""The Kafka topics of the contracts: each stream's, and its dead-letter topic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from plimsoll.contracts.model import Contract
from plimsoll.errors import PlimsollError

# The broker stamps arrival itself: the sender's clock is in the payload already.
_TOPIC_CONFIG = {"retention.ms": str(7 * 24 * 3600 * 1000), "message.timestamp.type": "LogAppendTime"}


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
    from kafka import KafkaConsumer
    from kafka.errors import KafkaError

    try:
        consumer = KafkaConsumer(bootstrap_servers=bootstrap_servers, enable_auto_commit=False)
    except KafkaError as error:
        raise PlimsollError(f"Kafka at {bootstrap_servers} cannot be reached: {error}") from error
    try:
        return {topic: len(consumer.partitions_for_topic(topic) or ()) for topic in consumer.topics()}
    finally:
        consumer.close()


def end_offsets(bootstrap_servers: str, topics: Iterable[str]) -> dict[tuple[str, int], int]:
    """(topic, partition) to the offset after its newest message.

    Raises:
        PlimsollError: the broker cannot be reached.
    """
    from kafka import KafkaConsumer, TopicPartition
    from kafka.errors import KafkaError

    try:
        consumer = KafkaConsumer(bootstrap_servers=bootstrap_servers, enable_auto_commit=False)
        try:
            wanted = [TopicPartition(t, n) for t in topics for n in consumer.partitions_for_topic(t) or ()]
            return {(p.topic, p.partition): offset for p, offset in consumer.end_offsets(wanted).items()}
        finally:
            consumer.close()
    except KafkaError as error:
        raise PlimsollError(f"Kafka at {bootstrap_servers} cannot be reached: {error}") from error


def create_topics(bootstrap_servers: str, contracts: Iterable[Contract], replication: int = 1) -> list[str]:
    """Create the topics that are missing; return their names.

    Raises:
        PlimsollError: the broker cannot be reached or refuses.
    """
    from kafka.admin import KafkaAdminClient, NewTopic
    from kafka.errors import KafkaError, TopicAlreadyExistsError

    missing = _missing(wanted_topics(contracts), present_topics(bootstrap_servers))
    if not missing:
        return []
    admin = KafkaAdminClient(bootstrap_servers=bootstrap_servers)
    try:
        admin.create_topics(
            [
                NewTopic(name, partitions, replication, topic_configs=_TOPIC_CONFIG)
                for name, partitions in missing.items()
            ]
        )
    except TopicAlreadyExistsError:  # somebody else was faster, which is as good
        pass
    except KafkaError as error:
        raise PlimsollError(f"Kafka at {bootstrap_servers} did not create topics: {error}") from error
    finally:
        admin.close()
    return sorted(missing)


def _missing(wanted: Mapping[str, int], present: Mapping[str, int]) -> dict[str, int]:
    return {name: partitions for name, partitions in wanted.items() if name not in present}
