"""The lander's source on a real broker: what it holds follows the topics, however short its polls are."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewPartitions, NewTopic

from ingest.lander.landing import Message
from ingest.lander.source import Client, Partition, PositionsLost, Source, open_source
from plimsoll.stack.local import LocalStack

pytestmark = pytest.mark.integration


@pytest.fixture
def admin(stack: LocalStack) -> Iterator[KafkaAdminClient]:
    client = KafkaAdminClient(bootstrap_servers=stack.bootstrap_servers)
    yield client
    client.close()


def await_held(source: Source, partitions: list[Partition], timeout_ms: int) -> None:
    """Poll, setting positions as a lander does, until an assignment gives the source these partitions."""
    deadline, held = time.monotonic() + 60, None
    while held != partitions:
        assert time.monotonic() < deadline, f"it holds {held} and not {partitions}"
        try:
            source.poll(100, timeout_ms)
        except PositionsLost:
            held = source.assigned()
            source.start(dict.fromkeys(held, 0))


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_partitions_added_to_a_topic_are_taken_up_although_every_poll_times_out(
    stack: LocalStack, admin: KafkaAdminClient, client: Client
) -> None:
    """A poll of 1 ms always ends before the group has answered, which is when a rejoin can be forgotten."""
    topic = f"grows.{uuid.uuid4().hex[:8]}"
    admin.create_topics([NewTopic(topic, 1, 1)])
    source = open_source(client, stack.bootstrap_servers, [topic], group=topic)
    try:
        await_held(source, [(topic, 0)], timeout_ms=1)
        admin.create_partitions({topic: NewPartitions(3)})
        await_held(source, [(topic, 0), (topic, 1), (topic, 2)], timeout_ms=1)
    finally:
        source.close()
        admin.delete_topics([topic])


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_a_start_from_an_earlier_offset_drops_what_was_fetched_ahead(
    stack: LocalStack, admin: KafkaAdminClient, client: Client
) -> None:
    """A message fetched under the old position and delivered after the new one would be taken for a gap, and lost."""
    topic = f"rewound.{uuid.uuid4().hex[:8]}"
    admin.create_topics([NewTopic(topic, 1, 1)])
    producer = KafkaProducer(bootstrap_servers=stack.bootstrap_servers, linger_ms=20)
    for number in range(5_000):
        producer.send(topic, value=str(number).encode())
    producer.flush()
    producer.close()
    source = open_source(client, stack.bootstrap_servers, [topic], group=topic)
    try:
        await_held(source, [(topic, 0)], timeout_ms=100)
        ahead = some_messages(source)
        source.start({(topic, 0): 3})
        again = some_messages(source)
    finally:
        source.close()
        admin.delete_topics([topic])

    assert ahead[0].offset == 0
    assert [(m.offset, m.value) for m in again[:3]] == [(3, b"3"), (4, b"4"), (5, b"5")]


def some_messages(source: Source) -> list[Message]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if messages := source.poll(100, 100):
            return messages
    pytest.fail("no message for a minute")


def test_a_start_where_nothing_is_held_any_more_is_told_as_lost(stack: LocalStack, admin: KafkaAdminClient) -> None:
    """Between asking what is held and starting there, the group may have given it to another lander."""
    topic = f"taken.{uuid.uuid4().hex[:8]}"
    admin.create_topics([NewTopic(topic, 1, 1)])
    source = open_source("kafka-python", stack.bootstrap_servers, [topic], group=topic)
    try:
        await_held(source, [(topic, 0)], timeout_ms=100)
        with pytest.raises(PositionsLost):
            source.start({(topic, 0): 0, (topic, 1): 0})
    finally:
        source.close()
        admin.delete_topics([topic])
