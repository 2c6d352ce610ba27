"""Live state: of a batch, the newest event per key; written only where it is newer than what is there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

import psycopg
from psycopg import sql

from plimsoll.contracts.ddl import live_columns
from plimsoll.contracts.model import Contract, LiveState

Key = tuple[Any, ...]
Rank = tuple[datetime, int]
_BEFORE_ALL: Rank = (datetime(1, 1, 1, tzinfo=UTC), 0)


@dataclass
class _Level:
    """A level that a device or the table gave, and the changes since."""

    rank: Rank
    level: int
    changes: list[tuple[Rank, int]]

    def now(self) -> int:
        return max(0, self.level + sum(change for _, change in self.changes))


class LiveTable:
    """Folds events of one contract and upserts the result; "newer" means (event time, sequence).

    Where a contract accumulates (a load from boardings and alightings), an event without a level adds its
    difference to the last known level; an event with a level replaces it.
    """

    def __init__(self, contract: Contract, live: LiveState) -> None:
        self._live = live
        columns = live_columns(contract, live)
        self._types = list(columns.values())
        self._key = attrgetter(*live.key)
        self._at = attrgetter(contract.event_time)
        self._sequence = attrgetter(live.sequence) if live.sequence else None
        self._kept = attrgetter(*live.key, *live.columns, *([live.sequence] if live.sequence else []))
        self._newest: dict[Key, tuple[Rank, Any, datetime]] = {}
        self._levels: dict[Key, _Level] = {}
        self._level_index = list(columns).index(live.accumulate["column"]) if live.accumulate else -1
        self._upsert = _upsert(live, columns)

    def add(self, values: Any, received_at: datetime) -> None:
        """Take one event of the batch into account."""
        key = self._key(values)
        rank = (self._at(values), (self._sequence(values) or 0) if self._sequence else 0)
        seen = self._newest.get(key)
        if seen is not None and (rank < seen[0] or values == seen[1]):
            return
        self._newest[key] = (rank, values, received_at)
        if self._live.accumulate:
            self._accumulate(key, values, rank)

    def _accumulate(self, key: Key, values: Any, rank: Rank) -> None:
        rule = self._live.accumulate or {}
        level = getattr(values, rule["column"])
        if level is not None:
            self._levels[key] = _Level(rank, level, [])
        else:
            change = getattr(values, rule["add"]) - getattr(values, rule["subtract"])
            self._levels.setdefault(key, _Level(_BEFORE_ALL, 0, [])).changes.append((rank, change))

    def write(self, connection: psycopg.Connection, landed_at: datetime) -> int:
        """Upsert what was folded, forget it, and return how many keys it had."""
        if not self._newest:
            return 0
        self._resolve_levels(connection)
        rows = [self._row(key, landed_at) for key in sorted(self._newest)]  # one lock order for all landers
        connection.execute(self._upsert, [list(column) for column in zip(*rows, strict=True)])
        self.forget()
        return len(rows)

    def forget(self) -> None:
        """Drop what was folded, for a batch that is given up."""
        self._newest.clear()
        self._levels.clear()

    def _resolve_levels(self, connection: psycopg.Connection) -> None:
        """Let changes build on the table's level where that is newer than the last one in the batch."""
        changed = [key for key, level in self._levels.items() if level.changes]
        if not changed or not self._live.accumulate:
            return
        query = sql.SQL(
            "SELECT {key}, {rank}, coalesce({level}, 0) FROM {table} AS known "
            "JOIN unnest({arrays}) AS wanted ({key}) USING ({key})"
        ).format(
            key=sql.SQL(", ").join(map(sql.Identifier, self._live.key)),
            rank=_rank("known", self._live),
            level=sql.Identifier(self._live.accumulate["column"]),
            table=sql.Identifier("live", self._live.table),
            arrays=_arrays(self._types[: len(self._live.key)]),
        )
        parts = len(self._live.key)
        for row in connection.execute(query, [list(column) for column in zip(*changed, strict=True)]).fetchall():
            level = self._levels[row[:parts]]
            rank = (row[parts], row[parts + 1] if self._sequence else 0)
            if rank >= level.rank:
                self._levels[row[:parts]] = _Level(rank, row[-1], [c for c in level.changes if c[0] > rank])

    def _row(self, key: Key, landed_at: datetime) -> Key:
        (at, _), values, received_at = self._newest[key]
        row = [*self._kept(values), at, received_at, landed_at]
        if self._live.accumulate:
            row[self._level_index] = self._levels[key].now()
        return tuple(row)


def _arrays(types: list[str]) -> sql.Composable:
    return sql.SQL(", ").join(sql.SQL("%s::") + sql.SQL(kind) + sql.SQL("[]") for kind in types)  # type: ignore[arg-type]


def _upsert(live: LiveState, columns: dict[str, str]) -> sql.Composed:
    return sql.SQL(
        "INSERT INTO {table} AS known ({columns}) SELECT * FROM unnest({arrays}) "
        "ON CONFLICT ({key}) DO UPDATE SET {sets} WHERE ({newer}) > ({known})"
    ).format(
        table=sql.Identifier("live", live.table),
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        arrays=_arrays(list(columns.values())),
        key=sql.SQL(", ").join(map(sql.Identifier, live.key)),
        sets=sql.SQL(", ").join(
            sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in columns if name not in live.key
        ),
        newer=_rank("excluded", live),
        known=_rank("known", live),
    )


def _rank(table: str, live: LiveState) -> sql.Composed:
    """(event time, sequence) of one side, comparable even where a column was never set."""
    order = [(live.at, "'0001-01-01 00:00:00+00'::timestamptz")]
    if live.sequence:
        order.append((live.sequence, "0"))
    return sql.SQL(", ").join(
        sql.SQL("coalesce({}, ").format(sql.Identifier(table, name)) + sql.SQL(low + ")")  # type: ignore[arg-type]
        for name, low in order
    )
