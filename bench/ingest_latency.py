"""From producing to committed at a steady rate: a lander that keeps up, and how long each event takes through it.

Run as a program, this file is the producer: a process of its own, so that it does not wait for the observer's lock.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psycopg
from ingest_ground import TOPIC, Ground, Row, await_that, console, event, milliseconds, percentile

from plimsoll.contracts.topics import end_offsets

RATE = 10_000
WANTED_P99_S = 0.1
WARM_UP_S = 2
LOOK_EVERY_S = 0.002  # all the time would take the lander's processor
# Events leave in bursts, and Kafka gets them in batches: a producer of single events would take a core of its own.
BURST_S, LINGER_MS = 0.005, 5
Sent = dict[tuple[int, int], float]
"""(partition, offset) to the time when its event was handed to the producer (s since the epoch)."""


def measure(ground: Ground, client: str, seconds: float) -> list[Row]:
    """Times from produce() to the commit of the transaction that landed the event."""
    with ground.database() as url, psycopg.connect(url, autocommit=True) as watcher:
        environment = ground.environment(url, PLIMSOLL_KAFKA_CLIENT=client)
        _skip_what_is_there(ground, watcher)
        with ground.running(environment, "lander", "run", "--name", "latency"), console.status(f"latency, {client}"):
            await_that(lambda: _is_at_work(watcher), "the lander to begin", 60)
            times = _watched(ground, watcher, seconds)
    ground.events += int(RATE * (seconds + WARM_UP_S))
    p99 = percentile(sorted(times), 0.99)
    what = f"produce → committed at {RATE:,} events/s, {client}"
    return [Row(what, milliseconds(times), f"p99 ≤ {1000 * WANTED_P99_S:.0f} ms", p99 <= WANTED_P99_S)]


def _skip_what_is_there(ground: Ground, watcher: psycopg.Connection) -> None:
    """The ledger begins at the topic's end, so that only the new events land."""
    from ingest.lander.cluster import Cluster

    cluster = Cluster(ground.bootstrap_servers, [TOPIC])
    cluster_id, topic_id = cluster.cluster_id(), cluster.topic_ids()[TOPIC]
    cluster.close()
    for (topic, partition), end in end_offsets(ground.bootstrap_servers, [TOPIC]).items():
        watcher.execute(
            "INSERT INTO ingest.offsets (topic, partition, cluster_id, topic_id, next_offset, landed_at)"
            " VALUES (%s, %s, %s, %s, %s, 'epoch')",
            [topic, partition, cluster_id, topic_id, end],
        )


def _is_at_work(watcher: psycopg.Connection) -> bool:
    row = watcher.execute("SELECT count(*) FROM ingest.offsets WHERE topic <> %s", [TOPIC]).fetchone()
    return row is not None and row[0] > 0


def _watched(ground: Ground, watcher: psycopg.Connection, seconds: float) -> list[float]:
    """Look at the ledger again and again while the producer is at work; then match its offsets with what was seen."""
    sent_path = ground.folder / "sent"
    first, count = ground.events, int(RATE * (seconds + WARM_UP_S))
    arguments = [ground.bootstrap_servers, str(sent_path), str(RATE), str(first), str(count)]
    seen: list[tuple[float, dict[int, int]]] = []
    with subprocess.Popen([sys.executable, __file__, *arguments]) as producer:
        ended_at = None
        while ended_at is None or time.time() < ended_at + 5:
            rows = watcher.execute("SELECT partition, next_offset FROM ingest.offsets WHERE topic = %s", [TOPIC])
            offsets = dict(rows.fetchall())
            if not seen or offsets != seen[-1][1]:
                seen.append((time.time(), offsets))
            if ended_at is None and producer.poll() is not None:
                ended_at = time.time()
            time.sleep(LOOK_EVERY_S)
    return _matched(_read(sent_path), seen)


def _matched(sent: Sent, seen: list[tuple[float, dict[int, int]]]) -> list[float]:
    first = min(sent.values()) + WARM_UP_S
    times = []
    for partition in {partition for partition, _ in sent}:
        moments = iter((at, offsets.get(partition, 0)) for at, offsets in seen)
        at, next_offset = next(moments)
        for offset, sent_at in sorted((o, t) for (p, o), t in sent.items() if p == partition):
            while next_offset <= offset:
                at, next_offset = next(moments)  # StopIteration would mean that an event did not land
            if sent_at > first:
                times.append(at - sent_at)
    return times


def _read(path: Path) -> Sent:
    sent: Sent = {}
    for line in path.read_text().splitlines():
        partition, offset, at = line.split()
        sent[int(partition), int(offset)] = float(at)
    return sent


def _produce(bootstrap_servers: str, path: Path, rate: int, first: int, count: int) -> None:
    """Send events at an even pace and note where and when each was sent."""
    from confluent_kafka import Message, Producer

    producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": LINGER_MS, "acks": "all"})
    sent: list[str] = []
    begun = time.time()
    for number in range(count):
        producer.poll(0)
        if time.time() < begun + number / rate:
            time.sleep(BURST_S)

        def delivered(error: object, message: Message, at: float = time.time()) -> None:
            if error is None:
                sent.append(f"{message.partition()} {message.offset()} {at:.6f}\n")

        key, value = event(first + number)
        producer.produce(TOPIC, value, key, on_delivery=delivered)
    producer.flush(30)
    path.write_text("".join(sent))


if __name__ == "__main__":
    _, servers, target, events_per_s, first_event, events = sys.argv
    _produce(servers, Path(target), int(events_per_s), int(first_event), int(events))
