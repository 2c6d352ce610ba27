"""The calendar: what makes days unlike others at a site or everywhere. Public holidays need no entry."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Self
from uuid import UUID

import psycopg
from psycopg.rows import dict_row
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    NaiveDatetime,
    model_validator,
)

from ingest.registry.csv_files import at_line
from ingest.registry.entries import EventKind, Name, RegistryError
from ingest.registry.tenants import put_tenant

EVERY_SITE = "*"
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
LONGEST = timedelta(days=366)
# A mistyped year; forecasts count in nanoseconds, which have no room for the year 3026.
_FIRST, _BEYOND = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_ANY_CLOCK = Field(ge=_FIRST.replace(tzinfo=None), lt=_BEYOND.replace(tzinfo=None))
EVENTS = """
    SELECT calendar_event_id, site_id, starts_at, ends_at, kind, name, known_at, created_at
    FROM registry.calendar_events
    WHERE tenant_id = %(tenant_id)s
        AND (%(site_id)s::text IS NULL OR site_id IN (%(site_id)s, '*'))
        AND (%(kind)s::text IS NULL OR kind = %(kind)s)
        AND (%(ends_after)s::timestamp IS NULL OR ends_at > %(ends_after)s)
        AND (%(after_start)s::timestamp IS NULL OR (starts_at, calendar_event_id) > (%(after_start)s, %(after_id)s))
    ORDER BY starts_at, calendar_event_id
    LIMIT %(limit)s
"""

Row = dict[str, Any]


class NewCalendarEvent(BaseModel):
    """An event to put into the calendar; once it is read, `end` is the first instant after it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "site_id": "gym",
                    "start": "2026-12-19",
                    "end": "2027-01-03",
                    "kind": "closure",
                    "name": "Winter break",
                }
            ]
        },
    )

    site_id: Annotated[Name, Field(description="A site, a series such as `route:1:0`, or * for all.")] = EVERY_SITE
    start: Annotated[NaiveDatetime, _ANY_CLOCK, Field(description="On the site's clock: a day, or a day and time.")]
    end: Annotated[
        NaiveDatetime,
        _ANY_CLOCK,
        Field(description="On the site's clock. If start and end have no time, the last day; else when it is over."),
    ]
    kind: Annotated[
        EventKind,
        Field(description="A closure makes the forecast 0; a season is weeks with a daily rhythm of their own."),
    ]
    name: Annotated[Name, Field(description="What people call it; equal names are the same event in other years.")]
    known_at: Annotated[
        Annotated[AwareDatetime, Field(ge=_FIRST, lt=_BEYOND)] | None,
        Field(description="No forecast made before it knows of the event; by default now."),
    ] = None

    @model_validator(mode="wrap")
    @classmethod
    def _in_order(cls, told: Any, read: ModelWrapValidatorHandler[Self]) -> Self:
        event = read(told)
        # Only what was told still tells a day from its midnight.
        if isinstance(told, Mapping) and _is_day(told["start"]) and _is_day(told["end"]):
            event.end += timedelta(days=1)
        if event.end <= event.start:
            raise ValueError("end: must be after start")
        if event.end - event.start > LONGEST:
            raise ValueError("end: must be within a year of start; is the year right?")
        return event


@dataclass
class Imported:
    """What became of the events of a file."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0


def list_events(
    connection: psycopg.Connection,
    tenant_id: str,
    *,
    site_id: str | None = None,
    kind: str | None = None,
    ends_after: datetime | None = None,
) -> list[Row]:
    """A tenant's events by start."""
    query = {
        "tenant_id": tenant_id, "site_id": site_id, "kind": kind, "ends_after": ends_after, "after_start": None,
        "after_id": None, "limit": None,
    }  # fmt: skip
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(EVENTS, query).fetchall()


