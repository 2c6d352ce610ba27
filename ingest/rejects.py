"""Dead letters: what contracts refused, why, and a second try when a contract has changed.

A replayed message lands in `raw.*` with `_partition` -2 and its `rejected_id` as `_offset`: the row points at its dead
letter, which keeps the coordinates that the message had in Kafka.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from ingest.bulk import REPLAY_PARTITION
from ingest.lander.landing import Landing, Message, Reject, storable
from ingest.lander.ledger import open_position
from plimsoll.contracts import Contract

REPLAY_BATCH = 5_000
_SOURCE = "rejects"


@dataclass(frozen=True)
class Selection:
    """Which dead letters are meant; None means any.

    Attributes:
        since: refused at or after this instant.
        until: refused before this instant.
        topic: the stream.
        reason: its code, such as invalid_field.
    """

    since: datetime | None = None
    until: datetime | None = None
    topic: str | None = None
    reason: str | None = None

    def condition(self) -> sql.Composable:
        """As SQL over ingest.rejected_messages."""
        parts: dict[str, Any] = {
            "rejected_at >= {}": self.since,
            "rejected_at < {}": self.until,
            "topic = {}": self.topic,
            "reason_code = {}": self.reason,
        }
        chosen = [sql.SQL(text).format(value) for text, value in parts.items() if value is not None]  # type: ignore[arg-type]
        return sql.SQL(" AND ").join(chosen) if chosen else sql.SQL("true")


@dataclass(frozen=True)
class ReasonCount:
    """How often one reason was given: in all, and by messages that still wait for a replay to land them."""

    topic: str
    reason_code: str
    field: str | None
    messages: int
    waiting: int
    newest_at: datetime


@dataclass(frozen=True)
class DeadLetter:
    """One refused message; times are UTC, `partition` and `offset` are where it came from."""

    rejected_id: int
    topic: str
    partition: int
    offset: int
    stage: str
    reason_code: str
    field: str | None
    reason: str
    key: bytes | None
    value: bytes | None
    broker_at: datetime
    rejected_at: datetime
    replayed_at: datetime | None


class Replayed(NamedTuple):
    """What a replay did: messages landed now, and messages that their contract still refuses."""

    landed: int
    refused: int


def count_by_reason(connection: psycopg.Connection, selection: Selection) -> list[ReasonCount]:
    """Counts per topic, reason and field, most frequent first."""
    query = sql.SQL(
        """
        SELECT topic, reason_code, field, count(*) AS messages, count(*) FILTER (WHERE replayed_at IS NULL) AS waiting,
               max(rejected_at) AS newest_at
        FROM ingest.rejected_messages WHERE {}
        GROUP BY topic, reason_code, field ORDER BY messages DESC, topic, reason_code, field
        """
    ).format(selection.condition())
    with connection.cursor(row_factory=class_row(ReasonCount)) as cursor:
        return cursor.execute(query).fetchall()


def newest(connection: psycopg.Connection, selection: Selection, limit: int) -> list[DeadLetter]:
    """The newest dead letters, newest first."""
    query = sql.SQL("SELECT * FROM ingest.rejected_messages WHERE {} ORDER BY rejected_id DESC LIMIT {}")
    with connection.cursor(row_factory=class_row(DeadLetter)) as cursor:
        return cursor.execute(query.format(selection.condition(), limit)).fetchall()


def find(connection: psycopg.Connection, rejected_id: int) -> DeadLetter | None:
    """The dead letter of that number, if there is one."""
    with connection.cursor(row_factory=class_row(DeadLetter)) as cursor:
        return cursor.execute("SELECT * FROM ingest.rejected_messages WHERE rejected_id = %s", [rejected_id]).fetchone()


def replay(
    connection: psycopg.Connection,
    contracts: Mapping[str, Contract],
    selection: Selection,
    on_batch: Callable[[Replayed], None] = lambda replayed: None,
) -> Replayed:
    """Decode dead letters by the contracts as they are now and land what is valid, each once.

    Landing and the note that it landed are one transaction; two replays at once share the messages out. What is
    refused again stays, with its newest reason. Arrival is when the broker first got the message.

    Args:
        connection: in autocommit.
        contracts: by topic; messages of other topics are left alone.
        selection: which messages; those that were landed by an earlier replay are passed over.
        on_batch: told after each transaction what it did.

    Raises:
        psycopg.Error: the database cannot write, or went away; what on_batch was told stays done.
    """
    landing = Landing(contracts, keep_rejects=_keep_newest_reason)
    landing.prepare(connection)
    total, last_id = Replayed(0, 0), 0
    while True:
        with connection.transaction():
            messages = _take(connection, contracts, selection, last_id)
            if not messages:
                return total
            done = _land(connection, landing, messages)
        last_id = messages[-1].offset
        total = Replayed(total.landed + done.landed, total.refused + done.refused)
        on_batch(done)


def _take(
    connection: psycopg.Connection, contracts: Mapping[str, Contract], selection: Selection, after_id: int
) -> list[Message]:
    query = sql.SQL(
        """
        SELECT topic, {} AS partition, rejected_id, coalesce(broker_at, rejected_at), key, value
        FROM ingest.rejected_messages
        WHERE replayed_at IS NULL AND rejected_id > {} AND topic = ANY({}) AND {}
        ORDER BY rejected_id LIMIT {} FOR UPDATE SKIP LOCKED
        """
    ).format(REPLAY_PARTITION, after_id, list(contracts), selection.condition(), REPLAY_BATCH)
    return [Message(*row) for row in connection.execute(query)]


def _land(connection: psycopg.Connection, landing: Landing, messages: Sequence[Message]) -> Replayed:
    counts: dict[str, int] = {}
    for message in messages:
        counts[message.topic] = counts.get(message.topic, 0) + 1
    # Opening locks the ledger's row until the end of this transaction: another replay waits here and then goes on.
    # The ledger counts replayed messages; their own numbers do not grow in the order in which they are replayed.
    positions = [open_position(connection, topic, REPLAY_PARTITION, _SOURCE, _SOURCE, 0) for topic in sorted(counts)]
    batch, _ = landing.land(
        connection, landing.decode(messages), {p: p.next_offset + counts[p.topic] for p in positions}
    )
    refused = {reject.message.offset for reject in batch.rejects}
    connection.execute(
        "UPDATE ingest.rejected_messages SET replayed_at = clock_timestamp() WHERE rejected_id = ANY(%s)",
        [[m.offset for m in messages if m.offset not in refused]],
    )
    return Replayed(len(messages) - len(refused), len(refused))


def _keep_newest_reason(connection: psycopg.Connection, rejects: Sequence[Reject]) -> Sequence[Reject]:
    """A message that is refused again is kept already; it only gets the reason of today."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE ingest.rejected_messages SET stage = %s, reason_code = %s, field = %s, reason = %s"
            " WHERE rejected_id = %s",
            [
                (r.stage, r.error.code, storable(r.error.field), storable(r.error.reason), r.message.offset)
                for r in rejects
            ],
        )
    return []
