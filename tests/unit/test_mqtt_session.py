"""The order of acknowledgements, and the queue between the connection and Kafka."""

from __future__ import annotations

import threading

import pytest

pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed")

from ingest.gateways.mqtt_session import Arrival, _Acknowledgements, _Inbox


def arrivals(count: int) -> list[Arrival]:
    return [Arrival("oms/v1/occupancy", b"{}", mid, 1) for mid in range(count)]


def test_messages_are_acknowledged_in_the_order_they_came() -> None:
    acknowledged: list[int] = []
    pending = _Acknowledgements(lambda arrival: acknowledged.append(arrival.mid))
    first, second, third, fourth = arrivals(4)
    for arrival in (first, second, third, fourth):
        pending.expect(arrival)

    pending.done(second)
    pending.done(third)
    assert acknowledged == []
    pending.done(first)
    assert acknowledged == [0, 1, 2]
    pending.close()
    pending.done(fourth)
    assert acknowledged == [0, 1, 2]


def test_a_full_inbox_holds_the_connection_back_until_it_is_emptied_or_closed() -> None:
    inbox, expected = _Inbox(), list[Arrival]()
    some = arrivals(2001)

    def fill() -> None:
        for arrival in some:
            inbox.put(arrival, expected.append)

    filler = threading.Thread(target=fill, daemon=True)
    filler.start()
    filler.join(0.2)
    assert filler.is_alive() and len(expected) == 2000
    taken = inbox.take()
    filler.join(5)
    assert not filler.is_alive()
    inbox.close()
    assert [a.mid for a in taken + inbox.take()] == list(range(2001))
    assert inbox.take() == []
    inbox.put(some[0], expected.append)
    assert len(expected) == 2001
