"""One round of detection for a tenant: read, decide, write, in one transaction."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

import psycopg

from forecasting.audit import Change
from forecasting.hotspots import ahead, live
from forecasting.hotspots.areas import forecast_areas, observe_areas
from forecasting.hotspots.forecasts import ForecastHour, read_forecasts
from forecasting.hotspots.model import Entity, Hotspot, Observation
from forecasting.hotspots.observations import observe, read_live
from forecasting.hotspots.policy import HotspotPolicy
from forecasting.hotspots.records import lock_tenant, read_warm, write

Outcome = tuple[Hotspot, Change | None]


@dataclass(frozen=True)
class DetectionResult:
    """What one round found.

    Attributes:
        raised: new hotspots: live ones pending, forecast ones firing.
        fired: known ones that fire now: pending ones that lasted, ended ones crowded again within the cool-down.
        cleared: those resolved because the load, or the forecast, eased.
        expired: those that ended otherwise: too short, silent, or the window is over.
        updated: open before and after, in the same state.
        entities_known: entities whose load is known now.
        entities_unknown: entities that fell silent lately.
        entities_forecast: entities with a recent forecast.
    """

    raised: tuple[Hotspot, ...]
    fired: tuple[Hotspot, ...]
    cleared: tuple[Hotspot, ...]
    expired: tuple[Hotspot, ...]
    updated: tuple[Hotspot, ...]
    entities_known: int
    entities_unknown: int
    entities_forecast: int

    @property
    def open(self) -> tuple[Hotspot, ...]:
        """Every hotspot that is open after the round."""
        return (*self.raised, *self.fired, *self.updated)


def detect(
    connection: psycopg.Connection, tenant_id: str, now: datetime, policy: HotspotPolicy | None = None
) -> DetectionResult:
    """Bring a tenant's hotspots up to date with what is seen and forecast; run again at the same `now`, change nothing.

    Args:
        connection: an open connection; the round is one transaction on it.
        tenant_id: whose sites.
        now: the instant to judge by (UTC).
        policy: thresholds and durations.
    """
    policy = policy or HotspotPolicy()
    with connection.transaction():
        lock_tenant(connection, tenant_id)
        known = read_warm(connection, tenant_id, now, policy)
        readings = read_live(connection, tenant_id, now, policy)
        seen = {**observe(readings, now, policy), **observe_areas(readings, now, policy)}
        hours = read_forecasts(connection, tenant_id, now, policy)
        hours |= forecast_areas(hours)
        before = {hotspot.hotspot_id: hotspot for hotspot in known}
        outcomes = _live(tenant_id, known, seen, now, policy) + _ahead(tenant_id, known, hours, now, policy)
        changed = [(hotspot, change) for hotspot, change in outcomes if before.get(hotspot.hotspot_id) != hotspot]
        # What ends goes first: its place among the open ones may be taken in the same round.
        changed.sort(key=lambda outcome: outcome[0].is_open)
        write(connection, tenant_id, (hotspot for hotspot, _ in changed), filter(None, (c for _, c in changed)), now)
    is_known = [observation.load_factor is not None for observation in seen.values()]
    return _result(outcomes, sum(is_known), len(is_known) - sum(is_known), len(hours))


def _live(
    tenant_id: str, known: list[Hotspot], seen: dict[Entity, Observation], now: datetime, policy: HotspotPolicy
) -> list[Outcome]:
    warm = {hotspot.entity: hotspot for hotspot in known if hotspot.source == "live"}
    looked = (live.look(tenant_id, warm.get(entity), seen.get(entity), now, policy) for entity in {**warm, **seen})
    return [(hotspot, change) for hotspot, change in looked if hotspot is not None]


def _ahead(
    tenant_id: str, known: list[Hotspot], hours: dict[Entity, list[ForecastHour]], now: datetime, policy: HotspotPolicy
) -> list[Outcome]:
    by_entity: dict[Entity, list[Hotspot]] = defaultdict(list)
    for hotspot in known:
        if hotspot.source == "forecast":
            by_entity[hotspot.entity].append(hotspot)
    return [
        outcome
        for entity in {**by_entity, **hours}
        for outcome in ahead.follow(tenant_id, entity, by_entity.get(entity, []), hours.get(entity, []), now, policy)
    ]


def _result(outcomes: list[Outcome], known: int, unknown: int, forecast: int) -> DetectionResult:
    def those(to_state: str, is_new: bool) -> tuple[Hotspot, ...]:
        return tuple(
            hotspot for hotspot, change in outcomes
            if change and change.to_state == to_state and (change.from_state is None) == is_new
        )  # fmt: skip

    return DetectionResult(
        raised=those("pending", True) + those("firing", True),
        fired=those("firing", False),
        cleared=those("resolved", False),
        expired=those("expired", False),
        updated=tuple(hotspot for hotspot, change in outcomes if change is None and hotspot.is_open),
        entities_known=known,
        entities_unknown=unknown,
        entities_forecast=forecast,
    )
