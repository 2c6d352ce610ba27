"""Bulk loads: history that goes into `raw.*` without Kafka, but not without its contract, its ledger or its rejects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import psycopg

from ingest.lander.landing import Landing, Message
from ingest.lander.ledger import Position, open_position
from ingest.lander.session import open_session
from plimsoll.contracts import Contract
from plimsoll.database import migrated, reaching
from plimsoll.errors import PlimsollError

# Kafka numbers partitions from zero; bulk loads keep their place in the ledger below it.
SIMULATOR_PARTITION = -1
REPLAY_PARTITION = -2  # dead letters that were replayed
FIRST_FILE_PARTITION = -3  # files take this one or the next free one below it
_SOURCE = "bulk"


@contextmanager
def bulk_session(database_url: str, command: str) -> Iterator[psycopg.Connection]:
    """A session like a lander's, in autocommit, for a command that goes on where it stopped when it is run again.

    Args:
        database_url: settings in its `options`, such as a longer `lock_timeout`, hold.
        command: what the session and its errors are called.

    Raises:
        PlimsollError: the database cannot be reached, or stopped what was done.
    """
    with reaching(database_url):
        connection = open_session(database_url, f"plimsoll {command}")
    try:
        with connection, migrated():
            yield connection
    except psycopg.Error as error:
        raise PlimsollError(
            f"{command}: the database stopped it: {str(error).strip()}; {_remedy(error)}run the same command again: "
            "it goes on where it stopped"
        ) from error


def _remedy(error: psycopg.Error) -> str:
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return "another session holds a lock that this one waited for in vain: let it finish, or end it, and "
    return ""


class BulkLoad:
    """Lands messages whose offsets the caller numbers, each batch in one transaction with the ledger.

    Args:
        connection: in autocommit; this object prepares it.
        contracts: by topic.
        partition: the place in the ledger, below zero; loads from the same source share it.
    """

    def __init__(self, connection: psycopg.Connection, contracts: Mapping[str, Contract], partition: int) -> None:
        self._connection = connection
        self._landing = Landing(contracts)
        self._landing.prepare(connection)
        self._positions: dict[str, Position] = {
            topic: open_position(connection, topic, partition, _SOURCE, _SOURCE, 0) for topic in contracts
        }

    def next_offset(self, topic: str) -> int:
        """The first offset of a topic that has not been loaded yet; 0 before the first load."""
        return self._positions[topic].next_offset

    def land(self, messages: Iterable[Message], until: Mapping[str, int]) -> tuple[int, int]:
        """Land a batch and move each topic of `until` to its next offset; return rows landed and rejected.

        Raises:
            FencedError: another load of the same source is under way.
            psycopg.Error: the database cannot write, or went away; nothing of the batch was written.
        """
        batch, moved = self._landing.land(
            self._connection,
            self._landing.decode(list(messages)),
            {self._positions[topic]: offset for topic, offset in until.items()},
        )
        self._positions |= {position.topic: position for position in moved}
        return batch.size - len(batch.rejects), len(batch.rejects)
