"""Dead-letter topics: refused messages, unchanged unless they are too long, with Kafka Connect's header names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from ingest.dead_letter_headers import KEPT_OF_LONGER, LONGEST_WHOLE, to_headers
from ingest.lander.landing import Reject
from plimsoll.contracts import Contract
from plimsoll.contracts.topics import PATIENCE_MS

DELIVERY_MS = 8_000  # a lander that is told to stop may be waiting for this, and is killed some time after


class DeadLetters:
    """Produces refused messages to `<topic>.dlq`.

    A crash between here and the landing transaction repeats them: the topic is at-least-once, the table
    `ingest.rejected_messages` exactly-once. Only the table keeps every message whole: with its headers, one that just
    fitted into Kafka would not fit again.
    """

    def __init__(self, bootstrap_servers: str, contracts: Mapping[str, Contract]) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._contracts = contracts
        self._producer: Any = None

    def send(self, rejects: Sequence[Reject]) -> None:
        """Produce the rejects and wait until Kafka has acknowledged them.

        Raises:
            kafka.errors.KafkaError: the broker did not take them.
        """
        if not rejects:
            return
        if self._producer is None:
            from kafka import KafkaProducer

            # Not idempotent, because such a producer of kafka-python that has given a batch up waits for the broker
            # before it gives up the next; one request at a time keeps the order all the same.
            self._producer = KafkaProducer(
                bootstrap_servers=self._bootstrap_servers, acks="all", linger_ms=5, enable_idempotence=False,
                max_in_flight_requests_per_connection=1, bootstrap_timeout_ms=PATIENCE_MS, max_block_ms=DELIVERY_MS,
                request_timeout_ms=PATIENCE_MS, delivery_timeout_ms=DELIVERY_MS,
            )  # fmt: skip
        futures = [self._produce(reject) for reject in rejects]
        self._producer.flush(timeout=2 * DELIVERY_MS / 1000)
        for future in futures:
            future.get(timeout=1)

    def _produce(self, reject: Reject) -> Any:
        message = reject.message
        key, value = message.key, message.value
        facts = {
            "topic": message.topic,
            "partition": message.partition,
            "offset": message.offset,
            "stage": reject.stage,
            "class.name": reject.error.code,
            "exception.message": str(reject.error),
        }
        if len(key or b"") + len(value or b"") > LONGEST_WHOLE:
            facts["truncated"] = f"{len(value or b'')} bytes"
            key, value = key and key[:KEPT_OF_LONGER], value and value[:KEPT_OF_LONGER]
        if key is None and value is None:
            facts["value"], value = "null", b""  # the producer sends no message of which both are missing
        topic = self._contracts[message.topic].dead_letter_topic
        return self._producer.send(topic, key=key, value=value, headers=to_headers(facts))

    def close(self) -> None:
        """Close the producer, if one was needed; what it still holds will be sent again by whoever lands it."""
        from kafka.errors import KafkaError

        if self._producer is not None:
            with suppress(KafkaError):
                self._producer.close(timeout=1)