def add_event(connection: psycopg.Connection, tenant_id: str, event: NewCalendarEvent) -> Row:
    """Put an event into the calendar and return it.

    Raises:
        RegistryError: unknown_site, the tenant has no such site or series.
    """
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        put_tenant(connection, tenant_id)
        _require_site(connection, tenant_id, event.site_id)
        row = cursor.execute(
            """
            INSERT INTO registry.calendar_events (tenant_id, site_id, starts_at, ends_at, kind, name, known_at)
            VALUES (%s, %s, %s, %s, %s, %s, coalesce(%s, clock_timestamp()))
            RETURNING calendar_event_id, site_id, starts_at, ends_at, kind, name, known_at, created_at
            """,
            [tenant_id, event.site_id, event.start, event.end, event.kind, event.name, event.known_at],
        ).fetchone()
    assert row is not None
    return row


def import_events(connection: psycopg.Connection, tenant_id: str, events: Mapping[int, NewCalendarEvent]) -> Imported:
    """Put the events of a file, by line, into the calendar, all or none; one that is there already is not added again.

    Raises:
        RegistryError: unknown_site; the message names the line.
    """
    done = Imported()
    with connection.transaction():
        for line, event in events.items():
            there = _same_event(connection, tenant_id, event)
            if there is None:
                with at_line(line):
                    add_event(connection, tenant_id, event)
                done.added += 1
            elif event.known_at in (None, there["known_at"]):
                done.unchanged += 1
            else:
                connection.execute(
                    "UPDATE registry.calendar_events SET known_at = %s WHERE tenant_id = %s AND calendar_event_id = %s",
                    [event.known_at, tenant_id, there["calendar_event_id"]],
                )
                done.changed += 1
    return done


def remove_event(connection: psycopg.Connection, tenant_id: str, calendar_event_id: UUID) -> None:
    """Take an event out of the calendar; forecasts made from now on know nothing of it.

    Raises:
        RegistryError: unknown_event.
    """
    removed = connection.execute(
        "DELETE FROM registry.calendar_events WHERE tenant_id = %s AND calendar_event_id = %s",
        [tenant_id, calendar_event_id],
    ).rowcount
    if not removed:
        raise RegistryError("unknown_event", f"no event '{calendar_event_id}' is in the calendar", "calendar_event_id")


def _require_site(connection: psycopg.Connection, tenant_id: str, site_id: str) -> None:
    """Refuse a site that is neither registered nor heard: an event of it would never count."""
    known = connection.execute(
        """
        SELECT 1 FROM registry.sites WHERE tenant_id = %(tenant)s AND site_id = %(site)s
        UNION ALL
        SELECT 1 FROM registry.routes
        WHERE tenant_id = %(tenant)s AND 'route:' || route_id || ':' || direction_id = %(site)s
        UNION ALL
        SELECT 1 FROM live.occupancy WHERE tenant_id = %(tenant)s AND site_id = %(site)s
        UNION ALL
        SELECT 1 FROM live.traffic WHERE tenant_id = %(tenant)s AND stream_id::text = %(site)s
        LIMIT 1
        """,
        {"tenant": tenant_id, "site": site_id},
    ).fetchone()
    if site_id != EVERY_SITE and known is None:
        raise RegistryError("unknown_site", f"no site or series '{site_id}' is known; write * for all", "site_id")


def _same_event(connection: psycopg.Connection, tenant_id: str, event: NewCalendarEvent) -> Row | None:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """
            SELECT calendar_event_id, known_at FROM registry.calendar_events
            WHERE tenant_id = %s AND site_id = %s AND starts_at = %s AND ends_at = %s AND kind = %s AND name = %s
            ORDER BY known_at LIMIT 1
            """,
            [tenant_id, event.site_id, event.start, event.end, event.kind, event.name],
        ).fetchone()


def _is_day(told: Any) -> bool:
    if isinstance(told, str):
        return _DAY.fullmatch(told) is not None
    return isinstance(told, date) and not isinstance(told, datetime)
