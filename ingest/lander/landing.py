"""One landing transaction: rows, rejects, live state and offsets, all or nothing."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import repeat
from operator import attrgetter
from typing import Any

import msgspec
import psycopg
from psycopg import sql
from psycopg.types.json import set_json_dumps

from ingest.lander.ledger import Position, advance
from ingest.lander.live import LiveTable, States
from plimsoll.contracts import Contract, Decoder, InvalidEvent
from plimsoll.contracts.ddl import LANDING_COLUMNS, day_partition

log = logging.getLogger(__name__)
DAYS_AHEAD = 3
RUN = 100  # messages decoded together; one that is not as usual makes all of them take the slower way
# What Postgres may hold against one row, by the first two signs of the SQLSTATE: its values, a constraint, a limit of
# the program, an exception that a trigger raised. Everything else would meet any row: trying again helps, if anything.
_ROW_FAULTS = frozenset({"22", "23", "54", "P0"})


class Message(msgspec.Struct, frozen=True, gc=False):
    """A message as the broker keeps it; `broker_at` is UTC."""

    topic: str
    partition: int
    offset: int
    broker_at: datetime
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Reject:
    """A message that was refused, and why."""

    message: Message
    stage: str
    error: InvalidEvent


@dataclass
class Batch:
    """What one transaction lands.

    Attributes:
        messages: what it was decoded from.
        rows: raw rows by topic, without `_landed_at`, which is the transaction's.
        rejects: refused messages.
        bytes_read: size of the messages' values by topic.
        newest: newest event time by topic.
        states: what the rows say of live state, by topic.
        write_s: how long its transaction took, once it is committed.
    """

    messages: Sequence[Message]
    rows: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)
    bytes_read: dict[str, int] = field(default_factory=dict)
    newest: dict[str, datetime] = field(default_factory=dict)
    states: dict[str, States] = field(default_factory=dict)
    write_s: float = 0.0

    @property
    def size(self) -> int:
        """Messages in the batch, refused ones included."""
        return sum(map(len, self.rows.values())) + len(self.rejects)


KeepRejects = Callable[[psycopg.Connection, Sequence[Reject]], Sequence[Reject]]


class Landing:
    """Decodes messages of any contract and writes them to one connection.

    Args:
        contracts: by topic.
        keep_rejects: keeps refused messages within the landing transaction, and returns those that were not kept yet.
    """

    def __init__(self, contracts: Mapping[str, Contract], keep_rejects: KeepRejects | None = None) -> None:
        self.contracts = contracts
        self._keep_rejects = keep_rejects or write_rejects
        self._decoders = {topic: Decoder(contract) for topic, contract in contracts.items()}
        self._live = {topic: LiveTable(c, c.live) for topic, c in contracts.items() if c.live}
        self._partitions_until = date.min

    def prepare(self, connection: psycopg.Connection) -> None:
        """Make a fresh connection ready: JSON that is text already goes through, day partitions exist ahead."""
        set_json_dumps(_to_json, context=connection)
        self._partitions_until = date.min
        self._ensure_partitions(connection, datetime.now(UTC))

    def decode(self, messages: Sequence[Message]) -> Batch:
        """Decode and check messages of any topics; what is refused becomes a reject, the rest rows."""
        by_topic: dict[str, list[Message]] = {}
        for message in messages:
            by_topic.setdefault(message.topic, []).append(message)
        batch = Batch(messages)
        for topic, of_topic in by_topic.items():
            self._decode_topic(batch, topic, of_topic)
        return batch

    def _decode_topic(self, batch: Batch, topic: str, messages: Sequence[Message]) -> None:
        """The work that costs most of the lander's time: a microsecond here is a fifth of its rate."""
        rows: list[tuple[Any, ...]] = []
        events: list[Any] = []
        received: list[datetime] = []
        astuple = msgspec.structs.astuple
        for start in range(0, len(messages), RUN):
            valid, values, extras = self._decode_run(batch, topic, messages[start : start + RUN])
            rows += [
                astuple(event) + (extra, topic, message.partition, message.offset, message.broker_at)  # noqa: RUF005
                for message, event, extra in zip(valid, values, extras, strict=False)
            ]
            events += values
            received += [message.broker_at for message in valid]
        batch.bytes_read[topic] = sum(len(message.value or b"") for message in messages)
        if rows:
            batch.rows[topic] = rows
            batch.newest[topic] = max(map(attrgetter(self.contracts[topic].event_time), events))
            if topic in self._live:
                batch.states[topic] = self._live[topic].fold(events, received)

    def _decode_run(
        self, batch: Batch, topic: str, run: Sequence[Message]
    ) -> tuple[Sequence[Message], Sequence[Any], Iterable[str | None]]:
        """The valid messages of a run, what they say, and their unknown fields; the others become rejects."""
        decoder = self._decoders[topic]
        events = decoder.decode_all([m.value for m in run], [m.broker_at for m in run])
        if events is not None:
            return run, events, repeat(None)
        valid, events, extras = [], [], []
        for message in run:
            try:
                values, extra = decoder.decode(message.value, message.broker_at)
            except InvalidEvent as error:
                batch.rejects.append(Reject(message, "decode", _without_frames(error)))
                continue
            valid.append(message)
            events.append(values)
            extras.append(extra)
        return valid, events, extras

    def land(
        self,
        connection: psycopg.Connection,
        batch: Batch,
        positions: Mapping[Position, int],
        on_rejects: Callable[[Sequence[Reject]], None] = lambda rejects: None,
    ) -> tuple[Batch, list[Position]]:
        """Write a decoded batch and move the ledger, in one transaction; a row that Postgres refuses is rejected alone.

        Args:
            connection: prepared.
            batch: of messages in the order of their offsets.
            positions: the ledger's, each with its new next offset.
            on_rejects: told the rejects before they are written.

        Returns:
            The batch as it landed, and the positions that the ledger is at.

        Raises:
            FencedError: another writer was faster; nothing was written.
            psycopg.Error: the database cannot write at all, or went away; nothing was written.
        """
        on_rejects(batch.rejects)
        started = time.monotonic()
        landed_at = datetime.now(UTC)
        if positions:
            # The clock may have stepped back; watermarks need it to grow strictly.
            landed_at = max(landed_at, max(p.landed_at for p in positions) + timedelta(microseconds=1))
        self._ensure_partitions(connection, landed_at)
        with connection.transaction():
            moved = advance(connection, positions, landed_at)
            refused = self._write(connection, batch, landed_at)
            if refused:
                log.error("Postgres refused a row that its contract allows: %s", refused[0].error)
                on_rejects(refused)
                batch = self._without(batch, refused)
            rejects = self._keep_rejects(connection, batch.rejects)
            self._record(connection, batch, rejects, landed_at, time.monotonic() - started)
        batch.write_s = time.monotonic() - started
        return batch, moved

    def _write(self, connection: psycopg.Connection, batch: Batch, landed_at: datetime) -> list[Reject]:
        """Write rows and live state: all at once, else by halves; return the messages whose rows Postgres refuses.

        A half stays written while the other is tried, for rows may be refused only together.
        """
        try:
            with connection.transaction():
                for topic, rows in batch.rows.items():
                    self.copy(connection, self.contracts[topic], rows, landed_at)
                for topic, live in self._live.items():  # the same order for all landers, whatever came first
                    if topic in batch.states:
                        live.write(connection, batch.states[topic], landed_at)
            return []
        except (psycopg.Error, RecursionError) as error:
            if not is_row_fault(error):
                raise
            reason = first_line(error)
        messages, middle = batch.messages, len(batch.messages) // 2
        if not middle:
            return [Reject(messages[0], "write", InvalidEvent("refused_by_database", reason))]
        log.debug("writing %d messages by halves: %s", len(messages), reason)
        halves = messages[:middle], messages[middle:]
        return [r for half in halves for r in self._write(connection, self.decode(half), landed_at)]

    def _without(self, batch: Batch, refused: list[Reject]) -> Batch:
        """The batch with these messages as rejects."""
        ids = {id(reject.message) for reject in refused}
        rest = self.decode([m for m in batch.messages if id(m) not in ids])
        rest.rejects += refused
        rest.bytes_read = batch.bytes_read
        return rest

    def _ensure_partitions(self, connection: psycopg.Connection, at: datetime) -> None:
        if at.date() + timedelta(days=1) <= self._partitions_until:
            return
        until = at.date() + timedelta(days=DAYS_AHEAD)
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(hashtext('plimsoll raw partitions'))")
            for contract in self.contracts.values():
                for ahead in range(DAYS_AHEAD + 1):
                    connection.execute(day_partition(contract, at.date() + timedelta(days=ahead)))
        self._partitions_until = until

    def copy(
        self,
        connection: psycopg.Connection,
        contract: Contract,
        rows: Sequence[tuple[Any, ...]],
        landed_at: datetime,
    ) -> None:
        """Write rows into their landing day's partition, within the caller's transaction."""
        schema, name = contract.schema_table
        columns = [*(f.name for f in contract.fields), *LANDING_COLUMNS]
        # Straight into the day's partition: routing every row through the parent costs a third more.
        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
            sql.Identifier(schema, f"{name}_p{landed_at:%Y%m%d}"),
            sql.SQL(", ").join(map(sql.Identifier, columns)),
        )
        types = [f.physical_type for f in contract.fields] + [d.split()[0] for d in LANDING_COLUMNS.values()]
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types(types)
            last = (landed_at,)
            for row in rows:
                copy.write_row(row + last)

    def _record(
        self,
        connection: psycopg.Connection,
        batch: Batch,
        rejects: Sequence[Reject],
        landed_at: datetime,
        duration_s: float,
    ) -> None:
        rejected: dict[str, int] = {}
        for reject in rejects:
            rejected[reject.message.topic] = rejected.get(reject.message.topic, 0) + 1
        with connection.cursor() as cursor:
            cursor.executemany(
                """
                INSERT INTO ingest.landing_batches
                    (topic, landed_at, rows_landed, rows_rejected, bytes_read, newest_event_at, duration_s)
                VALUES (%s, %s, %s, %s, %s, %s, %s)
                """,
                [
                    (topic, landed_at, len(batch.rows.get(topic, ())), rejected.get(topic, 0), size,
                     batch.newest.get(topic), duration_s)
                    for topic, size in batch.bytes_read.items()
                ],
            )  # fmt: skip


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """For a landing loop: looking for cycles costs 1 µs per event, and rows of plain values have none."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def _without_frames(error: InvalidEvent) -> InvalidEvent:
    """Tracebacks, its own and its cause's, hold the batch that will hold the error: a cycle that nobody would free."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def _to_json(value: Any) -> str | bytes:
    """What a jsonb column takes: unknown fields are text already, a field of the contract is an object or a list."""
    return value if isinstance(value, str) else msgspec.json.encode(value)


