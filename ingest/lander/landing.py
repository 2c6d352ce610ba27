"""One landing transaction: rows, rejects, live state and offsets, all or nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import psycopg
from psycopg import sql
from psycopg.types.json import set_json_dumps

from ingest.lander.ledger import Position, advance
from ingest.lander.live import LiveTable
from plimsoll.contracts import Contract, Decoder, InvalidEvent
from plimsoll.contracts.ddl import LANDING_COLUMNS, day_partition

DAYS_AHEAD = 3


@dataclass(frozen=True, slots=True)
class Message:
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
        rows: raw rows by topic, without `_landed_at`, which is the transaction's.
        rejects: refused messages.
        bytes_read: size of the messages' values by topic.
        newest: newest event time by topic.
    """

    rows: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)
    bytes_read: dict[str, int] = field(default_factory=dict)
    newest: dict[str, datetime] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Messages in the batch, refused ones included."""
        return sum(map(len, self.rows.values())) + len(self.rejects)


class Landing:
    """Decodes messages of any contract and writes them to one connection."""

    def __init__(self, contracts: Mapping[str, Contract]) -> None:
        self.contracts = contracts
        self._decoders = {topic: Decoder(contract) for topic, contract in contracts.items()}
        self._live = {topic: LiveTable(c, c.live) for topic, c in contracts.items() if c.live}
        self._partitions_until = date.min

    def prepare(self, connection: psycopg.Connection) -> None:
        """Make a fresh connection ready: JSON goes through as text, day partitions exist ahead."""
        set_json_dumps(lambda text: text, context=connection)
        self._partitions_until = date.min
        self._ensure_partitions(connection, datetime.now(UTC))

    def decode(self, messages: Iterable[Message]) -> Batch:
        """Decode and check messages of any topics; what is refused becomes a reject, the rest rows."""
        batch = Batch()
        for live in self._live.values():
            live.forget()
        for message in messages:
            topic = message.topic
            batch.bytes_read[topic] = batch.bytes_read.get(topic, 0) + len(message.value or b"")
            decoder = self._decoders[topic]
            try:
                event = decoder.decode(message.value, message.broker_at)
            except InvalidEvent as error:
                batch.rejects.append(Reject(message, "decode", error))
                continue
            row = (*msgspec.structs.astuple(event.values), event.extra, topic, message.partition, message.offset,
                   message.broker_at)  # fmt: skip
            batch.rows.setdefault(topic, []).append(row)
            at = getattr(event.values, decoder.contract.event_time)
            if topic not in batch.newest or at > batch.newest[topic]:
                batch.newest[topic] = at
            if topic in self._live:
                self._live[topic].add(event.values, message.broker_at)
        return batch

    def write(self, connection: psycopg.Connection, batch: Batch, positions: Mapping[Position, int]) -> list[Position]:
        """Write a batch and move the ledger from each position to its new next offset, in one transaction.

        Raises:
            FencedError: another writer was faster; nothing was written.
            psycopg.Error: the database refused or went away; nothing was written.
        """
        started = time.monotonic()
        landed_at = datetime.now(UTC)
        if positions:
            # The clock may have stepped back; watermarks need it to grow strictly.
            landed_at = max(landed_at, max(p.landed_at for p in positions) + timedelta(microseconds=1))
        self._ensure_partitions(connection, landed_at)
        with connection.transaction():
            moved = advance(connection, positions, landed_at)
            for topic, rows in batch.rows.items():
                self._copy(connection, self.contracts[topic], rows, landed_at)
            for live in self._live.values():
                live.write(connection, landed_at)
            write_rejects(connection, batch.rejects)
            self._record(connection, batch, landed_at, time.monotonic() - started)
        return moved

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

    def _copy(
        self,
        connection: psycopg.Connection,
        contract: Contract,
        rows: Sequence[tuple[Any, ...]],
        landed_at: datetime,
    ) -> None:
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

    def _record(self, connection: psycopg.Connection, batch: Batch, landed_at: datetime, duration_s: float) -> None:
        rejected: dict[str, int] = {}
        for reject in batch.rejects:
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


def write_rejects(connection: psycopg.Connection, rejects: Sequence[Reject]) -> None:
    """Keep refused messages, unchanged, with reason and coordinates."""
    if not rejects:
        return
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
            copy.write_row((m.topic, m.partition, m.offset, reject.stage, error.code, _storable(error.field),
                            _storable(error.reason), m.key, m.value, m.broker_at))  # fmt: skip


def _storable(text: str | None) -> str | None:
    return text.replace("\x00", "␀").encode("utf-8", "replace").decode() if text else text
