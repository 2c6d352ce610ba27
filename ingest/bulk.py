"""Bulk loads: history that goes into `raw.*` without Kafka, but not without its contract, its ledger or its rejects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import psycopg

from ingest.lander.landing import Landing, Message
from ingest.lander.ledger import Position, open_position
from plimsoll.contracts import Contract

# Kafka numbers partitions from zero; bulk loads keep their place in the ledger below it.
SIMULATOR_PARTITION = -1
REPLAY_PARTITION = -2  # dead letters that were replayed
FIRST_FILE_PARTITION = -3  # files take this one or the next free one below it
_SOURCE = "bulk"


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
