"""The calendar: what makes days unlike others at a site or everywhere. Public holidays need no entry."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, NamedTuple, Self
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

_INSERT = """
    INSERT INTO registry.calendar_events (tenant_id, site_id, starts_at, ends_at, kind, name, known_at)
    VALUES (%s, %s, %s, %s, %s, %s, coalesce(%s, clock_timestamp()))
"""

Row = dict[str, Any]
_Identity = tuple[str, datetime, datetime, str, str]
"""(site_id, start, end, kind, name)"""


class _Stored(NamedTuple):
    calendar_event_id: UUID
    known_at: datetime


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
        _require_site(event, _known_sites(connection, tenant_id, [event.site_id]))
        row = cursor.execute(
            _INSERT + " RETURNING calendar_event_id, site_id, starts_at, ends_at, kind, name, known_at, created_at",
            _values(tenant_id, event),
        ).fetchone()
    assert row is not None
    return row


def import_events(connection: psycopg.Connection, tenant_id: str, events: Mapping[int, NewCalendarEvent]) -> Imported:
    """Put the events of a file, by line, into the calendar, all or none; one that is there already is not added again.

    Raises:
        RegistryError: unknown_site; the message names the line.
    """
    added, changed = list[NewCalendarEvent](), list[tuple[datetime | None, str, UUID]]()
    with connection.transaction(), connection.cursor() as cursor:
        stored = _same_events(connection, tenant_id, events.values())
        sites = _known_sites(connection, tenant_id, {event.site_id for event in events.values()})
        for line, event in events.items():
            there = stored.get(_identity(event))
            if there is None:
                with at_line(line):
                    _require_site(event, sites)
                added.append(event)
            elif event.known_at not in (None, there.known_at):
                changed.append((event.known_at, tenant_id, there.calendar_event_id))
        if added:
            put_tenant(connection, tenant_id)
        cursor.executemany(_INSERT, [_values(tenant_id, event) for event in added])
        cursor.executemany(
            "UPDATE registry.calendar_events SET known_at = %s WHERE tenant_id = %s AND calendar_event_id = %s", changed
        )
    return Imported(len(added), len(changed), len(events) - len(added) - len(changed))


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


def _known_sites(connection: psycopg.Connection, tenant_id: str, site_ids: Iterable[str]) -> set[str]:
    """Those of the sites and series that are registered or heard, and the sign for all."""
    rows = connection.execute(
        """
        SELECT site_id FROM registry.sites WHERE tenant_id = %(tenant)s AND site_id = ANY(%(sites)s)
        UNION
        SELECT 'route:' || route_id || ':' || direction_id FROM registry.routes
        WHERE tenant_id = %(tenant)s AND 'route:' || route_id || ':' || direction_id = ANY(%(sites)s)
        UNION
        SELECT site_id FROM live.occupancy WHERE tenant_id = %(tenant)s AND site_id = ANY(%(sites)s)
        UNION
        SELECT stream_id::text FROM live.traffic WHERE tenant_id = %(tenant)s AND stream_id::text = ANY(%(sites)s)
        """,
        {"tenant": tenant_id, "sites": list(site_ids)},
    )
    return {EVERY_SITE, *(site_id for (site_id,) in rows)}


def _require_site(event: NewCalendarEvent, known: Collection[str]) -> None:
    """Refuse a site that is neither registered nor heard: an event of it would never count."""
    if event.site_id not in known:
        raise RegistryError("unknown_site", f"no site or series '{event.site_id}' is known; write * for all", "site_id")


def _same_events(
    connection: psycopg.Connection, tenant_id: str, events: Iterable[NewCalendarEvent]
) -> dict[_Identity, _Stored]:
    """Those of the events that are in the calendar; of equal ones the one that was known first."""
    columns = [list(column) for column in zip(*map(_identity, events), strict=True)] or [[]] * 5
    rows = connection.execute(
        """
        SELECT site_id, starts_at, ends_at, kind, name, calendar_event_id, known_at
        FROM registry.calendar_events
        JOIN unnest(%s::text[], %s::timestamp[], %s::timestamp[], %s::text[], %s::text[])
            AS told (site_id, starts_at, ends_at, kind, name) USING (site_id, starts_at, ends_at, kind, name)
        WHERE tenant_id = %s ORDER BY known_at DESC
        """,
        [*columns, tenant_id],
    )
    return {row[:5]: _Stored(*row[5:]) for row in rows}


def _identity(event: NewCalendarEvent) -> _Identity:
    return event.site_id, event.start, event.end, event.kind, event.name


def _values(tenant_id: str, event: NewCalendarEvent) -> list[Any]:
    return [tenant_id, *_identity(event), event.known_at]


def _is_day(told: Any) -> bool:
    if isinstance(told, str):
        return _DAY.fullmatch(told) is not None
    return isinstance(told, date) and not isinstance(told, datetime)
