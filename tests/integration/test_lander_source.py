"""The lander's source on a real broker: what it holds follows the topics, however short its polls are."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import pytest
from kafka.admin import KafkaAdminClient, NewPartitions, NewTopic

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
