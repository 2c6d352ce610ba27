"""What the registry says about calendars: own events, and whose public holidays count where."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.rows import dict_row


def read_calendar(connection: psycopg.Connection, tenant_id: str) -> list[dict[str, Any]]:
    """The tenant's own events: `site_id` (or `*`), `start`, `end` (local, end exclusive), `kind, name, known_at`."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """
            SELECT site_id, starts_at AS start, ends_at AS "end", kind, name, known_at
            FROM registry.calendar_events WHERE tenant_id = %s ORDER BY known_at, starts_at, site_id, name
            """,
            [tenant_id],
        ).fetchall()


def read_countries(connection: psycopg.Connection, tenant_id: str) -> dict[str, str]:
    """The country that the registry names, by site; sites without one are absent."""
    rows = connection.execute(
        "SELECT site_id, country FROM registry.sites WHERE tenant_id = %s AND country IS NOT NULL", [tenant_id]
    )
    return dict(rows.fetchall())
