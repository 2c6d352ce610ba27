"""Answers about what is registered."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from ingest.registry.entries import EventKind
from serving.schemas.occupancy import GeneratedAt, NextCursor


class RegisteredSite(BaseModel):
    """A registered site."""

    site_id: str
    name: str
    kind: Literal["bus", "venue", "area", "stop"]
    capacity: Annotated[int | None, Field(description="People that fit.")]
    seats: int | None
    standing: Annotated[int | None, Field(description="Places to stand.")]
    time_zone: str
    country: Annotated[str | None, Field(description="Whose public holidays count; null: where its time zone lies.")]
    route_id: str | None
    lat: float | None
    lon: float | None
    hold_s: Annotated[int, Field(description="How long a count holds without another (seconds).")]
    is_active: bool
    created_at: datetime
    updated_at: datetime


class RegisteredSitePage(BaseModel):
    """Registered sites by id."""

    items: list[RegisteredSite]
    next_cursor: NextCursor
    generated_at: GeneratedAt


class Device(BaseModel):
    """A registered device; its secret is never told."""

    device_id: str
    site_id: Annotated[str | None, Field(description="The site that it counts for.")]
    signs: Annotated[bool, Field(description="Whether it has to sign its events.")]
    state: Annotated[
        Literal["active", "planned", "revoked"], Field(description="Events of a device that is not active are refused.")
    ]
    valid_from: Annotated[datetime | None, Field(description="Null: always.")]
    valid_to: Annotated[datetime | None, Field(description="Null: for good.")]
    created_at: datetime


class DeviceWithSecret(Device):
    """A device and the secret that it signs with, told this once."""

    secret: Annotated[str | None, Field(description="Keep it now: nothing tells it again. Null: it need not sign.")]


class DevicePage(BaseModel):
    """Registered devices by id."""

    items: list[Device]
    next_cursor: NextCursor
    generated_at: GeneratedAt


class CalendarEvent(BaseModel):
    """An event of the calendar."""

    calendar_event_id: UUID
    site_id: Annotated[str, Field(description="A site or series, or * for all.")]
    starts_at: Annotated[datetime, Field(description="On the site's clock.")]
    ends_at: Annotated[datetime, Field(description="On the site's clock; it is over then.")]
    kind: EventKind
    name: str
    known_at: Annotated[datetime, Field(description="No forecast made before it knows of the event (UTC).")]
    created_at: datetime


class CalendarEventPage(BaseModel):
    """Events by start."""

    items: list[CalendarEvent]
    next_cursor: NextCursor
    generated_at: GeneratedAt
