"""Hotspots in PostgreSQL: read, written and decided upon, every change with its audit row."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import dict_row

from forecasting.audit import HOTSPOTS, Change, stored
from forecasting.hotspots.model import Entity, Hotspot
from forecasting.hotspots.policy import HotspotPolicy
from forecasting.lifecycle import HOTSPOT, UnknownRecord

DETECTOR = "detector"
_LOCK_SPACE = 7_305_805  # first half of the advisory locks, one per tenant


def lock_tenant(connection: psycopg.Connection, tenant_id: str) -> None:
    """Let one session at a time work on a tenant's hotspots, until the transaction ends."""
    connection.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [_LOCK_SPACE, tenant_id])


def read_warm(connection: psycopg.Connection, tenant_id: str, now: datetime, policy: HotspotPolicy) -> list[Hotspot]:
    """Per fingerprint the open hotspot, or else the last one if crowding now would continue it."""
    return _read(
        connection,
        """
        SELECT DISTINCT ON (fingerprint) * FROM ops.hotspots
        WHERE tenant_id = %(tenant)s AND (
            ended_at IS NULL
            OR ended_at > %(now)s - %(longest)s AND (
                source = 'live' AND (ended_at > %(now)s - %(cool_down)s OR above_since IS NOT NULL)
                OR source = 'forecast' AND state = 'resolved' AND window_to > %(now)s))
        ORDER BY fingerprint, ended_at DESC NULLS FIRST
        """,
        {
            **{"tenant": tenant_id, "now": now, "cool_down": policy.cool_down},
            "longest": policy.forecast_horizon + timedelta(hours=1),
        },
    )


def read_open(
    connection: psycopg.Connection, tenant_id: str, states: Sequence[str], entity: Entity | None = None
) -> list[Hotspot]:
    """The tenant's hotspots in the given open states, of one entity or of all."""
    return _read(
        connection,
        """
        SELECT * FROM ops.hotspots
        WHERE tenant_id = %(tenant)s AND ended_at IS NULL AND state = ANY(%(states)s)
          AND (%(kind)s::text IS NULL OR entity_kind = %(kind)s AND entity_id = %(id)s
               AND direction_id IS NOT DISTINCT FROM %(direction)s::int)
        ORDER BY fingerprint
        """,
        {
            **{"tenant": tenant_id, "states": list(states)},
            **{"kind": entity and entity.kind, "id": entity and entity.entity_id},
            "direction": entity and entity.direction_id,
        },
    )


def _read(connection: psycopg.Connection, query: str, parameters: dict[str, Any]) -> list[Hotspot]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return [_hotspot(row) for row in cursor.execute(query.encode(), parameters)]


def _hotspot(row: dict[str, Any]) -> Hotspot:
    entity = Entity(row["entity_kind"], row["entity_id"], row["direction_id"])
    own = {field.name: row[field.name] for field in fields(Hotspot) if field.name != "entity"}
    return Hotspot(entity=entity, **own)


def write(
    connection: psycopg.Connection,
    tenant_id: str,
    hotspots: Iterable[Hotspot],
    changes: Iterable[Change],
    now: datetime,
) -> None:
    """Store hotspots, new or known, and the audit of their changes."""
    columns = [field.name for field in fields(Hotspot) if field.name != "entity"]
    names = ["tenant_id", "entity_kind", "entity_id", "direction_id", *columns]
    updates = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in ("hotspot_id", "fingerprint"))
    statement = (
        f"INSERT INTO ops.hotspots ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))}) "  # noqa: S608
        f"ON CONFLICT (tenant_id, hotspot_id) DO UPDATE SET {updates}"
    )
    rows = [
        [tenant_id, hotspot.entity.kind, hotspot.entity.entity_id, hotspot.entity.direction_id]
        + [stored(getattr(hotspot, name)) for name in columns]
        for hotspot in hotspots
    ]
    with connection.cursor() as cursor:
        cursor.executemany(statement.encode(), rows)
    HOTSPOTS.append(connection, tenant_id, changes, now, DETECTOR)


def acknowledge(
    connection: psycopg.Connection,
    tenant_id: str,
    hotspot_id: uuid.UUID,
    *,
    actor: str,
    reason: str = "",
    now: datetime,
) -> Hotspot:
    """Record that a person looks after a firing hotspot. Doing so again changes nothing.

    Raises:
        UnknownRecord: the tenant has no such hotspot.
        RecordExpired: it has expired.
        WrongState: it is not firing.
    """
    with connection.transaction():
        lock_tenant(connection, tenant_id)
        found = _read(
            connection,
            "SELECT * FROM ops.hotspots WHERE tenant_id = %(tenant)s AND hotspot_id = %(id)s",
            {"tenant": tenant_id, "id": hotspot_id},
        )
        if not found:
            raise UnknownRecord(f"there is no hotspot {hotspot_id}: GET /api/hotspots lists them")
        hotspot = found[0]
        if hotspot.state == "acknowledged":
            return hotspot
        HOTSPOT.require(hotspot.state, "acknowledged")
        connection.execute(
            "UPDATE ops.hotspots SET state = 'acknowledged' WHERE tenant_id = %s AND hotspot_id = %s",
            [tenant_id, hotspot_id],
        )
        change = Change(hotspot_id, hotspot.state, "acknowledged", reason or "acknowledged")
        HOTSPOTS.append(connection, tenant_id, [change], now, actor)
        return replace(hotspot, state="acknowledged")
