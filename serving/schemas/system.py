"""Answers about the platform itself."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from serving.schemas.occupancy import GeneratedAt

State = Annotated[
    Literal["ok", "degraded", "down", "unknown"],
    Field(description="`unknown`: nothing has run yet, or what would tell cannot be reached."),
]


class Component(BaseModel):
    """One part of the platform; further fields depend on the part."""

    model_config = ConfigDict(extra="allow")

    state: State
    detail: Annotated[str, Field(description="The state in a sentence, and what to do about it.")]


class Health(BaseModel):
    """The state of every part."""

    ok: Annotated[bool, Field(description="Whether this service can answer at all.")]
    status: Annotated[Literal["ok", "degraded", "down"], Field(description="`degraded`: some part is not ok.")]
    components: dict[str, Component]
    checked_at: datetime


class Alive(BaseModel):
    """The process runs."""

    ok: bool


class SitesByKind(BaseModel):
    """How many sites of a kind are there, and how many are heard."""

    sites: int
    heard: Annotated[int, Field(description="Heard lately enough to be believed.")]


class StreamStatus(BaseModel):
    """One stream of events."""

    topic: str
    landed_last_hour: int
    rejected_last_hour: int
    last_landed_at: datetime | None
    newest_event_at: datetime | None


class ModelStatus(BaseModel):
    """The forecasting model in use for a group of series."""

    series_group: Annotated[str, Field(description="The kind of series: venue, area or route.")]
    model_version: str
    trained_from: datetime
    trained_to: datetime
    created_at: datetime
    errors: Annotated[
        list[dict[str, Any]], Field(description="By horizon and method: WAPE, MASE, bias, coverage of the 80 % band.")
    ]


class SystemStatus(BaseModel):
    """The platform in detail."""

    version: str
    mode: Literal["development", "production"]
    started_at: datetime
    uptime_s: float
    status: Literal["ok", "degraded", "down"]
    components: dict[str, Component]
    sites: Annotated[dict[str, SitesByKind], Field(description="Kind to number of sites.")]
    devices: Annotated[dict[str, int], Field(description="Status to number of devices.")]
    streams: list[StreamStatus]
    models: Annotated[list[ModelStatus], Field(description="One for each group of series with a champion.")]
    generated_at: GeneratedAt
