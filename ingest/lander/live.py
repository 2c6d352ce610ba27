"""Live state: of a batch, the newest event per key; written unless what is there is newer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any

import msgspec
import psycopg
from psycopg import sql

from ingest.lander.levels import Key, Level, Levels, Rank, rank_columns
from plimsoll.contracts.ddl import COUNTED, live_columns
from plimsoll.contracts.model import Contract, LiveState


@dataclass
class States:
    """What a batch says of live state: the newest event per key, and its level where the contract accumulates."""

    newest: dict[Key, tuple[Any, datetime]]
    levels: dict[Key, Level] = field(default_factory=dict)


class LiveTable:
    """Folds events of one contract and upserts the result; "newer" means (event time, sequence), then what came last.

    What it says does not depend on how the stream was cut into batches.
    """

    def __init__(self, contract: Contract, live: LiveState) -> None:
        columns = live_columns(contract, live)
        self._key = attrgetter(*live.key)
        self._at = attrgetter(contract.event_time)
        self._sequence = attrgetter(live.sequence) if live.sequence else None
        self._kept = attrgetter(*live.key, *live.columns, *([live.sequence] if live.sequence else []))
        self._levels = Levels(contract, live, live.accumulate) if live.accumulate else None
        self._level_name = live.accumulate.column if live.accumulate else ""
        self._columns = [name for name in columns if name != COUNTED]
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
        if self._levels:
            states.levels = self._levels.fold(events, keys, ranks, order, newest)
        return states

    def _ranks(self, events: Sequence[Any]) -> list[Rank]:
        if self._sequence is None:
            return [(at, 0) for at in map(self._at, events)]
        return [(at, seq or 0) for at, seq in zip(map(self._at, events), map(self._sequence, events), strict=True)]

    def write(self, connection: psycopg.Connection, states: States, landed_at: datetime) -> int:
        """Upsert what was folded and return how many keys it had."""
        if self._levels:
            self._levels.resolve(connection, states.levels, landed_at)
        rows = [self._row(key, states, landed_at) for key in sorted(states.newest)]  # one lock order for all landers
        connection.execute(self._upsert, [msgspec.json.encode(rows).decode()])
        return len(rows)

    def _row(self, key: Key, states: States, landed_at: datetime) -> dict[str, Any]:
        values, received_at = states.newest[key]
        row = dict(zip(self._columns, [*self._kept(values), self._at(values), received_at, landed_at], strict=True))
        if self._levels:
            level = states.levels[key]
            row |= {self._level_name: level.value, COUNTED: level.memory()}
        return row


def _upsert(live: LiveState, columns: dict[str, str]) -> sql.Composed:
    # One JSON text costs the driver a tenth of what an array for each column does.
    return sql.SQL(
        "INSERT INTO {table} AS known ({columns}) SELECT * FROM json_to_recordset(%s::json) AS new ({definitions}) "
        "ON CONFLICT ({key}) DO UPDATE SET {sets} WHERE ({newer}) >= ({known})"
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
        newer=rank_columns("excluded", live),
        known=rank_columns("known", live),
    )
