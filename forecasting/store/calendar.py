"""What the registry says about calendars: own events, and whose public holidays count where."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row


def read_calendar(connection: psycopg.Connection, tenant_id: str, known_at: datetime) -> list[dict[str, Any]]:
    """The tenant's own events as known at an instant.

    They have `site_id` (or `*`), `start` and `end` (local, end exclusive), `kind`, `name` and `known_at`.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """
            SELECT site_id, starts_at AS start, ends_at AS "end", kind, name, known_at
            FROM registry.calendar_events WHERE tenant_id = %s AND known_at <= %s
            ORDER BY known_at, starts_at, site_id, name
            """,
            [tenant_id, known_at],
        ).fetchall()


def read_countries(connection: psycopg.Connection, tenant_id: str) -> dict[str, str]:
    """The country that the registry names, by site; sites without one are absent."""
    rows = connection.execute(
        "SELECT site_id, country FROM registry.sites WHERE tenant_id = %s AND country IS NOT NULL", [tenant_id]
    )
    return dict(rows.fetchall())
