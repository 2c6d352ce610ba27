"""The landing loop: poll, decode, write, advance; and what to do when Postgres or Kafka goes away.

One batch is written while the next one is polled and decoded; each is one transaction, and the second begins only when
the first has landed.
"""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import psycopg
from kafka.errors import KafkaError

from ingest.lander.cluster import Cluster
from ingest.lander.dead_letters import DeadLetters
from ingest.lander.landing import Landing, Message, Reject, first_line, no_garbage_collection
from ingest.lander.ledger import FencedError, Position, created_again, open_position
from ingest.lander.metrics import LanderMetrics
from ingest.lander.progress import lag
from ingest.lander.source import Client, Partition, PositionsLost, open_source
from ingest.lander.writer import Writer
from plimsoll.contracts import Contract
from plimsoll.errors import PlimsollError

log = logging.getLogger(__name__)
MAX_BATCH = 10_000
POLL_MS = 100
MIN_BACKOFF_S, MAX_BACKOFF_S = 0.2, 5.0
# How often the topics are looked at when nothing comes.
LOOK_EVERY_S = 1.0
# How often the positions are asked for; for two dozen partitions kafka-python takes 4 ms.
PASS_OVER_EVERY_S = 1.0
# How often the lag is measured, and cycles are collected that others (the metrics' server) leave behind.
HOUSEKEEPING_EVERY_S = 5.0
MAX_LOGGED_REJECTS = 5


@dataclass
class Landed:
    """What a lander did since it started."""

    rows: int = 0
    rejected: int = 0


