"""The limit: what Postgres takes of the same, already decoded rows through psycopg's binary COPY."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import psycopg
from ingest_ground import TOPIC, Ground, event

from ingest.lander.landing import Landing, Message, no_garbage_collection

ROUNDS = 3


def copy_limit(ground: Ground, rows: int) -> float:
    """Rows per second of the best of three rounds into an empty copy of the raw table's day, in one transaction each.

    The copy has the columns, types and indexes of a day partition; the rows are in memory as tuples.
    """
    landing = Landing(ground.contracts)
    contract = ground.contracts[TOPIC]
    now = datetime.now(UTC)
    messages = [Message(TOPIC, 0, number, now, *event(number)) for number in range(rows)]
    with ground.database() as url, psycopg.connect(url, autocommit=True) as connection, no_garbage_collection():
        landing.prepare(connection)
        batch = landing.decode(messages)
        rates = []
        for _ in range(ROUNDS):
            connection.execute("TRUNCATE raw.occupancy_events")
            started = time.perf_counter()
            with connection.transaction():
                landing.copy(connection, contract, batch.rows[TOPIC], now)
            rates.append(rows / (time.perf_counter() - started))
    return max(rates)
