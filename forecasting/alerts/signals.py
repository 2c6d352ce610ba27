"""What is wrong now, read from the live tables, the ledger and the hotspots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import psycopg
from psycopg.rows import dict_row

from forecasting.alerts.model import Condition

GRACE = timedelta(minutes=5)  # beyond the time for which its reading holds
NEVER_SO_LONG = timedelta(days=3)  # not even over a weekend in the depot
# What had run out for longer when it came is history, such as a loaded file: it was never live, so nobody fell silent.
HISTORY = timedelta(hours=1)


def high_occupancy(connection: psycopg.Connection, tenant_id: str) -> list[Condition]:
    """Sites and routes that are crowded as seen live; an area is what they are, and what is forecast can wait."""
    rows = connection.execute(
        """
        SELECT hotspots.entity_kind, concat_ws(':', entity_id, direction_id::text), severity,
               coalesce(sites.name, evidence ->> 'name', 'Route ' || entity_id), load_factor, hotspot_id::text
        FROM ops.hotspots
        LEFT JOIN registry.sites
            ON sites.tenant_id = hotspots.tenant_id AND sites.site_id = hotspots.entity_id AND entity_kind = 'site'
        WHERE hotspots.tenant_id = %s AND state IN ('firing', 'acknowledged') AND source = 'live'
          AND entity_kind IN ('site', 'route')
        """,
        [tenant_id],
    )
    return [
        Condition(
            "high_occupancy", kind, entity_id,
            f"{name} is crowded. GET /api/recommendations says what could be done.",
            severity, {"load_factor": load_factor, "hotspot_id": hotspot_id},
        )
        for kind, entity_id, severity, name, load_factor, hotspot_id in rows
    ]  # fmt: skip


def silent_devices(connection: psycopg.Connection, tenant_id: str, now: datetime) -> list[Condition]:
    """Devices that say nothing though they should.

    A bus in the depot and a closed gym are silent, too; so silence is wrong only after a last will (`offline`) or an
    error, with people still counted inside, on a road, or for days. Silence never counts as empty. Who was only ever
    heard of in history is not missed.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            """
            WITH counted AS (
                SELECT DISTINCT ON (live.device_id) live.device_id, live.site_id, live.occupancy, live.event_at,
                       live.received_at, coalesce(sites.hold_s, 1800) AS hold_s,
                       coalesce(sites.is_active, true) AS is_active
                FROM live.occupancy AS live
                LEFT JOIN registry.sites USING (tenant_id, site_id)
                WHERE live.tenant_id = %(tenant)s AND live.device_id IS NOT NULL
                  AND live.event_at
                      > live.received_at - make_interval(secs => coalesce(sites.hold_s, 1800)) - %(history)s
                ORDER BY live.device_id, live.received_at DESC
            ),
            heard AS (
                SELECT 'device' AS kind, coalesce(counted.device_id, device.device_id) AS id, counted.site_id,
                       greatest(counted.received_at, device.received_at) AS at, counted.occupancy,
                       coalesce(counted.hold_s, 1800) AS hold_s, device.error_code,
                       -- A status after which the device spoke again is history: all three by its own clock.
                       CASE WHEN coalesce(device.status_at >= counted.event_at, true)
                            AND coalesce(device.status_at >= device.heartbeat_at, true)
                            THEN device.status END AS status,
                       false AS never_rests
                FROM (
                    SELECT * FROM live.device
                    WHERE tenant_id = %(tenant)s
                      AND greatest(status_at, heartbeat_at) > received_at - %(history)s
                ) AS device
                FULL JOIN counted USING (device_id)
                WHERE coalesce(counted.is_active, true)
                  AND NOT EXISTS (
                      SELECT FROM registry.devices AS registered
                      WHERE registered.tenant_id = %(tenant)s
                        AND registered.device_id = coalesce(counted.device_id, device.device_id)
                      HAVING max(registered.valid_to) <= %(now)s)
                UNION ALL
                SELECT 'site', stream_id::text, stream_id::text, received_at, total_in_area,
                       coalesce(sites.hold_s, 600), NULL, NULL, true
                FROM live.traffic
                LEFT JOIN registry.sites ON sites.tenant_id = traffic.tenant_id AND sites.site_id = stream_id::text
                WHERE traffic.tenant_id = %(tenant)s AND coalesce(sites.is_active, true)
                  AND event_at > received_at - make_interval(secs => coalesce(sites.hold_s, 600)) - %(history)s
            )
            SELECT kind, id, site_id, at, occupancy, status, error_code FROM heard
            WHERE at < %(now)s - %(days)s
               OR status IN ('offline', 'error')
               OR (occupancy > 0 OR never_rests) AND at < %(now)s - make_interval(secs => hold_s) - %(grace)s
            """,
            {"tenant": tenant_id, "now": now, "days": NEVER_SO_LONG, "grace": GRACE, "history": HISTORY},
        ).fetchall()
    return [
        Condition(
            "device_offline", row["kind"], row["id"],
            f"Nothing heard from {row['id']} since {row['at']:%Y-%m-%d %H:%M} UTC{_last_words(row)}. "
            "Its load is unknown, not zero: check its power and its connection.",
            "warning",
            {name: row[name] for name in ("site_id", "status", "error_code", "occupancy")} | {"heard_at": row["at"]},
        )
        for row in rows
    ]  # fmt: skip


def _last_words(row: Mapping[str, object]) -> str:
    if row["status"] in ("offline", "error"):
        return ", its last status is " + " ".join(str(word) for word in (row["status"], row["error_code"]) if word)
    return f", when it counted {row['occupancy']}" if row["occupancy"] else ""


def late_streams(connection: psycopg.Connection, freshness: Mapping[str, timedelta], now: datetime) -> list[Condition]:
    """Streams whose newest landing is older than their contract promises; `freshness` by topic."""
    return [
        Condition(
            "data_late", "stream", topic,
            f"Nothing has landed in {topic} since {landed_at:%Y-%m-%d %H:%M} UTC; its contract promises at most "
            f"{freshness[topic]}. Look at the gateways, Kafka and the lander: GET /health says which is down.",
            "high",
            {"landed_at": landed_at, "promised_s": freshness[topic].total_seconds()},
        )
        for topic, landed_at in landed_until(connection, freshness).items()
        if now - landed_at > freshness[topic]
    ]  # fmt: skip


def landed_until(connection: psycopg.Connection, topics: Iterable[str]) -> dict[str, datetime]:
    """When the last batch of each topic landed from Kafka; without those of which none ever did.

    Bulk loads (partitions below zero) do not count: they promise no more, and say nothing of those who send.
    """
    rows = connection.execute(
        """
        SELECT topic, max(landed_at) FROM ingest.offsets
        WHERE topic = ANY(%s) AND partition >= 0 AND next_offset > 0 GROUP BY topic
        """,
        [list(topics)],
    )
    return dict(rows.fetchall())
