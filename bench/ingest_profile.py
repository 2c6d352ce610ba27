"""Where a lander's time goes: its stages one after the other in this process, in µs of processor time per event."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import psycopg
from ingest_ground import TOPIC, Ground, Row

from ingest.lander.lander import MAX_BATCH
from ingest.lander.landing import Landing, no_garbage_collection
from ingest.lander.source import Client, PositionsLost, Source, open_source


class _Clock:
    """Adds up processor time of this thread and time on the clock, by stage."""

    def __init__(self) -> None:
        self.cpu: dict[str, float] = {}
        self.wall: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        cpu, wall = time.thread_time(), time.perf_counter()
        yield
        self.cpu[name] = self.cpu.get(name, 0.0) + time.thread_time() - cpu
        self.wall[name] = self.wall.get(name, 0.0) + time.perf_counter() - wall

    def shown(self, events: int) -> str:
        return "; ".join(
            f"{name} {1e6 * s / events:.2f} ({1e6 * self.wall[name] / events:.2f})" for name, s in self.cpu.items()
        )


def measure(ground: Ground, client: Client, events: int) -> list[Row]:
    """The stages of one lander by that client."""
    clock, done = _Clock(), 0
    source = open_source(client, ground.bootstrap_servers, [TOPIC], f"profile-{client}")
    try:
        with ground.database() as url, psycopg.connect(url, autocommit=True) as connection, no_garbage_collection():
            landing = Landing(ground.contracts)
            landing.prepare(connection)
            _start(source)
            while done < events:
                done += _land_one(clock, landing, source, connection)
    finally:
        source.close()
    return [Row(f"µs of processor (of the clock) per event, {client}", clock.shown(done))]


def _land_one(clock: _Clock, landing: Landing, source: Source, connection: psycopg.Connection) -> int:
    with clock.stage("poll"):
        messages = source.poll(MAX_BATCH, 1_000)
    with clock.stage("decode, check, fold"):
        batch = landing.decode(messages)
    rows = batch.rows.pop(TOPIC, [])
    with connection.transaction():
        with clock.stage("COPY"):
            landing.copy(connection, landing.contracts[TOPIC], rows, datetime.now(UTC))
        with clock.stage("live state, record"):
            landing.land(connection, batch, {})
    return len(messages)


def _start(source: Source) -> None:
    while True:
        try:
            source.poll(1, 100)
        except PositionsLost:
            if held := source.assigned():
                source.start(dict.fromkeys(held, 0))
                return
