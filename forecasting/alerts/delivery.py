"""Tells people what was announced: on every channel, at least once, tried again with growing pauses up to a bound.

It works on announcements that are committed, claims each before it sends it and holds no lock meanwhile: a channel that
hangs or fails delays messages and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg
from psycopg.rows import class_row

from forecasting.alerts.channels import Send

MOST_ATTEMPTS = 8
FIRST_PAUSE = timedelta(seconds=30)  # doubles: the eighth attempt is about an hour after the first
OLD_NEWS = timedelta(hours=2)  # a channel that is new is not told of more
ROUND_S = 20.0


@dataclass(frozen=True)
class Delivered:
    """A round: messages that arrived, that will be tried again, and that were given up."""

    delivered: int = 0
    failed: int = 0
    given_up: int = 0


@dataclass(frozen=True)
class _Claim:
    announcement_id: int
    channel: str
    attempts: int
    title: str
    body: str
    state: str
    severity: str


def deliver(connection: psycopg.Connection, channels: Mapping[str, Send], now: datetime | None = None) -> Delivered:
    """Send what is due, for at most about 20 seconds; what is left is for the next round.

    Args:
        connection: in autocommit, so that a claim is seen by others before its message goes out.
        channels: how to send, by the name under which deliveries are recorded.
        now: the instant to judge by (UTC); the clock's by default.
    """
    now = now or datetime.now(UTC)
    _open(connection, list(channels), now)
    ends_at, sent, failed, given_up = time.monotonic() + ROUND_S, 0, 0, 0
    while time.monotonic() < ends_at and (claim := _claim(connection, list(channels), now)):
        error = _try(channels[claim.channel], claim)
        _note(connection, claim, error, now)
        sent, failed = sent + (error is None), failed + (error is not None)
        given_up += error is not None and claim.attempts >= MOST_ATTEMPTS
    return Delivered(sent, failed - given_up, given_up)


def _open(connection: psycopg.Connection, names: list[str], now: datetime) -> None:
    connection.execute(
        """
        INSERT INTO ops.alert_deliveries (announcement_id, channel, next_attempt_at)
        SELECT announcement_id, channel, %(now)s FROM ops.alert_announcements, unnest(%(names)s::text[]) AS channel
        WHERE at > %(now)s - %(old)s
        ON CONFLICT DO NOTHING
        """,
        {"names": names, "now": now, "old": OLD_NEWS},
    )


def _claim(connection: psycopg.Connection, names: list[str], now: datetime) -> _Claim | None:
    """Take the message that is due longest and set its next attempt, which stands if the process dies here.

    What was said of an alert before comes first: nobody hears of an end whose beginning waits on the same channel.
    """
    with connection.cursor(row_factory=class_row(_Claim)) as cursor:
        return cursor.execute(
            """
            WITH due AS (
                SELECT waiting.announcement_id, waiting.channel
                FROM ops.alert_deliveries AS waiting JOIN ops.alert_announcements AS said USING (announcement_id)
                WHERE waiting.delivered_at IS NULL AND waiting.given_up_at IS NULL AND next_attempt_at <= %(now)s
                  AND waiting.channel = ANY(%(names)s)
                  AND NOT EXISTS (
                      SELECT FROM ops.alert_announcements AS before
                      JOIN ops.alert_deliveries AS earlier USING (announcement_id)
                      WHERE before.tenant_id = said.tenant_id AND before.alert_id = said.alert_id
                        AND before.announcement_id < said.announcement_id AND earlier.channel = waiting.channel
                        AND earlier.delivered_at IS NULL AND earlier.given_up_at IS NULL)
                ORDER BY next_attempt_at, waiting.announcement_id LIMIT 1 FOR UPDATE OF waiting SKIP LOCKED
            )
            UPDATE ops.alert_deliveries AS delivery
            SET attempts = attempts + 1, next_attempt_at = %(now)s + %(pause)s * 2 ^ attempts
            FROM due JOIN ops.alert_announcements AS said USING (announcement_id)
            WHERE delivery.announcement_id = due.announcement_id AND delivery.channel = due.channel
            RETURNING delivery.announcement_id, delivery.channel, attempts, title, body, state, severity
            """,
            {"names": names, "now": now, "pause": FIRST_PAUSE},
        ).fetchone()


def _try(send: Send, claim: _Claim) -> str | None:
    try:
        return send(claim.title, claim.body, claim.state, claim.severity)
    except Exception as error:  # a channel's own fault must not stop the others
        return f"{type(error).__name__}: {error}"


def _note(connection: psycopg.Connection, claim: _Claim, error: str | None, now: datetime) -> None:
    connection.execute(
        """
        UPDATE ops.alert_deliveries
        SET delivered_at = CASE WHEN %(error)s::text IS NULL THEN %(now)s::timestamptz END, last_error = %(error)s,
            given_up_at = CASE WHEN %(error)s IS NOT NULL AND attempts >= %(most)s THEN %(now)s::timestamptz END
        WHERE announcement_id = %(id)s AND channel = %(channel)s
        """,
        {
            **{"error": error, "now": now, "most": MOST_ATTEMPTS},
            **{"id": claim.announcement_id, "channel": claim.channel},
        },
    )
