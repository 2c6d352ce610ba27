"""Alerts about the platform's own work in `ops.alerts`: raised when a job fails, resolved when it succeeds again."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

RULE = "job_failed"
ACTOR = "dagster"


def raise_alert(
    connection: psycopg.Connection, tenant_id: str, job: str, message: str, evidence: dict[str, Any], now: datetime
) -> bool:
    """Open an alert about a job, or bring the open one up to date; return whether it is a new one."""
    with connection.transaction():
        row = connection.execute(
            """
            INSERT INTO ops.alerts (tenant_id, fingerprint, rule, entity_kind, entity_id, state, severity, message,
                                    evidence, first_seen_at, started_at, updated_at)
            VALUES (%(tenant)s, %(fingerprint)s, %(rule)s, 'system', %(job)s, 'firing', 'high', %(message)s,
                    %(evidence)s, %(now)s, %(now)s, %(now)s)
            ON CONFLICT (tenant_id, fingerprint) WHERE state IN ('pending', 'firing', 'acknowledged')
            DO UPDATE SET message = excluded.message, evidence = excluded.evidence, updated_at = excluded.updated_at
            RETURNING alert_id, xmax = 0
            """,
            {
                "tenant": tenant_id, "fingerprint": _fingerprint(job), "rule": RULE, "job": job, "message": message,
                "evidence": Jsonb(evidence), "now": now,
            },
        ).fetchone()  # fmt: skip
        assert row is not None  # either branch returns the row
        alert_id, is_new = row
        if is_new:
            _note(connection, tenant_id, alert_id, None, "firing", message, now)
        return bool(is_new)


def resolve_alert(connection: psycopg.Connection, tenant_id: str, job: str, reason: str, now: datetime) -> bool:
    """Resolve the open alert about a job; False if there is none."""
    with connection.transaction():
        row = connection.execute(
            """
            UPDATE ops.alerts AS alert SET state = 'resolved', ended_at = %s, updated_at = %s
            FROM (SELECT alert_id, state FROM ops.alerts
                  WHERE tenant_id = %s AND fingerprint = %s AND state IN ('pending', 'firing', 'acknowledged')
                  FOR UPDATE) AS before
            WHERE alert.tenant_id = %s AND alert.alert_id = before.alert_id
            RETURNING alert.alert_id, before.state
            """,
            [now, now, tenant_id, _fingerprint(job), tenant_id],
        ).fetchone()
        if row is None:
            return False
        _note(connection, tenant_id, row[0], row[1], "resolved", reason, now)
        return True


def _fingerprint(job: str) -> str:
    return f"{RULE}|system|{job}"


def _note(
    connection: psycopg.Connection,
    tenant_id: str,
    alert_id: object,
    before: str | None,
    after: str,
    reason: str,
    now: datetime,
) -> None:
    connection.execute(
        """
        INSERT INTO ops.alert_events (tenant_id, alert_id, at, from_state, to_state, actor, reason)
        VALUES (%s, %s, %s, %s, %s, %s, %s)
        """,
        [tenant_id, alert_id, now, before, after, ACTOR, reason],
    )
