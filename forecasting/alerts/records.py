"""Alerts in PostgreSQL: read and written, every change with its audit row and what people are to be told of it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import class_row

from forecasting.alerts.model import RULES, Alert, Condition, Rule, announcement, is_over, noticed, rule_of
from forecasting.audit import ALERTS, Change, stored
from forecasting.lifecycle import ALERT, UnknownRecord

WATCHER = "watcher"
_LOCK_SPACE = 7_305_807  # first half of the advisory locks, one per tenant
_COLUMNS = [column.name for column in fields(Alert)]
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM ops.alerts WHERE tenant_id = %(tenant)s AND "  # noqa: S608
_LONGEST_COOL_DOWN = max(rule.cool_down for rule in (*RULES.values(), Rule()))

Outcome = tuple[Alert, Change | None]


def raise_alert(
    connection: psycopg.Connection, tenant_id: str, condition: Condition, now: datetime, actor: str = WATCHER
) -> bool:
    """Open an alert about something wrong, or bring the open one up to date; return whether its state changed."""
    with exclusive(connection, tenant_id):
        outcome = noticed(_one(connection, tenant_id, condition.fingerprint, now), condition, now)
        write(connection, tenant_id, [outcome], now, actor)
        return outcome[1] is not None


def resolve_alert(
    connection: psycopg.Connection, tenant_id: str, fingerprint: str, reason: str, now: datetime, actor: str = WATCHER
) -> bool:
    """Say that something is well again; return whether that ended an open alert."""
    with exclusive(connection, tenant_id):
        found = _one(connection, tenant_id, fingerprint, now)
        if found is None:
            return False
        outcome = is_over(found, now, reason)
        write(connection, tenant_id, [outcome], now, actor)
        return outcome[1] is not None


@contextmanager
def exclusive(connection: psycopg.Connection, tenant_id: str) -> Iterator[None]:
    """One transaction, in which no other session works on the tenant's alerts."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [_LOCK_SPACE, tenant_id])
        yield


def _one(connection: psycopg.Connection, tenant_id: str, fingerprint: str, now: datetime) -> Alert | None:
    return next((one for one in read_warm(connection, tenant_id, now, fingerprint)), None)


def read_warm(
    connection: psycopg.Connection, tenant_id: str, now: datetime, fingerprint: str | None = None
) -> list[Alert]:
    """Per fingerprint the open alert, or else the one that ended within its cool-down."""
    query = _SELECT + (
        "(ended_at IS NULL OR ended_at > %(now)s - %(longest)s) "
        "AND (%(fingerprint)s::text IS NULL OR fingerprint = %(fingerprint)s) "
        "ORDER BY fingerprint, ended_at DESC NULLS FIRST"
    )
    parameters = {"tenant": tenant_id, "now": now, "longest": _LONGEST_COOL_DOWN, "fingerprint": fingerprint}
    found: dict[str, Alert] = {}
    for alert in _read(connection, query, parameters):
        warm = alert.ended_at is None or now - alert.ended_at < rule_of(alert.rule).cool_down
        if warm and (alert.is_open or alert.state == "resolved"):
            found.setdefault(alert.fingerprint, alert)
    return list(found.values())


def _read(connection: psycopg.Connection, query: str, parameters: dict[str, Any]) -> list[Alert]:
    with connection.cursor(row_factory=class_row(Alert)) as cursor:
        return cursor.execute(query.encode(), parameters).fetchall()


def write(
    connection: psycopg.Connection, tenant_id: str, outcomes: Iterable[Outcome], now: datetime, actor: str
) -> None:
    """Store alerts, the audit of their changes, and the announcements that are due."""
    told = []
    changes = []
    for alert, change in outcomes:
        said = announcement(alert, now)
        told.append((replace(alert, announced_state=said, announced_at=now) if said else alert, said))
        changes += [change] if change else []
    statement = (
        f"INSERT INTO ops.alerts (tenant_id, {', '.join(_COLUMNS)}) "  # noqa: S608
        f"VALUES ({', '.join(['%s'] * (len(_COLUMNS) + 1))}) ON CONFLICT (tenant_id, alert_id) DO UPDATE SET "
        + ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS if name not in ("alert_id", "fingerprint"))
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            statement.encode(),
            [[tenant_id, *(stored(getattr(alert, name)) for name in _COLUMNS)] for alert, _ in told],
        )
        cursor.executemany(
            "INSERT INTO ops.alert_announcements (tenant_id, alert_id, at, state, severity, title, body) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s)",
            [
                (tenant_id, alert.alert_id, now, said, alert.severity, _title(alert, said), _body(tenant_id, alert))
                for alert, said in told
                if said
            ],
        )
    ALERTS.append(connection, tenant_id, changes, now, actor)


def _title(alert: Alert, said: str) -> str:
    return f"[{alert.severity if said == 'firing' else said}] {alert.rule} · {alert.entity_id}"


def _body(tenant_id: str, alert: Alert) -> str:
    began = alert.started_at or alert.first_seen_at
    where = f"{alert.entity_kind} {alert.entity_id}, tenant {tenant_id}"
    return f"{alert.message}\n{where}; since {began:%Y-%m-%d %H:%M} UTC; alert {alert.alert_id}"


def acknowledge(
    connection: psycopg.Connection,
    tenant_id: str,
    alert_id: uuid.UUID,
    *,
    actor: str,
    reason: str = "",
    now: datetime,
) -> Alert:
    """Record that a person looks after a firing alert. Doing so again changes nothing.

    Raises:
        UnknownRecord: the tenant has no such alert.
        WrongState: it is not firing.
    """
    with exclusive(connection, tenant_id):
        found = _read(connection, _SELECT + "alert_id = %(id)s", {"tenant": tenant_id, "id": alert_id})
        if not found:
            raise UnknownRecord(f"there is no alert {alert_id}: GET /api/alerts lists them")
        alert = found[0]
        if alert.state == "acknowledged":
            return alert
        ALERT.require(alert.state, "acknowledged")
        acknowledged = replace(alert, state="acknowledged", updated_at=max(now, alert.updated_at))
        change = Change(alert_id, alert.state, "acknowledged", reason or "acknowledged")
        write(connection, tenant_id, [(acknowledged, change)], now, actor)
        return acknowledged
