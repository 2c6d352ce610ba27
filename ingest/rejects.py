"""Dead letters: what was refused, why, and a second try when a contract or the registry has changed.

A replayed message lands in `raw.*` with `_partition` -2 and its `rejected_id` as `_offset`: the row points at its dead
letter, which keeps the coordinates that the message had in Kafka. What a gateway refused, it has to admit first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import psycopg
from psycopg import sql
from psycopg.rows import class_row, dict_row

from ingest.bulk import REPLAY_PARTITION
from ingest.dead_letter_headers import KEPT_OF_LONGER
from ingest.gateways.admission import Admission, Opened
from ingest.gateways.devices import REGISTRATIONS, Registration, registrable, registrations
from ingest.lander.landing import Landing, Message, Reject, storable
from ingest.lander.ledger import open_position
from plimsoll.contracts import Contract, InvalidEvent

REPLAY_BATCH = 5_000
REPLAY_BYTES = 32 * 1024 * 1024  # of values; judged and landed, they take a multiple of it
_FETCHED = 50
# Of a message that was too large for it, a gateway keeps the beginning, which would be judged as if it were all.
_IS_PART = sql.SQL("(address IS NOT NULL AND octet_length(value) IS NOT DISTINCT FROM {})").format(KEPT_OF_LONGER)
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
    """One refused message; times are UTC.

    Attributes:
        partition: with `offset` where it came from; if a gateway refused it, where its dead letter is.
        address: what it was sent to, if a gateway refused it.
        tenant_id: its owner, by the gateway.
    """

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
    address: str | None
    tenant_id: str | None

    @property
    def came_from(self) -> str:
        """Where it came from, for people."""
        return self.address or f"{self.topic}[{self.partition}]@{self.offset}"


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


def count_parts(connection: psycopg.Connection, selection: Selection) -> int:
    """How many of the dead letters are kept only in part, so that no replay can judge them."""
    query = sql.SQL("SELECT count(*) FROM ingest.rejected_messages WHERE {} AND {}")
    [(count,)] = connection.execute(query.format(selection.condition(), _IS_PART)).fetchall()
    return int(count)


def replay(
    connection: psycopg.Connection,
    contracts: Mapping[str, Contract],
    admission: Admission,
    selection: Selection,
) -> Replayed:
    """Judge dead letters by the contracts and the registry as they are now and land what is valid, each once.

    Landing and the note that it landed are one transaction; two replays at once share the messages out. What is
    refused again stays, with its newest reason. Arrival is when the broker first got the message. Of what a gateway
    kept only in part, nothing can be told: it is left alone.

    Args:
        connection: in autocommit.
        contracts: by topic; messages of other topics are left alone.
        admission: judges what a gateway refused.
        selection: which messages; those that were landed by an earlier replay are passed over.

    Raises:
        psycopg.Error: the database cannot write, or went away; what has landed stays.
    """
    landing = Landing(contracts, keep_rejects=_keep_newest_reason)
    landing.prepare(connection)
    total, last_id = Replayed(0, 0), 0
    while True:
        with connection.transaction():
            letters = _take(connection, contracts, selection, last_id)
            if not letters:
                return total
            messages = _admitted(connection, admission, letters)
            landed = _land(connection, landing, messages) if messages else 0
            done = Replayed(landed, len(letters) - landed)
        last_id = letters[-1].rejected_id
        total = Replayed(total.landed + done.landed, total.refused + done.refused)


def _take(
    connection: psycopg.Connection, contracts: Mapping[str, Contract], selection: Selection, after_id: int
) -> list[DeadLetter]:
    query = sql.SQL(
        """
        SELECT * FROM ingest.rejected_messages
        WHERE replayed_at IS NULL AND rejected_id > {} AND topic = ANY({}) AND {} AND NOT {}
        ORDER BY rejected_id LIMIT {} FOR UPDATE SKIP LOCKED
        """
    ).format(after_id, list(contracts), selection.condition(), _IS_PART, REPLAY_BATCH)
    taken, size = list[DeadLetter](), 0
    # A cursor of the server's locks only what is fetched of it: a few, for they may be large.
    with connection.cursor(name="dead_letters", row_factory=class_row(DeadLetter)) as cursor:
        cursor.itersize = _FETCHED
        for letter in cursor.execute(query):
            taken.append(letter)
            size += len(letter.value or b"")
            if size >= REPLAY_BYTES:
                break
    return taken


def _admitted(connection: psycopg.Connection, admission: Admission, letters: Sequence[DeadLetter]) -> list[Message]:
    """The letters as the lander would get them, without those that their gateway refuses again."""
    opened = {le.rejected_id: admission.open(le.address, le.value or b"") for le in letters if le.address}
    known = _registrations(connection, [(le.tenant_id or "", opened[le.rejected_id]) for le in letters if le.address])
    messages, refused = [], []
    for letter in letters:
        tenant_id, arrived_at = letter.tenant_id or "", letter.broker_at or letter.rejected_at
        where = letter.topic, REPLAY_PARTITION, letter.rejected_id, arrived_at
        key, value = letter.key, letter.value
        if letter.address:
            try:
                key, value = admission.judge(opened[letter.rejected_id], known[tenant_id], tenant_id, arrived_at)
            except InvalidEvent as error:
                refused.append(Reject(Message(*where, key, value), letter.stage, error))
                continue
        messages.append(Message(*where, key, value))
    _keep_newest_reason(connection, refused)
    return messages


def _registrations(
    connection: psycopg.Connection, opened: Sequence[tuple[str, Opened]]
) -> dict[str, dict[str, Registration]]:
    """Tenant and device to what is registered now about the senders of (tenant_id, message)."""
    senders: dict[str, set[str]] = {}
    for tenant_id, message in opened:
        senders.setdefault(tenant_id, set()).update([message.sender] if message.sender else [])
    found = {}
    for tenant_id, device_ids in senders.items():
        asked = registrable(device_ids)
        with connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(REGISTRATIONS, {"tenant_id": tenant_id, "device_ids": asked}).fetchall()
        found[tenant_id] = registrations(asked, rows)
    return found


def _land(connection: psycopg.Connection, landing: Landing, messages: Sequence[Message]) -> int:
    """Land what their contracts accept, and return how many those are."""
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
    return len(messages) - len(refused)


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
