"""The landing loop: poll, decode, write, advance; and what to do when Postgres or Kafka goes away."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import psycopg

from ingest.lander.dead_letters import DeadLetters
from ingest.lander.landing import Batch, Landing, Message, Reject
from ingest.lander.ledger import FencedError, Position, open_position
from ingest.lander.progress import lag
from ingest.lander.source import KafkaSource, Partition
from plimsoll.contracts import Contract, InvalidEvent
from plimsoll.errors import PlimsollError

log = logging.getLogger(__name__)
MAX_BATCH = 10_000
POLL_MS = 100
MAX_BACKOFF_S = 10.0


@dataclass
class Landed:
    """What a lander did since it started."""

    rows: int = 0
    rejected: int = 0


class Lander:
    """Lands every contract's topic until it is stopped.

    Memory is bounded by one batch: nothing is polled while a batch waits for the database.
    """

    def __init__(
        self, database_url: str, bootstrap_servers: str, contracts: Mapping[str, Contract], name: str | None = None
    ) -> None:
        self.landed = Landed()
        self._database_url = database_url
        self._contracts = contracts
        self._landing = Landing(contracts)
        self._dead_letters = DeadLetters(bootstrap_servers, contracts)
        self._stop = threading.Event()
        self._positions: dict[Partition, Position] = {}
        self._connection: psycopg.Connection | None = None
        self._source = KafkaSource(bootstrap_servers, contracts, self._open, name)
        self._cluster_id, self._topic_ids = self._source.identity(contracts)
        missing = sorted(set(contracts) - set(self._topic_ids))
        if missing:
            raise PlimsollError(f"Kafka has no topic {', '.join(missing)}: create them with `plimsoll topics`.")

    def stop(self) -> None:
        """Ask the loop to end after the batch in hand; safe to call from a signal handler."""
        self._stop.set()

    def run(self, until: Mapping[Partition, int] | None = None, on_batch: Callable[[], None] | None = None) -> Landed:
        """Land until stopped, or until the ledger has reached the offsets of `until`.

        Args:
            until: (topic, partition) to the offset after the last one wanted, whoever lands it.
            on_batch: called after every landed batch, for progress.
        """
        gc.collect()
        gc.freeze()
        gc.disable()  # batches are rows of plain values: reference counting frees them
        try:
            while not self._stop.is_set():
                if self._step() and on_batch:
                    on_batch()
                if until is not None and self.reached(until):
                    break
        finally:
            gc.enable()
            self.close()
        return self.landed

    def behind(self, until: Mapping[Partition, int]) -> int:
        """How many messages the ledger still lacks to reach these offsets."""
        return sum(lag(self._connected(), until).values())

    def reached(self, until: Mapping[Partition, int]) -> bool:
        """Whether the ledger has reached these offsets; partitions held by other landers are looked up."""
        behind = {
            p: end for p, end in until.items() if p not in self._positions or self._positions[p].next_offset < end
        }
        if not behind:
            return True
        if behind.keys() <= self._positions.keys():
            return False
        return not any(lag(self._connected(), behind).values())

    def close(self) -> None:
        """Leave the group and close the connections."""
        self._source.close()
        self._dead_letters.close()
        if self._connection is not None:
            self._connection.close()

    def _step(self) -> bool:
        """One round; True when something was landed."""
        messages = self._source.poll(MAX_BATCH, POLL_MS)
        if not messages:
            return False
        try:
            self._land(messages)
        except FencedError as error:
            log.warning("%s; reading the ledger again", error)
            self._reopen()
        except psycopg.OperationalError as error:
            self._await_database(error)
        return True

    def _land(self, messages: list[Message]) -> None:
        batch = self._landing.decode(messages)
        targets = self._targets(messages)
        self._dead_letters.send(batch.rejects)
        try:
            moved = self._landing.write(self._connected(), batch, targets)
        except psycopg.DataError as error:
            batch, moved = self._land_without_bad_rows(messages, targets, error)
        for position in moved:
            self._positions[position.topic, position.partition] = position
        self.landed.rows += batch.size - len(batch.rejects)
        self.landed.rejected += len(batch.rejects)
        for reject in batch.rejects:
            log.info(
                "rejected %s[%d]@%d: %s",
                reject.message.topic,
                reject.message.partition,
                reject.message.offset,
                reject.error,
            )
        self._source.commit({(p.topic, p.partition): p.next_offset for p in moved})

    def _targets(self, messages: list[Message]) -> dict[Position, int]:
        ends: dict[Partition, int] = {}
        for message in messages:
            ends[message.topic, message.partition] = message.offset + 1
        return {self._positions[partition]: end for partition, end in ends.items()}

    def _land_without_bad_rows(
        self, messages: list[Message], targets: dict[Position, int], error: psycopg.DataError
    ) -> tuple[Batch, list[Position]]:
        """A value passed the contract and Postgres refuses it: find it by halves, reject it, land the rest."""
        log.error("Postgres refused a row that its contract allows: %s", error)
        bad = self._refused(messages)
        refused = {id(message) for message, _ in bad}
        batch = self._landing.decode(m for m in messages if id(m) not in refused)
        rejects = [Reject(m, "write", InvalidEvent("refused_by_database", reason)) for m, reason in bad]
        self._dead_letters.send(rejects)
        batch.rejects += rejects
        return batch, self._landing.write(self._connected(), batch, targets)

    def _refused(self, messages: list[Message]) -> list[tuple[Message, str]]:
        connection = self._connected()
        try:
            with connection.transaction(force_rollback=True):
                self._landing.write(connection, self._landing.decode(messages), {})
        except psycopg.DataError as error:
            if len(messages) == 1:
                return [(messages[0], str(error))]
            middle = len(messages) // 2
            return self._refused(messages[:middle]) + self._refused(messages[middle:])
        return []

    def _open(self, partitions: list[Partition]) -> None:
        """Newly assigned partitions go on where the ledger says."""
        if not partitions:
            self._positions.clear()
            return
        first = self._source.first_offsets(partitions)
        connection = self._connected()
        self._positions = {}
        for topic, number in partitions:
            position = open_position(
                connection, topic, number, self._cluster_id, self._topic_ids[topic], first[topic, number]
            )
            self._positions[topic, number] = position
            self._source.seek((topic, number), position.next_offset)
        log.info("landing %s", ", ".join(f"{t}[{n}]@{p.next_offset}" for (t, n), p in self._positions.items()))

    def _reopen(self) -> None:
        self._open(self._source.assigned())

    def _await_database(self, error: psycopg.OperationalError) -> None:
        """Give up the batch, wait for the database, and go back to where the ledger is."""
        wait_s = 0.2
        while not self._stop.is_set():
            log.error(
                "the database went away (%s); trying again in %.1f s",
                str(error).strip().splitlines()[0],
                wait_s,
            )
            self._stop.wait(wait_s)
            wait_s = min(wait_s * 2, MAX_BACKOFF_S)
            try:
                self._drop_connection()
                self._reopen()
            except (psycopg.OperationalError, PlimsollError) as again:
                error = psycopg.OperationalError(str(again))
                continue
            log.info("the database is back")
            return

    def _connected(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self._database_url, autocommit=True, connect_timeout=10, application_name="plimsoll-lander",
                options="-c timezone=UTC", keepalives_idle=5, keepalives_interval=2, keepalives_count=3,
            )  # fmt: skip
            self._landing.prepare(self._connection)
        return self._connection

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
