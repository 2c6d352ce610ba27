"""What the decisions speak of: entities, what is seen of them, and hotspots."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Position = tuple[float, float]  # latitude and longitude in degrees
OPEN_STATES = ("pending", "firing", "acknowledged")
_NAMESPACE = uuid.UUID("6b5f3c1e-4a38-4c47-9d2b-6f3f5e0a7c11")


@dataclass(frozen=True, order=True)
class Entity:
    """What can be crowded: a site (venue, stop, watched road), an area (H3 cell), or a route in one direction."""

    kind: str
    entity_id: str
    direction_id: int | None = None

    @property
    def series_id(self) -> str:
        """The entity's series in the forecast."""
        return f"route:{self.entity_id}:{self.direction_id}" if self.kind == "route" else self.entity_id

    def fingerprint(self, rule: str) -> str:
        """Rule, entity and direction as one text."""
        return f"{rule}|{self.kind}|{self.entity_id}|{'' if self.direction_id is None else self.direction_id}"


@dataclass(frozen=True)
class Observation:
    """How full an entity is now, from observations that still hold.

    Attributes:
        entity: what was observed.
        load_factor: load over capacity, for a route that of its busiest stretch; None when unknown.
        clearing_load_factor: the same, counting what fell silent lately at its last known load, if that is more.
            A sensor that fails in a crowd must not make the crowd disappear.
        excess_passengers: people above the threshold, summed over vehicles.
        evidence: the numbers behind it.
    """

    entity: Entity
    load_factor: float | None
    clearing_load_factor: float | None = None
    excess_passengers: float = 0.0
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Hotspot:
    """One row of `ops.hotspots`, whose comments explain the fields."""

    hotspot_id: uuid.UUID
    fingerprint: str
    rule: str
    entity: Entity
    source: str
    state: str
    severity: str
    threshold: float
    load_factor: float
    peak_load_factor: float
    crowded_passenger_minutes: float
    excess_passengers: float
    evidence: dict[str, Any]
    first_seen_at: datetime
    above_since: datetime | None
    started_at: datetime | None
    cleared_since: datetime | None
    observed_at: datetime
    ended_at: datetime | None
    window_from: datetime | None
    window_to: datetime | None
    updated_at: datetime

    @property
    def is_open(self) -> bool:
        """Whether it still goes on."""
        return self.state in OPEN_STATES


def episode_id(tenant_id: str, fingerprint: str, first_seen_at: datetime) -> uuid.UUID:
    """The identity of an episode: the same for the same tenant, fingerprint and first sight."""
    return uuid.uuid5(_NAMESPACE, f"{tenant_id}|{fingerprint}|{first_seen_at.isoformat()}")


def crowded_minutes(loads: list[float], threshold: float, minutes: float) -> float:
    """Crowded passenger-minutes: Σ max(0, load − threshold) × minutes.

    Args:
        loads: people aboard or inside, one figure per look or per vehicle.
        threshold: people from which on it is crowded.
        minutes: how long each load lasted.
    """
    return sum(max(0.0, load - threshold) for load in loads) * minutes