def is_row_fault(error: psycopg.Error | RecursionError) -> bool:
    """Whether Postgres (or the driver, which knows its types) refused a single row, not the work as a whole."""
    if isinstance(error, RecursionError):  # nested just so deep that it could be read and cannot be written
        return True
    if error.sqlstate is None:
        return isinstance(error, psycopg.DataError)
    return error.sqlstate[:2] in _ROW_FAULTS


def first_line(error: BaseException) -> str:
    """What an error says, without the context that follows."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def write_rejects(connection: psycopg.Connection, rejects: Sequence[Reject]) -> Sequence[Reject]:
    """Keep refused messages, unchanged, with reason and coordinates; all of them are new."""
    if not rejects:
        return rejects
    with (
        connection.cursor() as cursor,
        cursor.copy(
            'COPY ingest.rejected_messages (topic, partition, "offset", stage, reason_code, field, reason, key, value,'
            " broker_at) FROM STDIN (FORMAT BINARY)"
        ) as copy,
    ):
        copy.set_types(["text", "int4", "int8", "text", "text", "text", "text", "bytea", "bytea", "timestamptz"])
        for reject in rejects:
            m, error = reject.message, reject.error
            copy.write_row((m.topic, m.partition, m.offset, reject.stage, error.code, storable(error.field),
                            storable(error.reason), m.key, m.value, m.broker_at))  # fmt: skip
    return rejects


def storable(text: str | None) -> str | None:
    """Text as a column takes it: without NUL and without halves of characters."""
    return text.replace("\x00", "␀").encode("utf-8", "replace").decode() if text else text
