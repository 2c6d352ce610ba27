"""How a stream's landing goes: what the lander wrote about its own work, and how far it is behind the broker."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

import psycopg

from plimsoll.contracts import Contract

Ends = dict[tuple[str, int], int]
"""(topic, partition) to the offset after its newest message."""


@dataclass(frozen=True)
class StreamState:
    """One stream at one moment; None where nothing is known.

    Attributes:
        rows_last_hour: messages landed in the last hour.
        rows_last_day: messages landed in the last 24 hours.
        rejected_last_day: messages refused in the last 24 hours.
        rows_estimated: rows of the raw table, as the planner believes.
        bytes_on_disk: size of the raw table with its indexes.
        newest_event_at: the newest time that a device gave, among the batches of the last day.
        newest_landing_at: when the last batch landed.
        lag: messages in Kafka that are not landed yet.
    """

    rows_last_hour: int
    rows_last_day: int
    rejected_last_day: int
    rows_estimated: int
    bytes_on_disk: int
    newest_event_at: datetime | None
    newest_landing_at: datetime | None
    lag: int | None


def stream_state(connection: psycopg.Connection, contract: Contract, ends: Ends | None) -> StreamState:
    """Look at one stream; cheap, since it reads the lander's batches and not the raw table."""
    hour, day, rejected, newest_event_at = _one(
        connection,
        """
        SELECT coalesce(sum(rows_landed) FILTER (WHERE landed_at > now() - interval '1 hour'), 0)::bigint,
               coalesce(sum(rows_landed), 0)::bigint, coalesce(sum(rows_rejected), 0)::bigint, max(newest_event_at)
        FROM ingest.landing_batches WHERE topic = %s AND landed_at > now() - interval '1 day'
        """,
        [contract.topic],
    )
    rows_estimated, size = _one(
        connection,
        """
        SELECT coalesce(sum(greatest(reltuples, 0)), 0)::bigint, coalesce(sum(pg_total_relation_size(oid)), 0)::bigint
        FROM pg_class
        WHERE oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = to_regclass(%s))
        """,
        [contract.table],
    )
    return StreamState(
        rows_last_hour=hour,
        rows_last_day=day,
        rejected_last_day=rejected,
        rows_estimated=rows_estimated,
        bytes_on_disk=size,
        newest_event_at=newest_event_at,
        newest_landing_at=landed_until(connection, contract.topic),
        lag=lag(connection, contract.topic, ends),
    )


def landed_until(connection: psycopg.Connection, topic: str) -> datetime | None:
    """When the topic's last batch landed; None before the first."""
    row = _one(connection, "SELECT max(landed_at) FROM ingest.offsets WHERE topic = %s AND next_offset > 0", [topic])
    found: datetime | None = row[0]
    return found


def lag(connection: psycopg.Connection, topic: str, ends: Ends | None) -> int | None:
    """Messages of the topic that wait to be landed; None where the broker did not say how far it goes."""
    if ends is None:
        return None
    rows = connection.execute("SELECT partition, next_offset FROM ingest.offsets WHERE topic = %s", [topic])
    landed: dict[int, int] = dict(rows.fetchall())
    return sum(max(end - landed.get(partition, 0), 0) for (of, partition), end in ends.items() if of == topic)


def end_offsets(bootstrap_servers: str | None, contracts: Iterable[Contract]) -> Ends | None:
    """How far each topic goes; None where there is no broker or it does not answer within seconds."""
    if bootstrap_servers is None:
        return None
    from kafka import KafkaConsumer, TopicPartition
    from kafka.errors import KafkaError

    try:
        consumer = KafkaConsumer(
            bootstrap_servers=bootstrap_servers, enable_auto_commit=False,
            request_timeout_ms=5_000, bootstrap_timeout_ms=5_000,
        )  # fmt: skip
    except KafkaError:
        return None
    try:
        partitions = [
            TopicPartition(contract.topic, number)
            for contract in contracts
            for number in consumer.partitions_for_topic(contract.topic) or ()
        ]
        return {(p.topic, p.partition): end for p, end in consumer.end_offsets(partitions).items()}
    except KafkaError:
        return None
    finally:
        consumer.close()


def ledger(connection: psycopg.Connection) -> dict[str, int]:
    """`topic[partition]` to the next offset to land, for every stream: it moves when anything lands."""
    rows = connection.execute("SELECT topic, partition, next_offset FROM ingest.offsets ORDER BY 1, 2")
    return {f"{topic}[{partition}]": next_offset for topic, partition, next_offset in rows}


def _one(connection: psycopg.Connection, query: LiteralString, values: list[object]) -> tuple[Any, ...]:
    row = connection.execute(query, values).fetchone()
    assert row is not None  # aggregates always answer
    return row
