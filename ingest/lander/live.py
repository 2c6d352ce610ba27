"""Live state: of a batch, the newest event per key; written only where it is newer than what is there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

import msgspec
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


@dataclass
class States:
    """What a batch says of live state: the newest event per key, and its level where the contract accumulates."""

    newest: dict[Key, tuple[Any, datetime]]
    levels: dict[Key, _Level] = field(default_factory=dict)


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
        if live.accumulate:
            rule = live.accumulate
            self._level, self._added, self._subtracted = (attrgetter(rule[p]) for p in ("column", "add", "subtract"))
            self._level_index = list(columns).index(rule["column"])
        self._columns = list(columns)
        self._upsert = _upsert(live, columns).as_bytes()

    def fold(self, events: Sequence[Any], received: Sequence[datetime]) -> States:
        """The newest event per key and the levels that lead to it.

        Args:
            events: of one batch, in the order they came.
            received: when each of them was received (UTC).
        """
        ranks = self._ranks(events)
        order = sorted(range(len(events)), key=ranks.__getitem__)  # stable: of equals, the one that came last wins
        keys = list(map(self._key, events))
        newest = {keys[i]: i for i in order}
        states = States({key: (events[i], received[i]) for key, i in newest.items()})
        if self._live.accumulate:
            levels = list(map(self._level, events))
            if None in levels:
                states.levels = self._accumulated((keys[i], ranks[i], levels[i], events[i]) for i in order)
            else:
                states.levels = {key: _Level(ranks[i], levels[i], []) for key, i in newest.items()}
        return states

    def _ranks(self, events: Sequence[Any]) -> list[Rank]:
        if self._sequence is None:
            return [(at, 0) for at in map(self._at, events)]
        return [(at, seq or 0) for at, seq in zip(map(self._at, events), map(self._sequence, events), strict=True)]

    def _accumulated(self, events: Iterable[tuple[Key, Rank, int | None, Any]]) -> dict[Key, _Level]:
        """Each key's last level and the changes after it, of events from the oldest to the newest."""
        levels: dict[Key, _Level] = {}
        last: dict[Key, Any] = {}
        for key, rank, level, values in events:
            if level is not None:
                levels[key] = _Level(rank, level, [])
            elif values != last.get(key):  # a repeat changes nothing
                change = self._added(values) - self._subtracted(values)
                levels.setdefault(key, _Level(_BEFORE_ALL, 0, [])).changes.append((rank, change))
                last[key] = values
        return levels

    def write(self, connection: psycopg.Connection, states: States, landed_at: datetime) -> int:
        """Upsert what was folded and return how many keys it had."""
        self._resolve_levels(connection, states.levels)
        rows = [self._row(key, states, landed_at) for key in sorted(states.newest)]  # one lock order for all landers
        connection.execute(self._upsert, [msgspec.json.encode(rows).decode()])
        return len(rows)

    def _resolve_levels(self, connection: psycopg.Connection, levels: dict[Key, _Level]) -> None:
        """Let changes build on the table's level where that is newer than the last one in the batch."""
        changed = [key for key, level in levels.items() if level.changes]
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
            level = levels[row[:parts]]
            rank = (row[parts], row[parts + 1] if self._sequence else 0)
            if rank >= level.rank:
                levels[row[:parts]] = _Level(rank, row[-1], [c for c in level.changes if c[0] > rank])

    def _row(self, key: Key, states: States, landed_at: datetime) -> dict[str, Any]:
        values, received_at = states.newest[key]
        row = [*self._kept(values), self._at(values), received_at, landed_at]
        if self._live.accumulate:
            row[self._level_index] = states.levels[key].now()
        return dict(zip(self._columns, row, strict=True))


def _arrays(types: list[str]) -> sql.Composable:
    return sql.SQL(", ").join(sql.SQL("%s::") + sql.SQL(kind) + sql.SQL("[]") for kind in types)  # type: ignore[arg-type]


def _upsert(live: LiveState, columns: dict[str, str]) -> sql.Composed:
    # One JSON text costs the driver a tenth of what an array for each column does.
    return sql.SQL(
        "INSERT INTO {table} AS known ({columns}) SELECT * FROM json_to_recordset(%s::json) AS new ({definitions}) "
        "ON CONFLICT ({key}) DO UPDATE SET {sets} WHERE ({newer}) > ({known})"
    ).format(
        table=sql.Identifier("live", live.table),
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        definitions=sql.SQL(", ").join(
            sql.Identifier(name) + sql.SQL(" " + kind)  # type: ignore[arg-type]
            for name, kind in columns.items()
        ),
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
