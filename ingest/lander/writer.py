"""The lander's connection to the database, and the one batch that is being written while the next one is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import psycopg

from ingest.lander.landing import Batch, Landing, Reject, first_line
from ingest.lander.ledger import Position
from ingest.lander.session import open_session
from plimsoll.errors import PlimsollError

Outcome = tuple[Batch, list[Position]]
"""What landed, and the positions that it moved the ledger to."""


class Writer:
    """Writes one batch at a time on a thread of its own.

    Args:
        database_url: where to.
        landing: writes a batch in one transaction.
        on_rejects: told the rejects before they are written, on the writer's thread.
    """

    def __init__(self, database_url: str, landing: Landing, on_rejects: Callable[[Sequence[Reject]], None]) -> None:
        self._database_url = database_url
        self._landing = landing
        self._on_rejects = on_rejects
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lander-writer")
        self._in_hand: Future[Outcome] | None = None
        self._connection: psycopg.Connection | None = None
        self._was_ready = False

    @property
    def is_connected(self) -> bool:
        """Whether the connection stands, as far as its last use told."""
        return self._connection is not None and not self._connection.closed

    def begin(self, batch: Batch, positions: Mapping[Position, int]) -> None:
        """Write a batch in the background; `finish` was called for the one before."""
        assert self._in_hand is None, "the ledger's positions are known when the batch before has landed"
        connection = self.connection()
        self._in_hand = self._thread.submit(self._landing.land, connection, batch, positions, self._on_rejects)

    def finish(self) -> Outcome | None:
        """Wait for the batch in hand; None if there is none.

        Raises:
            FencedError: another writer was faster; nothing of it was written.
            psycopg.Error: the database did not take it; nothing of it was written.
            kafka.errors.KafkaError: its rejects could not be produced; nothing of it was written.
        """
        in_hand, self._in_hand = self._in_hand, None
        return in_hand.result() if in_hand else None

    def connection(self) -> psycopg.Connection:
        """The connection, while no batch is in hand; made if need be.

        Raises:
            PlimsollError: the database has never had the lander's tables.
            psycopg.Error: it cannot be reached, or lacks tables that it had.
        """
        assert self._in_hand is None, "the connection is in the middle of a batch"
        if self._connection is None or self._connection.closed:
            self._connection = open_session(self._database_url, "plimsoll-lander")
            try:
                self._landing.prepare(self._connection)
            except psycopg.ProgrammingError as error:
                if self._was_ready:
                    raise
                raise PlimsollError(f"the tables are not there: {first_line(error)}; run `plimsoll migrate`") from error
            self._was_ready = True
        return self._connection

    def disconnect(self) -> None:
        """Let go of the connection, while no batch is in hand."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def close(self) -> None:
        """Wait for the batch in hand, whatever comes of it, and disconnect."""
        self._thread.shutdown()
        self.disconnect()
