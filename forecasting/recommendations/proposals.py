"""From a situation to proposals: every action of the table whose preconditions hold. Pure: no clock, no database."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from forecasting.recommendations import occasions, preconditions
from forecasting.recommendations.actions import ACTIONS, Action
from forecasting.recommendations.situation import Occasion, Situation


@dataclass(frozen=True)
class Recommendation:
    """One row of `ops.recommendations`, whose comments explain the fields; not recorded when it has no id."""

    fingerprint: str
    action: str
    entity_kind: str
    entity_id: str
    direction_id: int | None
    state: str
    summary: str
    preconditions: list[dict[str, Any]]
    evidence: dict[str, Any]
    expected_effect: dict[str, Any]
    confidence: float
    created_at: datetime
    updated_at: datetime
    expires_at: datetime
    hotspot_id: uuid.UUID | None = None
    recommendation_id: uuid.UUID | None = None
    decided_at: datetime | None = None
    decided_by: str | None = None
    reason: str | None = None


def propose(situation: Situation, actions: Iterable[Action] = ACTIONS) -> list[Recommendation]:
    """What could be done, what saves most first; of the same advice twice, what saves more."""
    found = [
        proposal
        for action in actions
        if situation.entity.kind in action.kinds
        for occasion in action.occasions(situation)
        if (proposal := _proposal(situation, action, occasion)) is not None
    ]
    return list({one.fingerprint: one for one in reversed(ranked(found))}.values())[::-1]


def ranked(recommendations: Iterable[Recommendation]) -> list[Recommendation]:
    """What saves most, weighed with its confidence, first."""
    return sorted(
        recommendations,
        key=lambda one: (-one.expected_effect["crowded_minutes_avoided"] * one.confidence, one.fingerprint),
    )


def _proposal(situation: Situation, action: Action, occasion: Occasion) -> Recommendation | None:
    checks = []
    for precondition in action.preconditions:
        met, detail = precondition.check(situation, occasion)
        if not met:
            return None
        checks.append({"name": precondition.name, "met": True, "detail": detail})
    entity = situation.entity
    return Recommendation(
        fingerprint=f"{entity.fingerprint(action.name)}|{occasion.key}",
        action=action.name,
        entity_kind=entity.kind,
        entity_id=entity.entity_id,
        direction_id=entity.direction_id,
        state="proposed",
        summary=action.summary(situation, occasion),
        preconditions=checks,
        evidence=_evidence(situation, occasion),
        expected_effect=action.effect(situation, occasion).as_json(),
        confidence=round(action.confidence(situation, occasion), 3),
        created_at=situation.now,
        updated_at=situation.now,
        expires_at=occasion.expires_at,
        hotspot_id=occasion.hotspot.hotspot_id if occasion.hotspot else None,
    )


def _evidence(situation: Situation, occasion: Occasion) -> dict[str, Any]:
    evidence: dict[str, Any] = {
        "name": situation.name,
        "threshold": situation.policy.raise_at,
        "occasion": occasion.key,
    }
    if occasion.hours:
        evidence |= _hours_evidence(situation, occasion)
    if occasion.pair is not None:
        pair = occasion.pair
        evidence |= {
            "gap_minutes": round(pair.gap_minutes, 1),
            "headway_minutes": round(situation.headway_minutes, 1),
            "hold_minutes": round(preconditions.hold_minutes(situation, pair), 1),
            "vehicles": [
                {
                    "site_id": vehicle.site_id,
                    "occupancy": vehicle.occupancy,
                    "capacity": vehicle.capacity,
                    "stop": vehicle.stop_name,
                    "counted_at": vehicle.seen_at.isoformat(),
                }
                for vehicle in (pair.leader, pair.follower)
            ],
        }
    if occasion.stretch is not None:
        evidence["stretch_load_factors"] = [
            round(occasions.mean_load_factor(situation, part), 3) for part in range(situation.policy.stretches)
        ]
    if occasion.key == "weekly":
        evidence["recurring_hours"] = [
            {
                "weekday": hour.weekday,
                "local_hour": hour.local_hour,
                "weeks_of_four": hour.weeks,
                "load": round(hour.load, 1),
                "capacity": round(hour.capacity, 1),
            }
            for hour in situation.recurring
        ]
    return evidence


def _hours_evidence(situation: Situation, occasion: Occasion) -> dict[str, Any]:
    quiet = [] if situation.route else occasions.quieter_hours(situation, occasion)
    return {
        "window_from": occasion.start.isoformat(),
        "window_to": occasion.end.isoformat(),
        "method": occasion.peak.method,
        "model_version": occasion.peak.model_version,
        "made_at": occasion.peak.origin_at.isoformat(),
        "hours": [
            {"hour": hour.hour.isoformat(), "load": round(hour.load, 1), "load_factor": round(hour.load_factor, 4)}
            for hour in occasion.hours
        ],
        "quieter_hours": [{"hour": hour.hour.isoformat(), "load_factor": round(hour.load_factor, 4)} for hour in quiet],
    }
