"""What every way in shares: check by contract, produce to Kafka, and answer only when Kafka has acknowledged."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ingest.gateways.payloads import as_sent
from plimsoll.contracts import Contract, Decoder, InvalidEvent

log = logging.getLogger(__name__)
DELIVERY_TIMEOUT_MS = 6_000  # a device's own patience seldom reaches beyond ten seconds
ANSWER_TIMEOUT_S = 8.0
"""No sender waits longer, whatever the client library is waiting for."""
METADATA_TIMEOUT_MS = 3_000
Normalise = Callable[[Mapping[str, Any]], dict[str, Any]]
Check = Callable[[int, Any], None]
"""Raises InvalidEvent when the payload at that place may not come in."""


class BrokerUnavailable(Exception):
    """Kafka did not acknowledge in time. The sender keeps the event and tries again later."""


class IngestOff(BrokerUnavailable):
    """There is no Kafka here at all."""

    def __init__(self) -> None:
        super().__init__(
            "live ingest is off: this platform runs without Kafka; load files with `plimsoll load`, or set "
            "KAFKA_BOOTSTRAP_SERVERS and restart"
        )


@dataclass(frozen=True)
class Refusal:
    """Why one event of a request was refused; `index` is its place in the list."""

    index: int
    code: str
    field: str | None
    reason: str


class Encoder:
    """Turns what was sent into the messages that Kafka gets, by contract."""

    def __init__(self, contracts: Mapping[str, Contract]) -> None:
        self._contracts = contracts
        self._decoders = {topic: Decoder(contract) for topic, contract in contracts.items()}

    def encode(
        self, topic: str, payload: Any, normalise: Normalise, tenant_id: str, received_at: datetime
    ) -> tuple[bytes, bytes]:
        """The Kafka key and value of one payload.

        Raises:
            InvalidEvent: the payload is no event of that topic.
        """
        if not isinstance(payload, Mapping):
            raise InvalidEvent("invalid_field", "an event is a JSON object")
        decoder = self._decoders[topic]
        # The tenant is who sent it, never what the payload claims.
        try:
            event = decoder.validate(normalise(payload) | {"tenant_id": tenant_id}, received_at)
        except InvalidEvent as error:
            raise as_sent(error, payload) from None
        value = decoder.encode(event)
        return str(getattr(event.values, self._contracts[topic].key)).encode(), value


class Gateway:
    """Produces checked events. One per process; `close` it at the end.

    Args:
        bootstrap_servers: `host:port[,host:port]`; None takes nothing.
        contracts: by topic.

    Attributes:
        accepted: events that Kafka acknowledged, by topic.
        refused: events that were refused, by (topic, code).
    """

    def __init__(self, bootstrap_servers: str | None, contracts: Mapping[str, Contract]) -> None:
        self.accepted: Counter[str] = Counter()
        self.refused: Counter[tuple[str, str]] = Counter()
        self._bootstrap_servers = bootstrap_servers
        self._encoder = Encoder(contracts)
        self._producer: Any = None
        # `send` blocks while the broker's metadata is unknown; one thread keeps that off the event loop, and
        # keeps a device's events in their order. What comes while it sends waits for its next turn, together.
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="kafka-send")
        self._waiting: deque[_Delivery] = deque()
        self._is_sending = False

    async def accept(
        self, topic: str, payloads: Sequence[Any], normalise: Normalise, tenant_id: str, check: Check | None = None
    ) -> list[Refusal]:
        """Check each payload and produce the good ones; return the refusals once Kafka has acknowledged the rest.

        Args:
            check: looks at each payload as it was sent, before `normalise` and the contract do.

        Raises:
            BrokerUnavailable: Kafka took none or only some; sending all again is harmless.
            IngestOff: there is no Kafka.
        """
        if self._bootstrap_servers is None:
            raise IngestOff
        received_at = datetime.now(UTC)
        messages: list[tuple[bytes, bytes]] = []
        refusals: list[Refusal] = []
        for index, payload in enumerate(payloads):
            try:
                if check is not None:
                    check(index, payload)
                messages.append(self._encoder.encode(topic, payload, normalise, tenant_id, received_at))
            except InvalidEvent as error:
                refusals.append(Refusal(index, error.code, error.field, error.reason))
        self.refused.update((topic, refusal.code) for refusal in refusals)
        if messages:
            await self._produce(topic, messages)
            self.accepted[topic] += len(messages)
        return refusals

    async def _produce(self, topic: str, messages: Sequence[tuple[bytes, bytes]]) -> None:
        loop = asyncio.get_running_loop()
        delivery = _Delivery(topic, messages, loop)
        self._waiting.append(delivery)
        if not self._is_sending:
            self._is_sending = True
            self._sender.submit(self._send_waiting, loop)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await delivery.acknowledged
        except TimeoutError:
            raise BrokerUnavailable(f"no acknowledgement within {ANSWER_TIMEOUT_S:.0f} s") from None

    def _send_waiting(self, loop: asyncio.AbstractEventLoop) -> None:
        """On the sender's thread: hand over all that waits, then ask the event loop whether there is more."""
        while self._waiting:
            delivery = self._waiting.popleft()
            if delivery.acknowledged.done():  # its sender has waited long enough and was told to send again
                continue
            self._send(delivery)
        loop.call_soon_threadsafe(self._sent, loop)

    def _sent(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_sending = bool(self._waiting)
        if self._is_sending:
            self._sender.submit(self._send_waiting, loop)

    def _send(self, delivery: _Delivery) -> None:
        try:
            producer = self._connected()
            for key, value in delivery.messages:
                future = producer.send(delivery.topic, key=key, value=value)
                future.add_callback(delivery.one_done)
                future.add_errback(delivery.failed)
        except Exception as error:  # whatever it is: this sender must hear of it, and the next be served
            delivery.failed(error)

    def _connected(self) -> Any:
        if self._producer is None:
            assert self._bootstrap_servers is not None  # `accept` has looked
            self._producer = new_producer(self._bootstrap_servers, "plimsoll-gateway")
        return self._producer

    async def close(self) -> None:
        """Flush and close the producer."""
        if self._producer is not None:
            await asyncio.get_running_loop().run_in_executor(self._sender, self._producer.close, 5)
        self._sender.shutdown(wait=True)


def new_producer(bootstrap_servers: str, client_id: str) -> Any:
    """A KafkaProducer that gives up after `DELIVERY_TIMEOUT_MS`, so that senders hear of a broker that is away.

    It is not idempotent: an idempotent one of kafka-python that has given a batch up waits for the broker before it
    gives up the next, and nobody hears anything meanwhile. One request at a time keeps the order all the same, and a
    message that is sent twice is a repeat.

    Raises:
        kafka.errors.KafkaError: no broker answers.
    """
    from kafka import KafkaProducer

    return KafkaProducer(
        bootstrap_servers=bootstrap_servers,
        client_id=client_id,
        acks="all",
        enable_idempotence=False,
        max_in_flight_requests_per_connection=1,
        linger_ms=2,
        max_block_ms=METADATA_TIMEOUT_MS,
        request_timeout_ms=5_000,
        delivery_timeout_ms=DELIVERY_TIMEOUT_MS,
        bootstrap_timeout_ms=METADATA_TIMEOUT_MS,
        reconnect_backoff_max_ms=1_000,  # by default a broker that is back is found up to 30 s later
    )


class _Delivery:
    """Messages on their way to Kafka; counts its acknowledgements on its threads, settles `acknowledged` at the end."""

    def __init__(self, topic: str, messages: Sequence[tuple[bytes, bytes]], loop: asyncio.AbstractEventLoop) -> None:
        self.topic = topic
        self.messages = messages
        self.acknowledged: asyncio.Future[None] = loop.create_future()
        self._left = len(messages)
        self._loop = loop

    def one_done(self, _: object) -> None:
        self._left -= 1  # callbacks of one producer come from one thread
        if self._left == 0:
            self._loop.call_soon_threadsafe(self._settle, None)

    def failed(self, error: BaseException) -> None:
        log.error("Kafka did not take a message: %s", error)
        self._loop.call_soon_threadsafe(self._settle, BrokerUnavailable(str(error)))

    def _settle(self, error: BrokerUnavailable | None) -> None:
        if self.acknowledged.done():
            return
        if error is None:
            self.acknowledged.set_result(None)
        else:
            self.acknowledged.set_exception(error)
