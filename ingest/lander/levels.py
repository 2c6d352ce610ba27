"""Levels that accumulate, such as a load from boardings and alightings, where no event tells them."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
import psycopg
from psycopg import sql

from plimsoll.contracts.ddl import COUNTED, live_columns
from plimsoll.contracts.model import Accumulation, Contract, LiveState

Key = tuple[Any, ...]
Rank = tuple[datetime, int]
_BEFORE_ALL: Rank = (datetime(1, 1, 2, tzinfo=UTC), 0)  # a minute before it there is a time as well
# The doors of a vehicle report apart, and their clocks differ. What is later than this is history: the reconciled
# loads of the models take it in.
PATIENCE = timedelta(minutes=1)
_SUM_BITS = 22  # beside 41 bits of milliseconds they make a positive bigint


class Change(NamedTuple):
    """A difference that one event makes to a level."""

    rank: Rank
    difference: int
    event: Any


@dataclass
class Level:
    """A level as an event or the table tells it (None: unknown), and what was counted or is to be counted on it.

    Attributes:
        rank: of the newest event in it.
        value: held to what its column may say.
        told_ms: Unix time at which an event told it.
        counted: of the last minute, so that a repeat is known: milliseconds and a checksum of each event.
        changes: of the batch, from the oldest to the newest, not counted yet.
    """

    rank: Rank
    value: int | None
    told_ms: int
    counted: set[int] = field(default_factory=set)
    changes: list[Change] = field(default_factory=list)

    @classmethod
    def told(cls, rank: Rank, value: int | None) -> Level:
        """A level that an event tells, or makes unknown."""
        return cls(rank, value, _milliseconds(rank[0]))

    def count(self, changes: Iterable[Change], highest: int) -> bool:
        """Count the changes that are new and not too late; whether one of them is older than the newest event."""
        difference, is_late = 0, False
        for change in changes:
            at = change.rank[0]
            mark = _milliseconds(at) << _SUM_BITS | _checksum(change.event)
            if at < self.rank[0] - PATIENCE or mark >> _SUM_BITS < self.told_ms or mark in self.counted:
                continue
            self.counted.add(mark)
            difference += change.difference
            is_late |= change.rank <= self.rank
            self.rank = max(self.rank, change.rank)
        if self.value is not None:
            self.value = min(highest, max(0, self.value + difference))
        return is_late

    def memory(self) -> list[int] | None:
        """For the table: when it was told, and what was counted since, of the last minute; None if nothing was."""
        since = _milliseconds(self.rank[0] - PATIENCE) << _SUM_BITS
        recent = sorted(mark for mark in self.counted if mark >= since)
        return [self.told_ms << _SUM_BITS, *recent] if recent and self.value is not None else None


class Levels:
    """Folds the levels of one contract.

    An event without a level adds its difference to the last known level, also if it comes up to a minute after a newer
    one; an event with a level replaces it. Where an event carries running totals instead of differences, the level is
    unknown until an event tells it.
    """

    def __init__(self, contract: Contract, live: LiveState, rule: Accumulation) -> None:
        self._told, self._counts = attrgetter(rule.column), attrgetter(rule.add, rule.subtract)
        self._total = (attrgetter(rule.unless[0]), rule.unless[1]) if rule.unless else None
        self._highest = contract.field(rule.column).bounds[1]
        columns = live_columns(contract, live)
        self._key = live.key
        self._columns = {name: columns[name] for name in (*live.key, rule.column, COUNTED)}
        names = {
            "table": sql.Identifier("live", live.table),
            "key": sql.SQL(", ").join(map(sql.Identifier, live.key)),
            "keys": sql.SQL(", ").join(
                sql.SQL("%s::" + columns[name] + "[]")  # type: ignore[arg-type]
                for name in live.key
            ),
            "level": sql.Identifier(rule.column),
            "counted": sql.Identifier(COUNTED),
            "rank": rank_columns("known", live),
            "columns": sql.SQL(", ").join(
                sql.Identifier(name) + sql.SQL(" " + kind)  # type: ignore[arg-type]
                for name, kind in self._columns.items()
            ),
            "same": sql.SQL(" AND ").join(sql.SQL("known.{0} = new.{0}").format(sql.Identifier(n)) for n in live.key),
        }
        self._read = sql.SQL(
            "SELECT {key}, {rank}, {level}, {counted} FROM {table} AS known"
            " JOIN unnest({keys}) AS wanted ({key}) USING ({key})"
        ).format(**names)
        self._change = sql.SQL(
            "UPDATE {table} AS known SET {level} = new.{level}, {counted} = new.{counted}, landed_at = %s"
            " FROM json_to_recordset(%s::json) AS new ({columns}) WHERE {same}"
        ).format(**names)

    def fold(
        self, events: Sequence[Any], keys: Sequence[Key], ranks: Sequence[Rank], order: Sequence[int],
        newest: Mapping[Key, int],
    ) -> dict[Key, Level]:  # fmt: skip
        """Each key's last level in a batch and the changes after it.

        Args:
            events: of one batch, in the order they came, with the key and rank of each.
            order: indices from the oldest event to the newest.
            newest: the last of these indices per key.
        """
        told = list(map(self._told, events))
        if None not in told:
            return {key: Level.told(ranks[i], told[i]) for key, i in newest.items()}
        levels: dict[Key, Level] = {}
        totals = self._carry_totals(events)
        for i in order:
            key, values = keys[i], events[i]
            if told[i] is not None or totals[i]:
                levels[key] = Level.told(ranks[i], told[i])
                continue
            added, subtracted = self._counts(values)
            level = levels.setdefault(key, Level.told(_BEFORE_ALL, 0))
            level.changes.append(Change(ranks[i], added - subtracted, values))
        return levels

    def _carry_totals(self, events: Sequence[Any]) -> list[bool]:
        """Which events carry running totals, of which no change can be told."""
        if not self._total:
            return [False] * len(events)
        value_of, total = self._total
        return [value == total for value in map(value_of, events)]

    def resolve(self, connection: psycopg.Connection, levels: dict[Key, Level], landed_at: datetime) -> None:
        """Count the changes: on the table's level where that is newer than the last one that the batch tells."""
        changes = {key: level.changes for key, level in levels.items() if level.changes}
        known = self._known(connection, changes)
        late = []
        for key in sorted(changes):
            level = levels[key]
            if key in known and known[key].rank >= level.rank:
                level = levels[key] = known[key]
            if level.count(changes[key], self._highest):
                late.append(dict(zip(self._columns, (*key, level.value, level.memory()), strict=True)))
        if late:  # older than the rows, which the upsert may therefore leave as they are
            connection.execute(self._change, [landed_at, msgspec.json.encode(late).decode()])

    def _known(self, connection: psycopg.Connection, keys: Mapping[Key, Any]) -> dict[Key, Level]:
        """What the table says of these keys."""
        if not keys:
            return {}
        rows = connection.execute(self._read, [list(column) for column in zip(*keys, strict=True)]).fetchall()
        known = {}
        for row in rows:
            at, sequence, value, counted = row[len(self._key) :]
            told, *recent = counted or [_milliseconds(at) << _SUM_BITS]
            known[row[: len(self._key)]] = Level((at, int(sequence)), value, told >> _SUM_BITS, set(recent))
        return known


def _milliseconds(at: datetime) -> int:
    return max(0, int(at.timestamp() * 1000))


def _checksum(event: Any) -> int:
    """The same in every process, and for a repeat; events of other milliseconds need not differ in it."""
    return zlib.crc32(msgspec.json.encode(event)) & ((1 << _SUM_BITS) - 1)


def rank_columns(table: str, live: LiveState) -> sql.Composed:
    """(event time, sequence) of one side, comparable even where a column was never set."""
    at = sql.SQL("coalesce({}, '0001-01-02 00:00:00+00'::timestamptz)").format(sql.Identifier(table, live.at))
    if not live.sequence:
        return at + sql.SQL(", 0")
    return at + sql.SQL(", coalesce({}, 0)").format(sql.Identifier(table, live.sequence))
