"""One connection to an MQTT broker: what comes in, and what is acknowledged in which order. Knows no Kafka."""

from __future__ import annotations

import logging
import ssl
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

log = logging.getLogger(__name__)

RECEIVE_MAXIMUM = 1000
"""Messages that may be on their way without acknowledgement; bounds memory, and what comes twice after a crash."""
SESSION_EXPIRY_S = 7 * 24 * 3600
KEEPALIVE_S = 30
_CONNECT_TIMEOUT_S = 5.0
_INBOX = 2 * RECEIVE_MAXIMUM


@dataclass(frozen=True)
class Link:
    """How to reach the broker; `tls` None means a plain connection."""

    host: str
    port: int
    client_id: str
    username: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None

    @property
    def address(self) -> str:
        """Host and port, for people."""
        return f"{self.host}:{self.port}"


@dataclass(slots=True)
class Arrival:
    """A message as it came."""

    topic: str
    payload: bytes
    mid: int
    qos: int
    is_done: bool = False


Forward = Callable[[Sequence[Arrival], Callable[[Arrival], None], Callable[[str], None]], None]
"""Takes messages, and what to call when one is safe (done) and when none will be any more (fail, with the reason)."""


class Session:
    """A persistent MQTT 5 session while it is connected.

    Messages are handed to `forward` in batches, on a thread of their own, so that a slow receiver does not starve the
    connection's keep-alive. Every message is acknowledged after `forward` said it is done, in the order of arrival.
    """

    def __init__(self, link: Link, topics: Sequence[str], forward: Forward) -> None:
        self._link = link
        self._topics = topics
        self._forward = forward
        self._inbox = _Inbox()
        self._trouble: str | None = None
        self._wake = threading.Event()
        self._client = self._new_client()
        self._acknowledgements = _Acknowledgements(lambda arrival: self._client.ack(arrival.mid, arrival.qos))
        self._worker = threading.Thread(target=self._work, name="mqtt-forward", daemon=True)

    def open(self) -> None:
        """Connect; what happens afterwards is told by `is_over`.

        Raises:
            OSError: the broker cannot be reached.
        """
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
        self._worker.start()
        self._client.connect(
            self._link.host, self._link.port, keepalive=KEEPALIVE_S, clean_start=False, properties=properties
        )
        self._client.loop_start()

    def is_over(self, stop: threading.Event, timeout_s: float) -> bool:
        """Wait for trouble or for `stop` (which calls `wake`); False when neither came within the time."""
        if not stop.is_set():
            self._wake.wait(timeout_s)
        return stop.is_set() or self._trouble is not None

    @property
    def in_flight(self) -> int:
        """Messages that came and are not acknowledged yet."""
        return self._acknowledgements.count()

    def wake(self) -> None:
        """Let `is_over` look again."""
        self._wake.set()

    def close(self, drain_s: float) -> str | None:
        """Disconnect; the broker keeps the session, and sends again what was not acknowledged.

        Args:
            drain_s: how long what is in hand may take to be acknowledged.

        Returns:
            Why the session broke; None if it was ended by us.
        """
        self._inbox.close()
        if self._worker.is_alive():
            self._worker.join(max(drain_s, 1))
        if self._trouble is None:
            self._acknowledgements.wait_until_none(drain_s)
        self._acknowledgements.close()
        self._client.disconnect()
        self._client.loop_stop()
        return self._trouble

    def _new_client(self) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2, self._link.client_id, protocol=MQTTv5,
            manual_ack=True, reconnect_on_failure=False,
        )  # fmt: skip
        client.connect_timeout = _CONNECT_TIMEOUT_S
        if self._link.username:
            client.username_pw_set(self._link.username, self._link.password)
        if self._link.tls is not None:
            client.tls_set_context(self._link.tls)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        return client

    def _on_connect(
        self, client: Client, _: Any, flags: ConnectFlags, reason: ReasonCode, __: Properties | None
    ) -> None:
        if reason.is_failure:
            self._fail(f"the MQTT broker at {self._link.address} refused the connection: {reason}")
            return
        # With a session of old, messages come before the subscription is confirmed; a new one needs it.
        again = "again" if flags.session_present else "with a new session"
        log.info("connected to MQTT at %s as %s, %s", self._link.address, self._link.client_id, again)
        options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
        client.subscribe([(topic, options) for topic in self._topics])

    def _on_subscribe(self, _: Client, __: Any, ___: int, reasons: list[ReasonCode], ____: Properties | None) -> None:
        for topic, reason in zip(self._topics, reasons, strict=False):
            if reason.is_failure:
                self._fail(f"the MQTT broker at {self._link.address} refused the topic {topic}: {reason}")

    def _on_message(self, _: Client, __: Any, message: MQTTMessage) -> None:
        arrival = Arrival(message.topic, bytes(message.payload), message.mid, message.qos)
        # A closing inbox refuses it: what is not taken in is not acknowledged, and comes again.
        self._inbox.put(arrival, self._acknowledgements.expect)

    def _on_disconnect(
        self, _: Client, __: Any, ___: DisconnectFlags, reason: ReasonCode, ____: Properties | None
    ) -> None:
        if not self._inbox.is_closed:
            self._fail(f"the connection to MQTT at {self._link.address} ended: {reason}")

    def _work(self) -> None:
        while arrivals := self._inbox.take():
            if self._trouble is not None:
                continue
            try:
                self._forward(arrivals, self._acknowledgements.done, self._fail)
            except Exception as error:
                # A thread that died would leave a bridge that looks alive and takes nothing.
                log.exception("a batch could not be forwarded")
                self._fail(f"a batch could not be forwarded: {error!r}")

    def _fail(self, trouble: str) -> None:
        if self._trouble is None:
            self._trouble = trouble
        self._wake.set()


