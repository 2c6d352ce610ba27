"""Answers about alerts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from serving.schemas.occupancy import GeneratedAt, NextCursor

AlertState = Literal["pending", "firing", "acknowledged", "resolved", "expired"]


class Alert(BaseModel):
    """Something that a person should know of."""

    alert_id: UUID
    rule: Annotated[str, Field(description="Such as high_occupancy, device_offline, data_late or system_error.")]
    entity_kind: Literal["site", "route", "area", "device", "stream", "system"]
    entity_id: str
    state: AlertState
    severity: Literal["warning", "high", "critical"]
    message: Annotated[str, Field(description="What is wrong, where, and what to do.")]
    evidence: dict[str, Any]
    first_seen_at: datetime
    started_at: Annotated[datetime | None, Field(description="When it fired; null while pending.")]
    ended_at: datetime | None
    updated_at: datetime
    announced_at: Annotated[datetime | None, Field(description="When people were told last.")]


class AlertPage(BaseModel):
    """Alerts, the newest first."""

    items: list[Alert]
    next_cursor: NextCursor
    generated_at: GeneratedAt


class AcknowledgedAlert(BaseModel):
    """An alert that somebody looks after."""

    alert_id: UUID
    state: AlertState
    generated_at: GeneratedAt
