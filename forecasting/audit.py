"""Changes of state of hotspots, alerts and recommendations, and the tables in which each is kept for good."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from forecasting.plain import plain


@dataclass(frozen=True)
class Change:
    """One change of a record's state; `from_state` is None when the record is new."""

    record_id: uuid.UUID
    from_state: str | None
    to_state: str
    reason: str


@dataclass(frozen=True)
class Audit:
    """Where the changes of one kind of record are kept: `ops.<record>_events`, by `<record>_id`."""

    record: str

    def append(
        self, connection: psycopg.Connection, tenant_id: str, changes: Iterable[Change], now: datetime, actor: str
    ) -> None:
        """Add a row for each change."""
        statement = sql.SQL(
            "INSERT INTO ops.{} (tenant_id, {}, at, from_state, to_state, actor, reason) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s)"
        ).format(sql.Identifier(f"{self.record}_events"), sql.Identifier(f"{self.record}_id"))
        rows = [(tenant_id, one.record_id, now, one.from_state, one.to_state, actor, one.reason) for one in changes]
        with connection.cursor() as cursor:
            cursor.executemany(statement, rows)


HOTSPOTS, ALERTS, RECOMMENDATIONS = Audit("hotspot"), Audit("alert"), Audit("recommendation")


def stored(value: Any) -> Any:
    """A field of a record as its column takes it: what has parts is JSON."""
    return Jsonb(plain(value)) if isinstance(value, dict | list) else value
