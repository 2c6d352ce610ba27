"""The calendar: closures, school holidays and events that forecasts should know of."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import NaiveDatetime

from ingest.registry import calendar
from ingest.registry.calendar import NewCalendarEvent
from ingest.registry.entries import EventKind
from serving.cursors import Cursor, decode_cursor, encode_cursor
from serving.database import Db
from serving.problems import problem_responses
from serving.registry import Limit, Registry
from serving.schemas.registry import CalendarEvent, CalendarEventPage
from serving.tenancy import Tenant

router = APIRouter(prefix="/api/calendar-events", tags=["registry"])


@router.get("", responses=problem_responses(422))
async def calendar_events(
    tenant_id: Tenant,
    database: Db,
    site_id: Annotated[
        str | None, Query(max_length=200, description="Only those of this site or series, and those of all.")
    ] = None,
    kind: Annotated[EventKind | None, Query(description="Only of this kind.")] = None,
    ends_after: Annotated[
        NaiveDatetime | None, Query(description="Only those that end after this, on the site's clock.")
    ] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> CalendarEventPage:
    """The calendar's own events, by start. Public holidays follow from the country and are not listed."""
    start, event_id = decode_cursor(cursor, tuple[datetime, UUID]) if cursor else (None, None)
    query = {
        "tenant_id": tenant_id, "site_id": site_id, "kind": kind, "ends_after": ends_after, "after_start": start,
        "after_id": event_id, "limit": limit + 1,
    }  # fmt: skip
    items = [CalendarEvent(**row) for row in await database.rows(calendar.EVENTS, query)]
    last = items[limit - 1] if len(items) > limit else None
    next_cursor = encode_cursor((last.starts_at, last.calendar_event_id)) if last else None
    return CalendarEventPage(items=items[:limit], next_cursor=next_cursor, generated_at=datetime.now(UTC))


@router.post("", status_code=201, responses=problem_responses(404, 422))
async def add_calendar_event(event: NewCalendarEvent, tenant_id: Tenant, registry: Registry) -> CalendarEvent:
    """Put an event into the calendar. The next hourly forecast knows of it; a closure makes it 0."""
    return CalendarEvent(**await registry.write(lambda c: calendar.add_event(c, tenant_id, event)))


@router.delete("/{calendar_event_id}", status_code=204, responses=problem_responses(404, 422))
async def remove_calendar_event(
    calendar_event_id: Annotated[UUID, Path(description="As the list tells it.")], tenant_id: Tenant, registry: Registry
) -> Response:
    """Take an event out of the calendar: forecasts made from now on know nothing of it."""
    await registry.write(lambda c: calendar.remove_event(c, tenant_id, calendar_event_id))
    return Response(status_code=204)