class Lander:
    """Lands every contract's topic until it is stopped.

    Memory is bounded by two batches and what the Kafka client has fetched: nothing is polled while two wait for the
    database. Whatever goes wrong, the batches are given up and read again from where the ledger is.
    """

    def __init__(
        self,
        database_url: str,
        bootstrap_servers: str,
        contracts: Mapping[str, Contract],
        group: str,
        name: str | None = None,
        client: Client = "kafka-python",
    ) -> None:
        self.landed = Landed()
        self.metrics = LanderMetrics()
        self._contracts = contracts
        self._landing = Landing(contracts)
        self._dead_letters = DeadLetters(bootstrap_servers, contracts)
        self._writer = Writer(database_url, self._landing, self._dead_letters.send)
        self._stop = threading.Event()
        self._positions: dict[Partition, Position] = {}
        self._must_open = False
        self._trouble_since: float | None = None
        self._must_write = False
        self._wait_s = MIN_BACKOFF_S
        self._looked_at = self._kept_house_at = self._passed_over_at = 0.0
        self._gone: set[str] = set()
        self._cluster = Cluster(bootstrap_servers, contracts)
        try:
            missing = sorted(set(contracts) - set(self._cluster.topic_ids()))
        except KafkaError as error:
            raise PlimsollError(f"Kafka at {bootstrap_servers} does not answer: {first_line(error)}") from error
        if missing:
            raise PlimsollError(f"Kafka has no topic {', '.join(missing)}: create them with `plimsoll topics`.")
        self._source = open_source(client, bootstrap_servers, contracts, group, name)

    def stop(self) -> None:
        """Ask the loop to end after the batch in hand; safe to call from a signal handler."""
        self._stop.set()

    def run(self, until: Mapping[Partition, int] | None = None, on_batch: Callable[[], None] | None = None) -> Landed:
        """Land until stopped, or until the ledger has reached the offsets of `until`.

        Args:
            until: (topic, partition) to the offset after the last one wanted, whoever lands it.
            on_batch: called after every landed batch, for progress.
        """
        try:
            with no_garbage_collection():
                while not self._stop.is_set() and not self._round(until, on_batch):
                    pass
                self._finish_last()
        finally:
            self.close()
        return self.landed

    def behind(self, until: Mapping[Partition, int]) -> int:
        """How many messages the ledger still lacks to reach these offsets."""
        return sum(lag(self._writer.connection(), until, self._cluster.topic_ids()).values())

    def close(self) -> None:
        """Leave the group and close the connections."""
        self._source.close()
        self._writer.close()
        self._dead_letters.close()
        self._cluster.close()

    def _round(self, until: Mapping[Partition, int] | None, on_batch: Callable[[], None] | None) -> bool:
        """Land what there is, whatever goes wrong; True when the ledger has reached the offsets of `until`."""
        try:
            if self._land_next() and on_batch:
                on_batch()
            return until is not None and self._reached(until)
        except PositionsLost as error:
            log.debug("%s", error)  # opening says what there is to say
            self._must_open = True
        except FencedError as error:
            log.warning("%s; reading the ledger again", error)
            self._must_open = True
        except (psycopg.Error, KafkaError) as error:
            self._wait_out(error)
        return False

    def _land_next(self) -> bool:
        """Poll once, and write what came while the next round polls; True if something landed."""
        if self._must_open:
            self._finish()
            self._open()
            if not self._must_write:
                self._trouble_is_over()
        messages = self._source.poll(MAX_BATCH, POLL_MS)
        if messages or time.monotonic() - self._looked_at > LOOK_EVERY_S:
            self._require_same_topics()
        batch = self._landing.decode(messages)
        has_landed = self._finish()
        targets = self._targets(messages)
        if time.monotonic() - self._kept_house_at > HOUSEKEEPING_EVERY_S:
            self._keep_house()
        if time.monotonic() - self._passed_over_at > PASS_OVER_EVERY_S and self._pass_over(targets):
            self._require_same_topics()
        if targets:
            self._writer.begin(batch, targets)
        return has_landed

    def _finish(self) -> bool:
        """Wait for the batch that is being written; True if there was one."""
        outcome = self._writer.finish()
        if outcome is None:
            return False
        batch, moved = outcome
        for position in moved:
            self._positions[position.topic, position.partition] = position
        self.landed.rows += batch.size - len(batch.rejects)
        self.landed.rejected += len(batch.rejects)
        self.metrics.landed(batch)
        _log_rejects(batch.rejects)
        self._source.commit({(p.topic, p.partition): p.next_offset for p in moved})
        self._trouble_is_over()
        return True

    def _keep_house(self) -> None:
        self._kept_house_at = time.monotonic()
        gc.collect()
        try:
            bounds = self._cluster.bounds(self._positions)
        except KafkaError as error:  # a topic that has just gone, a broker that is away: others notice and tell
            log.debug("the lag cannot be measured: %s", error)
            return
        self.metrics.lag({p: max(0, end - self._positions[p].next_offset) for p, (_, end) in bounds.items()})

    def _finish_last(self) -> None:
        try:
            self._finish()
        except (psycopg.Error, KafkaError, FencedError) as error:
            log.error("the last batch did not land and will be read again: %s", first_line(error))

    def _reached(self, until: Mapping[Partition, int]) -> bool:
        """Whether the ledger has reached these offsets; partitions held by other landers are looked up."""
        behind = {
            p: end for p, end in until.items() if p not in self._positions or self._positions[p].next_offset < end
        }
        if not behind:
            return True
        if behind.keys() <= self._positions.keys():
            return False
        self._finish()
        return not any(lag(self._writer.connection(), behind, self._cluster.topic_ids()).values())

    def _targets(self, messages: Sequence[Message]) -> dict[Position, int]:
        """Each partition's position, and where it will be when these messages are landed.

        Raises:
            PositionsLost: a message is not of what the ledger is waiting for.
        """
        ends: dict[Partition, int] = {}
        for message in messages:
            partition = message.topic, message.partition
            if partition not in ends:
                position = self._positions.get(partition)
                if position is None or message.offset < position.next_offset:
                    raise PositionsLost(f"{message.topic}[{message.partition}]@{message.offset} was not asked for")
            ends[partition] = message.offset + 1
        return {self._positions[partition]: end for partition, end in ends.items()}

    def _pass_over(self, targets: dict[Position, int]) -> bool:
        """Move the targets beyond what no poll returns, such as the end of a transaction; True if there is such."""
        self._passed_over_at = time.monotonic()
        further = {}
        for partition, end in self._source.positions().items():
            position = self._positions.get(partition)
            if position is not None and end > targets.get(position, position.next_offset):
                further[position] = end
        targets.update(further)
        return bool(further)

    def _require_same_topics(self) -> None:
        """Compare ids after messages were fetched, which is exact: an id never comes back, so they are of these topics.

        A topic that was deleted and has not come back has no id: what was fetched before is still good.

        Raises:
            PositionsLost: a topic is another one than the ledger knows.
        """
        if position := created_again(self._positions.values(), self._topic_ids()):
            raise PositionsLost(f"topic {position.topic} was created again")
        self._looked_at = time.monotonic()

    def _topic_ids(self) -> dict[str, str]:
        """The topics' ids; a topic that is gone is reported once."""
        topic_ids = self._cluster.topic_ids()
        gone = set(self._contracts) - set(topic_ids)
        for topic in sorted(gone - self._gone):
            log.error("topic %s was deleted: nothing of it can land until it is created again", topic)
        self._gone = gone
        return topic_ids

    def _open(self) -> None:
        """The partitions held now go on where the ledger says."""
        self._positions.clear()
        connection = self._writer.connection()
        cluster_id, topic_ids = self._cluster.cluster_id(), self._topic_ids()
        bounds = self._cluster.bounds(p for p in self._source.assigned() if p[0] in topic_ids)
        for (topic, number), (first, end) in bounds.items():
            read_end = partial(self._cluster.end, (topic, number))
            position = open_position(connection, topic, number, cluster_id, topic_ids[topic], first, end, read_end)
            self._positions[topic, number] = position
        self._source.start({partition: position.next_offset for partition, position in self._positions.items()})
        self._must_open = False
        self._kept_house_at = 0.0  # the lag is of other partitions now
        where = ", ".join(f"{t}[{n}]@{p.next_offset}" for (t, n), p in self._positions.items())
        log.info("landing %s", where or "nothing: no partition is left for this lander")

    def _wait_out(self, error: psycopg.Error | KafkaError) -> None:
        """Give up the batch in hand and wait, longer each time, until the trouble is over.

        Who does not answer is over it when it answers. A database that answers and does not take what is written
        (its disk is full, a table is missing) is over it when it has taken a batch.
        """
        if self._trouble_since is None:
            self._trouble_since = time.monotonic()
        self._must_write = isinstance(error, psycopg.Error) and self._writer.is_connected
        who = "Postgres" if isinstance(error, psycopg.Error) else "Kafka"
        log.error("nothing can land because of %s: %s; trying again in %.1f s", who, first_line(error), self._wait_s)
        if isinstance(error, psycopg.Error):
            self._writer.disconnect()
        gc.collect()  # each connection that fails leaves cycles, and no house is kept until one succeeds
        self._must_open = True
        self._stop.wait(self._wait_s)
        self._wait_s = min(self._wait_s * 2, MAX_BACKOFF_S)

    def _trouble_is_over(self) -> None:
        if self._trouble_since is not None:
            log.info("landing again, after %.1f s", time.monotonic() - self._trouble_since)
        self._trouble_since, self._must_write, self._wait_s = None, False, MIN_BACKOFF_S


def _log_rejects(rejects: Sequence[Reject]) -> None:
    for reject in rejects[:MAX_LOGGED_REJECTS]:
        message = reject.message
        log.info("rejected %s[%d]@%d: %s", message.topic, message.partition, message.offset, reject.error)
    if len(rejects) > MAX_LOGGED_REJECTS:
        log.info("rejected %d more; `plimsoll rejects list` shows them", len(rejects) - MAX_LOGGED_REJECTS)
