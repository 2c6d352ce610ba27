"""What is kept how long: drops old partitions and deletes old rows, as the contracts promise, and logs what went."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg
from psycopg import sql

from plimsoll.contracts import Contract
from plimsoll.errors import PlimsollError

# Tables that belong to no stream, and the column that says how old a row is.
LANDING_LOG = {"ingest.landing_batches": "landed_at", "ingest.rejected_messages": "rejected_at"}
# Their audits, announcements and deliveries go with them; what is open has not ended, and stays. Recommendations come
# first: a hotspot that goes would have to be taken out of each of its own.
DECISIONS = {"ops.recommendations": "expires_at", "ops.hotspots": "ended_at", "ops.alerts": "ended_at"}
PREDICTIONS = "forecast.occupancy_hourly"
_LANDED = "last_landed_at"
# A table that is not partitioned is cleared by the first of these columns that it has, and where it says when a row's
# events landed, by that as well: history that was loaded lately is kept as long as what happened lately.
_TIME_COLUMNS = ("hour", "service_date", _LANDED)
# A partition cannot go while somebody reads the table; rather fail and try tomorrow than hold up every reader.
_LOCK_TIMEOUT = "10s"


@dataclass(frozen=True)
class Removal:
    """What went from one relation, or would go.

    Attributes:
        relation: schema.table.
        cut_off_at: what is older went.
        rows: rows deleted, or in dropped partitions (there as the planner estimates).
        partitions: names of the partitions dropped, oldest first.
    """

    relation: str
    cut_off_at: datetime
    rows: int
    partitions: tuple[str, ...] = ()


def apply_retention(
    connection: psycopg.Connection,
    contracts: Iterable[Contract],
    now: datetime,
    *,
    keep_landing_log: timedelta = timedelta(days=30),
    keep_predictions: timedelta = timedelta(days=180),
    keep_decisions: timedelta = timedelta(days=180),
    dry_run: bool = False,
) -> list[Removal]:
    """Remove what is older than promised, each relation in a transaction of its own, and write `ops.retention_log`.

    Tables that do not exist yet are passed over. Raw tables keep whole days (UTC) by landing time.

    Args:
        connection: in autocommit.
        contracts: whose `retention` promises hold, by table.
        now: the instant to count back from.
        keep_landing_log: how long the lander's batches and the rejected messages are kept.
        keep_predictions: how long a prediction is kept after the hour that it was about.
        keep_decisions: how long hotspots, recommendations and alerts are kept after their end.
        dry_run: only say what would go.

    Raises:
        PlimsollError: a relation is in use or cannot be cleared; what went before stays gone.
    """
    keep = {table: kept for contract in contracts for table, kept in contract.retention.items()}
    keep |= dict.fromkeys(LANDING_LOG, keep_landing_log) | {PREDICTIONS: keep_predictions}
    keep |= dict.fromkeys(DECISIONS, keep_decisions)
    return list(_removals(connection, keep, now, dry_run))


def _removals(
    connection: psycopg.Connection, keep: dict[str, timedelta], now: datetime, dry_run: bool
) -> Iterator[Removal]:
    for relation, kept in keep.items():
        kind = _relation_kind(connection, relation)
        if kind is None:
            continue
        try:
            with connection.transaction():
                connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(_LOCK_TIMEOUT))
                clear = _drop_partitions if kind == "p" else _delete_rows
                removal = clear(connection, relation, now - kept, dry_run)
                _log(connection, removal, dry_run)
        except psycopg.errors.LockNotAvailable as error:
            raise PlimsollError(
                f"{relation} is in use and could not be cleared within {_LOCK_TIMEOUT}; "
                "run retention again when long queries on it have ended"
            ) from error
        yield removal


def _relation_kind(connection: psycopg.Connection, relation: str) -> str | None:
    row = connection.execute(
        "SELECT relkind::text FROM pg_class WHERE oid = to_regclass(%s) AND relkind IN ('r', 'p')", [relation]
    ).fetchone()
    return row[0] if row else None


def _drop_partitions(connection: psycopg.Connection, relation: str, cut_off: datetime, dry_run: bool) -> Removal:
    """Drop the partitions that end at or before the cut-off."""
    rows = connection.execute(
        r"""
        SELECT n.nspname, c.relname, greatest(c.reltuples, 0)::bigint
        FROM pg_inherits AS i
        JOIN pg_class AS c ON c.oid = i.inhrelid
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE i.inhparent = to_regclass(%s)
          AND substring(pg_get_expr(c.relpartbound, c.oid) FROM $$TO \('([^']+)'\)$$)::timestamptz <= %s
        ORDER BY c.relname
        """,
        [relation, cut_off],
    ).fetchall()
    if not dry_run:
        for schema, name, _ in rows:
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(schema, name)))
    return Removal(relation, cut_off, sum(count for *_, count in rows), tuple(name for _, name, _ in rows))


def _delete_rows(connection: psycopg.Connection, relation: str, cut_off: datetime, dry_run: bool) -> Removal:
    older = sql.SQL(" AND ").join(
        # What is made up for an hour in which nothing landed goes with its hour.
        sql.SQL("({} < {}) IS NOT FALSE" if column == _LANDED else "{} < {}").format(sql.Identifier(column), cut_off)
        for column in _time_columns(connection, relation)
    )
    where = sql.SQL("FROM {} WHERE {}").format(sql.Identifier(*relation.split(".", 1)), older)
    if dry_run:
        row = connection.execute(sql.SQL("SELECT count(*) {}").format(where)).fetchone()
        return Removal(relation, cut_off, row[0] if row else 0)
    return Removal(relation, cut_off, connection.execute(sql.SQL("DELETE {}").format(where)).rowcount)


def _time_columns(connection: psycopg.Connection, relation: str) -> set[str]:
    if own := (LANDING_LOG | DECISIONS).get(relation):
        return {own}
    schema, _, table = relation.partition(".")
    rows = connection.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s",
        [schema, table],
    )
    present = {name for (name,) in rows}
    for name in _TIME_COLUMNS:
        if name in present:
            return {name} | present & {_LANDED}
    raise PlimsollError(
        f"a contract promises retention for {relation}, which has none of the columns {', '.join(_TIME_COLUMNS)}: "
        "name a table that has one, or take the promise out of slaProperties"
    )


def _log(connection: psycopg.Connection, removal: Removal, dry_run: bool) -> None:
    connection.execute(
        """
        INSERT INTO ops.retention_log (relation, cut_off_at, rows_deleted, partitions_dropped, dry_run)
        VALUES (%s, %s, %s, %s, %s)
        """,
        [removal.relation, removal.cut_off_at, removal.rows, len(removal.partitions), dry_run],
    )