class _Inbox:
    """A bounded queue that is emptied whole."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._arrivals: list[Arrival] = []
        self.is_closed = False

    def put(self, arrival: Arrival, expect: Callable[[Arrival], None]) -> None:
        """Add a message, waiting while the queue is full, and tell `expect`; neither when closed."""
        with self._changed:
            while len(self._arrivals) >= _INBOX and not self.is_closed:
                self._changed.wait()
            if self.is_closed:
                return
            expect(arrival)
            self._arrivals.append(arrival)
            if len(self._arrivals) == 1:
                self._changed.notify_all()

    def take(self) -> list[Arrival]:
        """Wait for messages and take all; empty when closed and nothing is left."""
        with self._changed:
            while not self._arrivals and not self.is_closed:
                self._changed.wait()
            taken, self._arrivals = self._arrivals, []
            self._changed.notify_all()
        return taken

    def close(self) -> None:
        with self._changed:
            self.is_closed = True
            self._changed.notify_all()


class _Acknowledgements:
    """Acknowledges messages in the order they came, as MQTT 5 asks (4.6), each after it is done."""

    def __init__(self, acknowledge: Callable[[Arrival], object]) -> None:
        self._acknowledge = acknowledge
        self._changed = threading.Condition()
        self._expected: deque[Arrival] = deque()
        self._is_closed = False

    def expect(self, arrival: Arrival) -> None:
        """A message came."""
        with self._changed:
            self._expected.append(arrival)

    def done(self, arrival: Arrival) -> None:
        """A message is safe: acknowledge it, and those behind it that wait for it."""
        with self._changed:
            arrival.is_done = True
            while self._expected and self._expected[0].is_done and not self._is_closed:
                self._acknowledge(self._expected.popleft())
            if not self._expected:
                self._changed.notify_all()

    def count(self) -> int:
        """Messages that wait for their acknowledgement."""
        return len(self._expected)

    def wait_until_none(self, timeout_s: float) -> None:
        """Wait until every message is acknowledged."""
        with self._changed:
            self._changed.wait_for(lambda: not self._expected, timeout_s)

    def close(self) -> None:
        """Acknowledge nothing any more."""
        with self._changed:
            self._is_closed = True
