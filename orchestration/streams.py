"""How a stream's landing goes: what the lander wrote about its own work, and how far it is behind the broker."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

import psycopg

from forecasting.alerts.signals import landed_until
from plimsoll.contracts import Contract
from plimsoll.contracts.topics import Ends, end_offsets
from plimsoll.errors import PlimsollError


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
        newest_landing_at: when the last batch landed from Kafka.
        rejects: messages refused in the last 24 hours, by reason code.
        lag: messages in Kafka that are not landed yet, by partition.
    """

    rows_last_hour: int
    rows_last_day: int
    rejected_last_day: int
    rows_estimated: int
    bytes_on_disk: int
    newest_event_at: datetime | None
    newest_landing_at: datetime | None
    rejects: dict[str, int]
    lag: dict[int, int] | None


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
        newest_landing_at=landed_until(connection, [contract.topic]).get(contract.topic),
        rejects=rejects_by_reason(connection, contract.topic),
        lag=lag_by_partition(connection, contract.topic, ends),
    )


def lag_by_partition(connection: psycopg.Connection, topic: str, ends: Ends | None) -> dict[int, int] | None:
    """Messages of each partition that wait to be landed; None where the broker did not say how far it goes."""
    if ends is None:
        return None
    rows = connection.execute("SELECT partition, next_offset FROM ingest.offsets WHERE topic = %s", [topic])
    landed: dict[int, int] = dict(rows.fetchall())
    return {number: max(end - landed.get(number, 0), 0) for (of, number), end in sorted(ends.items()) if of == topic}


def ends_if_known(bootstrap_servers: str | None, contracts: Iterable[Contract]) -> Ends | None:
    """How far each topic goes; None where there is no broker or it does not answer within seconds."""
    if bootstrap_servers is None:
        return None
    try:
        return end_offsets(bootstrap_servers, [contract.topic for contract in contracts])
    except PlimsollError:
        return None


def rejects_by_reason(connection: psycopg.Connection, topic: str) -> dict[str, int]:
    """Reason code to the number of messages refused in the last 24 hours, most frequent first."""
    rows = connection.execute(
        """
        SELECT reason_code, count(*) FROM ingest.rejected_messages
        WHERE topic = %s AND rejected_at > now() - interval '1 day' GROUP BY 1 ORDER BY 2 DESC, 1
        """,
        [topic],
    )
    return dict(rows.fetchall())


def ledger(connection: psycopg.Connection) -> dict[str, int]:
    """`topic[partition]` to the next offset to land, for every stream: it moves when anything lands.

    Dead letters have a place in the ledger too; they change no mart.
    """
    rows = connection.execute(
        "SELECT topic, partition, next_offset FROM ingest.offsets WHERE topic NOT LIKE '%.dlq' ORDER BY 1, 2"
    )
    return {f"{topic}[{partition}]": next_offset for topic, partition, next_offset in rows}


def _one(connection: psycopg.Connection, query: LiteralString, values: list[object]) -> tuple[Any, ...]:
    row = connection.execute(query, values).fetchone()
    assert row is not None  # aggregates always answer
    return row
