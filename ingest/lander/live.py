"""Live state: of a batch, the newest event per key; written only where it is newer than what is there."""

from __future__ import annotations

from collections.abc import Sequence
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
    """A level that a device or the table gave, or None if it is unknown, and the changes since."""

    rank: Rank
    level: int | None
    changes: list[tuple[Rank, int]]

    def now(self, highest: int) -> int | None:
        """The level with its changes, held to what its column may say; changes to an unknown one leave it unknown."""
        if self.level is None:
            return None
        return min(highest, max(0, self.level + sum(change for _, change in self.changes)))


@dataclass
class States:
    """What a batch says of live state: the newest event per key, and its level where the contract accumulates."""

    newest: dict[Key, tuple[Any, datetime]]
    levels: dict[Key, _Level] = field(default_factory=dict)


class LiveTable:
    """Folds events of one contract and upserts the result; "newer" means (event time, sequence).

    Where a contract accumulates (a load from boardings and alightings), an event without a level adds its
    difference to the last known level; an event with a level replaces it. Where such an event carries running totals
    instead of differences, the level is unknown until an event tells it.
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
            self._level, self._changes = attrgetter(rule.column), attrgetter(rule.add, rule.subtract)
            self._level_index = list(columns).index(rule.column)
            self._highest = contract.field(rule.column).bounds[1]
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
                states.levels = self._accumulated(events, keys, ranks, levels, order)
            else:
                states.levels = {key: _Level(ranks[i], levels[i], []) for key, i in newest.items()}
        return states

    def _ranks(self, events: Sequence[Any]) -> list[Rank]:
        if self._sequence is None:
            return [(at, 0) for at in map(self._at, events)]
        return [(at, seq or 0) for at, seq in zip(map(self._at, events), map(self._sequence, events), strict=True)]

    def _accumulated(
        self, events: Sequence[Any], keys: Sequence[Key], ranks: Sequence[Rank], told: Sequence[int | None],
        order: Sequence[int],
    ) -> dict[Key, _Level]:  # fmt: skip
        """Each key's last level and the changes after it; `order` is from the oldest event to the newest."""
        levels: dict[Key, _Level] = {}
        seen: dict[Key, list[Any]] = {}  # of the rank at hand: only there can an event be a repeat
        last = _BEFORE_ALL
        totals = self._carry_totals(events)
        for i in order:
            key, rank, values = keys[i], ranks[i], events[i]
            if rank != last:
                last, seen = rank, {}
            if told[i] is not None or totals[i]:
                levels[key] = _Level(rank, told[i], [])
                continue
            beside = seen.setdefault(key, [])
            if values in beside:
                continue  # a repeat changes nothing
            beside.append(values)
            added, subtracted = self._changes(values)
            if key not in levels:
                levels[key] = _Level(_BEFORE_ALL, 0, [])
            levels[key].changes.append((rank, added - subtracted))
        return levels

    def _carry_totals(self, events: Sequence[Any]) -> list[bool]:
        """Which events carry running totals, of which no change can be told."""
        rule = self._live.accumulate
        if not rule or not rule.unless:
            return [False] * len(events)
        name, total = rule.unless
        return [value == total for value in map(attrgetter(name), events)]

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
            "SELECT {key}, {rank}, {level} FROM {table} AS known JOIN unnest({arrays}) AS wanted ({key}) USING ({key})"
        ).format(
            key=sql.SQL(", ").join(map(sql.Identifier, self._live.key)),
            rank=_rank("known", self._live),
            level=sql.Identifier(self._live.accumulate.column),
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
            row[self._level_index] = states.levels[key].now(self._highest)
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
