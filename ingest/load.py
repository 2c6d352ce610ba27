"""Bulk load of a file: straight into its raw table by the contract, without Kafka, and resumable.

A load is known by the file's content and by how it is read. The ledger counts its rows in the transaction that lands
them: one that was broken off goes on after its last row, and one that is done is not done again.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

import msgspec
import psycopg

from ingest.bulk import FIRST_FILE_PARTITION, BulkLoad
from ingest.columns import Plan, Row, RowReader
from ingest.files import RowFile, open_rows
from ingest.lander.landing import Message, no_garbage_collection
from ingest.lander.ledger import FencedError
from ingest.survey import SiteSurvey
from plimsoll.errors import PlimsollError

_LOAD_LOCK = 7_305_802  # any constant: the class of the advisory locks on load ids


@dataclass(frozen=True)
class Loaded:
    """What came of a load.

    Attributes:
        rows: landed from the file as a whole, whichever run landed them.
        rejected: refused by the contract, likewise.
        now: rows that this run dealt with.
        done_before_at: when an earlier run had finished it; None if none had.
        is_complete: False if this run was stopped before the end.
    """

    rows: int
    rejected: int
    now: int
    done_before_at: datetime | None = None
    is_complete: bool = True


class _Load(NamedTuple):
    load_id: int
    partition: int
    first_offset: int
    rows_landed: int | None
    rows_rejected: int | None
    finished_at: datetime | None


def load(
    connection: psycopg.Connection,
    plan: Plan,
    stop: threading.Event,
    on_progress: Callable[[str, int, int], None] = lambda doing, done, size: None,
    on_sites: Callable[[SiteSurvey], None] = lambda survey: None,
) -> Loaded:
    """Load a file, or what an earlier run left of it.

    Args:
        connection: in autocommit; used for nothing else meanwhile.
        plan: the file, its stream and its columns.
        stop: set it to end after the chunk in hand.
        on_progress: told after every chunk what is done ("surveying", then "loading"), the bytes read and the file's
            size (bytes).
        on_sites: told about the file's sites before the first row lands: marts built meanwhile shall know them.

    Raises:
        PlimsollError: the file cannot be read so, or another load of it is under way.
        psycopg.Error: the database cannot write, or went away; what has landed stays, another run goes on behind it.
    """
    try:
        with open_rows(plan.file) as file:
            reader = RowReader(plan, file)
            found = _claim(connection, plan, _identity(plan, reader), file.size)
            if found.finished_at is not None:
                return Loaded(found.rows_landed or 0, found.rows_rejected or 0, 0, found.finished_at)
            with _held(connection, plan, found), no_garbage_collection():
                bulk = BulkLoad(connection, {plan.contract.topic: plan.contract}, found.partition)
                if bulk.next_offset(plan.contract.topic) == found.first_offset:
                    survey = _survey(plan, stop, partial(on_progress, "surveying"))
                    if not stop.is_set():
                        on_sites(survey)
                chunks = _told(reader.chunks(), file, partial(on_progress, "loading"))
                loaded = _land(connection, plan, found, bulk, chunks, stop)
                if loaded.is_complete:
                    _finish(connection, found, loaded)
                return loaded
    except FencedError as error:
        raise PlimsollError(f"{plan.file.name}: another process landed rows of it meanwhile: {error}") from error


def _identity(plan: Plan, reader: RowReader) -> str:
    with plan.file.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    how = [plan.contract.topic, plan.tenant_id, plan.time_zone]
    digest.update(msgspec.json.encode([how, dict(plan.mapping), reader.constants], order="deterministic"))
    return digest.hexdigest()


def _claim(connection: psycopg.Connection, plan: Plan, identity: str, size_bytes: int) -> _Load:
    """The load of this identity; a new one gets a partition that no unfinished load uses."""
    topic = plan.contract.topic
    columns = "load_id, partition, first_offset, rows_landed, rows_rejected, finished_at"
    with connection.transaction():
        connection.execute("LOCK TABLE ingest.loads IN SHARE ROW EXCLUSIVE MODE")
        row = connection.execute(f"SELECT {columns} FROM ingest.loads WHERE identity = %s", [identity]).fetchone()  # noqa: S608
        if row is None:
            busy = connection.execute(
                "SELECT partition FROM ingest.loads WHERE topic = %s AND finished_at IS NULL", [topic]
            )
            taken = {partition for (partition,) in busy}
            free = next(p for p in itertools.count(FIRST_FILE_PARTITION, -1) if p not in taken)
            row = connection.execute(
                f"""
                INSERT INTO ingest.loads (identity, topic, partition, first_offset, tenant_id, file_name, size_bytes)
                SELECT %s, %s, %s, coalesce(max(next_offset), 0), %s, %s, %s
                FROM ingest.offsets WHERE topic = %s AND partition = %s
                RETURNING {columns}
                """,  # noqa: S608
                [identity, topic, free, plan.tenant_id, plan.file.name, size_bytes, topic, free],
            ).fetchone()
    assert row is not None  # found or inserted
    return _Load(*row)


@contextmanager
def _held(connection: psycopg.Connection, plan: Plan, found: _Load) -> Iterator[None]:
    """Hold the load for this session, which a killed process loses with its connection."""
    lock = [_LOAD_LOCK, found.load_id]
    if connection.execute("SELECT pg_try_advisory_lock(%s, %s)", lock).fetchone() != (True,):
        raise PlimsollError(f"{plan.file.name}: is being loaded by another process; wait for it, or stop it")
    try:
        yield
    finally:
        with suppress(psycopg.Error):  # a session that is gone has given it up
            connection.execute("SELECT pg_advisory_unlock(%s, %s)", lock)


def _survey(plan: Plan, stop: threading.Event, on_chunk: Callable[[int, int], None]) -> SiteSurvey:
    survey = SiteSurvey(plan.contract)
    with open_rows(plan.file) as file:
        for rows in _told(RowReader(plan, file).chunks(), file, on_chunk):
            survey.add(rows)
            if stop.is_set():
                break
    return survey


def _told(chunks: Iterator[list[Row]], file: RowFile, on_chunk: Callable[[int, int], None]) -> Iterator[list[Row]]:
    for rows in chunks:
        yield rows
        on_chunk(file.done(), file.size)


def _land(
    connection: psycopg.Connection,
    plan: Plan,
    found: _Load,
    bulk: BulkLoad,
    chunks: Iterator[list[Row]],
    stop: threading.Event,
) -> Loaded:
    topic, now = plan.contract.topic, 0
    for rows in itertools.takewhile(lambda _: not stop.is_set(), chunks):
        todo = rows[max(0, bulk.next_offset(topic) - found.first_offset - rows[0].number) :]
        if todo:
            bulk.land(_messages(todo, topic, found), {topic: found.first_offset + todo[-1].number + 1})
            now += len(todo)
    dealt_with = bulk.next_offset(topic) - found.first_offset
    rejected = _rejected(connection, topic, found)
    return Loaded(dealt_with - rejected, rejected, now, is_complete=not stop.is_set())


def _messages(rows: Sequence[Row], topic: str, found: _Load) -> list[Message]:
    now = datetime.now(UTC)
    return [Message(topic, found.partition, found.first_offset + row.number, now, None, row.message()) for row in rows]


def _rejected(connection: psycopg.Connection, topic: str, found: _Load) -> int:
    row = connection.execute(
        'SELECT count(*) FROM ingest.rejected_messages WHERE topic = %s AND partition = %s AND "offset" >= %s',
        [topic, found.partition, found.first_offset],
    ).fetchone()
    return int(row[0]) if row else 0


def _finish(connection: psycopg.Connection, found: _Load, loaded: Loaded) -> None:
    connection.execute(
        "UPDATE ingest.loads SET rows_landed = %s, rows_rejected = %s, finished_at = clock_timestamp()"
        " WHERE load_id = %s",
        [loaded.rows, loaded.rejected, found.load_id],
    )
