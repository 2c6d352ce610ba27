"""Answers about hotspots and recommendations."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from serving.schemas.occupancy import GeneratedAt, NextCursor

EntityKind = Annotated[Literal["site", "route", "area"], Field(description="What it is about; an area is an H3 cell.")]
HotspotState = Annotated[
    Literal["pending", "firing", "acknowledged", "resolved", "expired"],
    Field(description="It fires after ten minutes of crowding and is resolved after as long without."),
]


class Hotspot(BaseModel):
    """An episode of crowding, seen live or forecast."""

    hotspot_id: UUID
    entity_kind: EntityKind
    entity_id: Annotated[str, Field(description="The site, route, or H3 cell.")]
    direction_id: Annotated[int | None, Field(description="Routes: the direction, 0 or 1.")]
    name: Annotated[str, Field(description="What people call it.")]
    rule: Annotated[str, Field(description="The rule that raised it.")]
    source: Annotated[Literal["live", "forecast"], Field(description="Seen now, or expected.")]
    state: HotspotState
    severity: Literal["warning", "high", "critical"]
    threshold: Annotated[float, Field(description="Load factor above which people count as crowded.")]
    load_factor: Annotated[float, Field(description="Load factor at the last look.")]
    peak_load_factor: Annotated[float, Field(description="The highest load factor of the episode.")]
    crowded_passenger_minutes: Annotated[
        float, Field(description="Σ people above the threshold × minutes: so far (live), or expected (forecast).")
    ]
    first_seen_at: datetime
    started_at: Annotated[datetime | None, Field(description="When it fired; null while pending.")]
    observed_at: Annotated[datetime, Field(description="When the load was last known.")]
    ended_at: datetime | None
    window_from: Annotated[datetime | None, Field(description="Forecast: start of the first crowded hour.")]
    window_to: Annotated[datetime | None, Field(description="Forecast: end of the last crowded hour.")]
    evidence: Annotated[dict[str, Any], Field(description="The figures it rests on.")]
    boundary: Annotated[
        dict[str, Any] | None, Field(description="Areas: the cell's outline as a GeoJSON polygon (RFC 7946).")
    ]
    age_s: Annotated[float, Field(description="Seconds since the load was last known.")]


class Acknowledged(BaseModel):
    """A hotspot that somebody looks after."""

    hotspot_id: UUID
    state: HotspotState
    generated_at: GeneratedAt


class HotspotPage(BaseModel):
    """Hotspots, the most crowded passenger-minutes first."""

    items: list[Hotspot]
    next_cursor: NextCursor
    generated_at: GeneratedAt


class Recommendation(BaseModel):
    """Something to do about crowding."""

    recommendation_id: Annotated[
        UUID | None, Field(description="To decide upon it; null for an idea that is not recorded.")
    ]
    hotspot_id: Annotated[UUID | None, Field(description="The hotspot that it is for.")]
    action: Annotated[str, Field(description="What to do, for programs.", examples=["add_trip"])]
    summary: Annotated[str, Field(description="What to do, in a sentence.")]
    entity_kind: EntityKind
    entity_id: str
    direction_id: int | None
    state: Literal["proposed", "accepted", "dismissed", "executed", "expired"]
    confidence: Annotated[float, Field(description="How sure, 0 to 1.")]
    preconditions: Annotated[list[Any], Field(description="What must hold, and whether it did when proposed.")]
    evidence: dict[str, Any]
    expected_effect: Annotated[
        dict[str, Any], Field(description="Crowded passenger-minutes avoided, with the band and what it rests on.")
    ]
    created_at: datetime
    expires_at: datetime
    decided_at: datetime | None
    decided_by: str | None
    reason: str | None
    age_s: Annotated[float, Field(description="Seconds since it was proposed.")]


class RecommendationPage(BaseModel):
    """Recommendations, the newest first."""

    items: list[Recommendation]
    next_cursor: NextCursor
    generated_at: GeneratedAt


class OnDemand(BaseModel):
    """What could be done about a site now, what saves most first."""

    site_id: str
    items: Annotated[
        list[Recommendation], Field(description="For a bus in service: about its route. Nothing is recorded by asking.")
    ]
    generated_at: GeneratedAt


class Decision(BaseModel):
    """Who decided and why."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"actor": "dispatch-1", "reason": "standby bus 0412 sent"}]}
    )

    actor: Annotated[str, Field(min_length=1, max_length=200, description="Who decides.")] = "api"
    reason: Annotated[str, Field(max_length=2000, description="Why.")] = ""
