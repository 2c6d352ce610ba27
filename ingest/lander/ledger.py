"""The offset ledger: who landed how far, kept in the transaction that lands, so that a zombie finds itself fenced."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import psycopg

log = logging.getLogger(__name__)
_BEFORE_ALL = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Position:
    """How far one partition is landed.

    Attributes:
        cluster_id: the Kafka cluster that the offsets belong to.
        topic_id: the topic's id; a topic deleted and created again gets another.
        next_offset: the first offset not landed yet.
        landed_at: when its last batch landed; the next one lands strictly later.
    """

    topic: str
    partition: int
    cluster_id: str
    topic_id: str
    next_offset: int
    landed_at: datetime


class FencedError(Exception):
    """Another writer has moved the ledger: what this one holds is stale and must be read again."""

    def __init__(self, position: Position) -> None:
        super().__init__(f"{position.topic}[{position.partition}] was landed beyond {position.next_offset} by another")


def created_again(positions: Iterable[Position], topic_ids: Mapping[str, str]) -> Position | None:
    """A position whose topic is another one by now, given the ids that topics have; one that is gone has none."""
    return next((p for p in positions if topic_ids.get(p.topic, p.topic_id) != p.topic_id), None)


def open_position(
    connection: psycopg.Connection,
    topic: str,
    partition: int,
    cluster_id: str,
    topic_id: str,
    first_offset: int,
    end_offset: int | None = None,
    read_end: Callable[[], int] | None = None,
) -> Position:
    """Where to go on with a partition, given the first offset that the broker still has and the one after its last.

    A new partition starts at `first_offset`. A topic that was created again starts over, and it is said. Offsets
    that the broker dropped before they were landed are reported as lost: nothing can bring them back. A broker that
    has less than was landed (restored from a copy) gives those offsets out again: landing goes on at its end. Since
    another writer may have landed what came after `end_offset` was read, that is judged by what `read_end` tells then.
    """
    with connection.transaction():
        connection.execute(
            """
            INSERT INTO ingest.offsets (topic, partition, cluster_id, topic_id, next_offset, landed_at)
            VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (topic, partition) DO NOTHING
            """,
            [topic, partition, cluster_id, topic_id, first_offset, _BEFORE_ALL],
        )
        found = _read(connection, topic, partition)
        wanted = replace(found, cluster_id=cluster_id, topic_id=topic_id)
        if (found.cluster_id, found.topic_id) != (cluster_id, topic_id):
            log.warning(
                "%s[%d] was created again (topic id %s, was %s): landing it from offset %d",
                topic, partition, topic_id, found.topic_id, first_offset,
            )  # fmt: skip
            wanted = replace(wanted, next_offset=first_offset)
        elif found.next_offset < first_offset:
            log.error(
                "%s[%d]: offsets %d to %d expired in Kafka before they were landed",
                topic, partition, found.next_offset, first_offset - 1,
            )  # fmt: skip
            wanted = replace(wanted, next_offset=first_offset)
        elif end_offset is not None and read_end is not None and found.next_offset > end_offset:
            wanted = replace(wanted, next_offset=min(found.next_offset, read_end()))
            if wanted.next_offset < found.next_offset:
                log.error(
                    "%s[%d]: Kafka has lost offsets %d to %d, which are landed: landing what it puts there now",
                    topic, partition, wanted.next_offset, found.next_offset - 1,
                )  # fmt: skip
        if wanted != found:
            connection.execute(
                "UPDATE ingest.offsets SET cluster_id = %s, topic_id = %s, next_offset = %s"
                " WHERE topic = %s AND partition = %s",
                [wanted.cluster_id, wanted.topic_id, wanted.next_offset, topic, partition],
            )
        return wanted


def _read(connection: psycopg.Connection, topic: str, partition: int) -> Position:
    row = connection.execute(
        """
        SELECT topic, partition, cluster_id, topic_id, next_offset, landed_at
        FROM ingest.offsets WHERE topic = %s AND partition = %s FOR UPDATE
        """,
        [topic, partition],
    ).fetchone()
    assert row is not None  # inserted by the caller's transaction
    return Position(*row)


def advance(connection: psycopg.Connection, positions: Mapping[Position, int], landed_at: datetime) -> list[Position]:
    """Move the ledger from each position to its new next offset, within the caller's transaction.

    Raises:
        FencedError: a position is not where the caller believes it to be; nothing of the transaction may stay.
    """
    if not positions:
        return []
    wanted = [(p.topic, p.partition, p.topic_id, p.next_offset, offset) for p, offset in positions.items()]
    rows = connection.execute(
        """
        UPDATE ingest.offsets AS ledger SET next_offset = wanted.next_offset, landed_at = %s
        FROM unnest(%s::text[], %s::integer[], %s::text[], %s::bigint[], %s::bigint[])
            AS wanted (topic, partition, topic_id, expected_offset, next_offset)
        WHERE ledger.topic = wanted.topic AND ledger.partition = wanted.partition
            AND ledger.topic_id = wanted.topic_id AND ledger.next_offset = wanted.expected_offset
            AND ledger.landed_at < %s
        RETURNING ledger.topic, ledger.partition
        """,
        [landed_at, *map(list, zip(*wanted, strict=True)), landed_at],
    )
    moved = set(rows.fetchall())
    for position in positions:
        if (position.topic, position.partition) not in moved:
            raise FencedError(position)
    return [replace(position, next_offset=offset, landed_at=landed_at) for position, offset in positions.items()]


def landed_offsets(connection: psycopg.Connection, topic_ids: Mapping[str, str]) -> dict[tuple[str, int], int]:
    """(topic, partition) to the next offset to land, of topics that have these ids, not of their predecessors."""
    rows = connection.execute("SELECT topic, partition, next_offset, topic_id FROM ingest.offsets")
    return {
        (topic, partition): next_offset
        for topic, partition, next_offset, topic_id in rows
        if topic_ids.get(topic) == topic_id
    }
