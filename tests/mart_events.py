"""Events for tests of the marts: days of venues and buses, landed as the lander does it."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from plimsoll.contracts import load_contracts
from plimsoll.contracts.ddl import day_partition
from plimsoll.settings import PROJECT_DIR

TOPIC = "occupancy.events"
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
# What a refresh of occupancy runs, in its order.
MODELS = (
    "int_occupancy__runs",
    "int_occupancy__hourly_by_route",
    "fct_occupancy_hourly",
    "fct_route_occupancy_hourly",
    "fct_occupancy_daily",
)
Event = dict[str, Any]
Dbt = Callable[..., None]


def connected(database_url: str) -> psycopg.Connection:
    return psycopg.connect(database_url, autocommit=True, options="-c timezone=UTC")


def land(
    connection: psycopg.Connection,
    events: list[Event],
    landed_at: datetime | None = None,
    partition: int = 0,
    topic: str = TOPIC,
) -> None:
    """Write rows and ledger in one transaction, as the lander does; later than anything landed before."""
    contract = load_contracts(PROJECT_DIR / "data" / "contracts")[topic]
    with connection.transaction():
        known = connection.execute("SELECT max(landed_at) FROM ingest.offsets WHERE topic = %s", [topic]).fetchone()
        after = (known[0] if known and known[0] else datetime(2000, 1, 1, tzinfo=UTC)) + timedelta(microseconds=1)
        at = max(landed_at or datetime.now(UTC), after)
        connection.execute(day_partition(contract, at.date()))
        landing = {"_topic": topic, "_partition": partition, "_broker_at": at, "_landed_at": at}
        for offset, event in enumerate(events):
            row = {"tenant_id": "default", **event, **landing, "_offset": offset}
            connection.execute(
                sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                    sql.Identifier(*contract.schema_table),
                    sql.SQL(", ").join(map(sql.Identifier, row)),
                    sql.SQL(", ").join(sql.Placeholder() * len(row)),
                ),
                list(row.values()),
            )
        connection.execute(
            """
            INSERT INTO ingest.offsets (topic, partition, cluster_id, topic_id, next_offset, landed_at)
            VALUES (%s, %s, 'c', 't', 0, %s)
            ON CONFLICT (topic, partition) DO UPDATE SET landed_at = excluded.landed_at
            """,
            [topic, partition, at],
        )


def count(site_id: str, at: datetime, occupancy: int, **more: object) -> Event:
    return {"site_id": site_id, "device_id": f"D-{site_id}", "ts_device": at, "occupancy": occupancy, **more}


def venue_day(site_id: str, day: datetime) -> list[Event]:
    return [count(site_id, day + 8 * HOUR + n * 10 * MINUTE, 10 + n % 7) for n in range(60)]


def bus_day(site_id: str, day: datetime, trips: int = 10) -> list[Event]:
    """Trips of 48 minutes with a stop every 4; a tenth of those who get off is overlooked."""
    chance = random.Random(f"{site_id} {day}")
    events: list[Event] = []
    for trip in range(trips):
        load, reported = 0, 0
        for stop in range(12):
            on = chance.randint(0, 9) if stop < 8 else 0
            off = load if stop == 11 else chance.randint(0, load)
            seen_off = sum(chance.random() < 0.9 for _ in range(off))
            load += on - off
            reported = max(0, reported + on - seen_off)
            at = day + 6 * HOUR + trip * HOUR + stop * 4 * MINUTE
            served = {"trip_id": f"{day:%d}-{trip}", "route_id": "1", "direction_id": trip % 2}
            doors = {"in_count": on, "out_count": seen_off, "count_mode": "delta", "seq": len(events) + 1}
            events.append(count(site_id, at, reported, **doors, **served))
    return events
