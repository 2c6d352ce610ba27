"""Replay: a file through Kafka, as if its devices sent it, at a chosen speed.

Every row is sent, in the order of its time or of a column that says when it was sent; those that the contract refuses
are counted and named here, and the lander keeps them with their reason like any other message.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from ingest.columns import Plan, RowReader
from ingest.files import open_rows
from ingest.survey import SiteSurvey
from plimsoll.contracts import Contract, Decoder, InvalidEvent
from plimsoll.errors import PlimsollError

MAX_COMPLAINTS = 5
_REPORT_EVERY = 1_000


class Due(NamedTuple):
    """A message and when it is due, by the file; `number` is its row there, from 0."""

    at: datetime
    number: int
    value: bytes


@dataclass
class Replayed:
    """What came of it; `complaints` are the first refusals, each with the file's row number, from 1."""

    sent: int = 0
    refused: int = 0
    complaints: list[str] = field(default_factory=list)

    def note(self, message: Due, refusal: InvalidEvent | None) -> None:
        """Count a message that was handed over, as valid or refused."""
        if refusal is None:
            self.sent += 1
            return
        self.refused += 1
        if len(self.complaints) < MAX_COMPLAINTS:
            self.complaints.append(f"row {message.number + 1}: {refusal}")


def read(plan: Plan) -> tuple[list[Due], SiteSurvey]:
    """The file's messages, sorted by time, and what it says of its sites.

    A row whose time cannot be read keeps its place after the row before it.

    Raises:
        PlimsollError: the file, a column, a field or the time zone is not there or not readable; says which.
    """
    due: list[Due] = []
    survey = SiteSurvey(plan.contract)
    at = datetime(1, 1, 1, tzinfo=UTC)
    with open_rows(plan.file) as file:
        for rows in RowReader(plan, file).chunks():
            survey.add(rows)
            for row in rows:
                at = row.sent_at or row.at or at
                due.append(Due(at, row.number, row.message()))
    due.sort(key=lambda message: message.at)
    return due, survey


def send(
    contract: Contract,
    messages: Sequence[Due],
    bootstrap_servers: str,
    stop: threading.Event,
    *,
    speed: float | None = None,
    on_sent: Callable[[int], None] = lambda rows: None,
) -> Replayed:
    """Produce the messages in their order, and wait for Kafka's acknowledgement.

    The pace is that of the valid events; what the contract refuses, often for its time, goes right after the message
    before it.

    Args:
        contract: of the stream.
        messages: as `read` gives them.
        bootstrap_servers: `host:port[,host:port]`.
        stop: set it to end early.
        speed: times as fast as the file's own pace; None for as fast as Kafka takes it.
        on_sent: told how many more were handed over, now and then.

    Raises:
        PlimsollError: Kafka cannot be reached or does not acknowledge.
    """
    from kafka import KafkaProducer
    from kafka.errors import KafkaError

    result = Replayed()
    decoder = Decoder(contract)
    pace = _Pace(speed, stop)
    try:
        producer = KafkaProducer(
            bootstrap_servers=bootstrap_servers,
            client_id="plimsoll-replay",
            acks="all",
            linger_ms=10,
            batch_size=256 * 1024,
        )
        for count, message in enumerate(messages, start=1):
            key, refusal = _judged(decoder, message)
            if not pace.wait_for(message.at if refusal is None else None):
                break
            producer.send(contract.topic, key=key, value=message.value).add_errback(pace.fail)
            result.note(message, refusal)
            if count % _REPORT_EVERY == 0:
                on_sent(_REPORT_EVERY)
        producer.flush()
        producer.close()
    except KafkaError as error:
        raise PlimsollError(f"Kafka at {bootstrap_servers} did not take the replay: {error}") from error
    if pace.failure is not None:
        raise PlimsollError(
            f"Kafka did not acknowledge every event: {pace.failure}; replay the file again, repeats do no harm"
        )
    return result


def _judged(decoder: Decoder, message: Due) -> tuple[bytes | None, InvalidEvent | None]:
    """The message's key, or why the contract refuses it."""
    try:
        event = decoder.decode(message.value, datetime.now(UTC))
    except InvalidEvent as refusal:
        return None, refusal
    return str(getattr(event.values, decoder.contract.key)).encode(), None


class _Pace:
    def __init__(self, speed: float | None, stop: threading.Event) -> None:
        self._speed = speed
        self._stop = stop
        self._first: tuple[datetime, float] | None = None
        self.failure: BaseException | None = None

    def fail(self, error: BaseException) -> None:
        self.failure = self.failure or error

    def wait_for(self, at: datetime | None) -> bool:
        """Wait until the row is due (None: at once); False when stopped or when Kafka has failed meanwhile."""
        if self._stop.is_set() or self.failure is not None:
            return False
        if self._speed is None or at is None:
            return True
        if self._first is None:
            self._first = (at, time.monotonic())
        due = self._first[1] + (at - self._first[0]).total_seconds() / self._speed
        return not self._stop.wait(max(0.0, due - time.monotonic()))
