"""Asking for a Kafka broker that is away leaves nothing behind, however often it is done."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ingest.lander.cluster import Cluster
from plimsoll.errors import PlimsollError
from plimsoll.stack.kafka import broker_answers


@pytest.fixture(params=["nobody listens", "somebody says nothing"])
def no_broker(request: pytest.FixtureRequest) -> Iterator[str]:
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        if request.param == "somebody says nothing":
            bound.listen()
        yield f"127.0.0.1:{bound.getsockname()[1]}"


def held() -> tuple[int, int]:
    """Threads and file descriptors of this process."""
    descriptors = Path("/proc/self/fd")
    return threading.active_count(), len(list(descriptors.iterdir())) if descriptors.exists() else 0


def test_a_broker_that_is_away_costs_no_thread_and_no_descriptor(no_broker: str) -> None:
    assert not broker_answers(no_broker, 0.3)  # imports happen once
    before = held()

    for _ in range(3):
        assert not broker_answers(no_broker, 0.3)
        with pytest.raises(PlimsollError, match="cannot be reached"):
            Cluster(no_broker, ["some.topic"])

    assert held() == before
