"""How much fuller than the whole a route's busiest stretch will be: learned from when its live hotspot burned.

A forecast knows a route's mean load. Whether its busiest stretch is crowded at that mean differs by route, direction
and time of day; how often it was in the last weeks tells more than any mean (docs/hotspots.md has the figures).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import psycopg

from forecasting.hotspots.model import Entity
from forecasting.hotspots.policy import HotspotPolicy

LEARNED_FROM = timedelta(days=28)
# Until something is known, a hotspot is taken to burn on three days of ten; as much as three days' knowledge.
USUAL_SHARE, WORTH_DAYS = 0.3, 3.0
# How much the density falls per unit of log-odds: fitted on simulated cities 101 to 104, none of them in the tables.
SLOPE = 0.1
LOWEST, HIGHEST = 0.45, 0.85

Slot = tuple[Entity, bool, int]
"""A route and direction, whether it is weekend, and the local hour."""


@dataclass(frozen=True)
class Densities:
    """Load profile densities by time of the week.

    Attributes:
        usual: where nothing is known.
        zones: IANA time zone by entity.
        burned: on how many days the live hotspot of a slot burned.
        days: how many working days and weekend days were watched.
    """

    usual: float
    zones: Mapping[Entity, str] = field(default_factory=dict)
    burned: Mapping[Slot, int] = field(default_factory=dict)
    days: Mapping[bool, int] = field(default_factory=dict)

    def at(self, entity: Entity, hour: datetime) -> float:
        """Mean load of the route over that of its busiest stretch in an hour."""
        is_weekend, local_hour = _slot(hour, self.zones.get(entity, "UTC"))
        days = self.days.get(is_weekend, 0)
        burned = min(days, self.burned.get((entity, is_weekend, local_hour), 0))
        share = (burned + USUAL_SHARE * WORTH_DAYS) / (days + WORTH_DAYS)
        return min(HIGHEST, max(LOWEST, self.usual - SLOPE * (_log_odds(share) - _log_odds(USUAL_SHARE))))


def learned(
    burning: Iterable[tuple[Entity, datetime]], zones: Mapping[Entity, str], watched: Iterable[date], usual: float
) -> Densities:
    """Count by time of the week.

    Args:
        burning: hours in which the live hotspot of a route burned.
        zones: IANA time zone by entity.
        watched: local days on which somebody looked.
        usual: density where nothing is known.
    """
    slots = Counter((entity, *_slot(hour, zones.get(entity, "UTC"))) for entity, hour in set(burning))
    return Densities(usual, zones, slots, Counter(day.isoweekday() > 5 for day in watched))


def read_densities(
    connection: psycopg.Connection, tenant_id: str, now: datetime, policy: HotspotPolicy, entity: Entity | None = None
) -> Densities:
    """What the hotspots of the last weeks tell, for one entity or for all."""
    since = now - LEARNED_FROM
    rows = connection.execute(
        """
        SELECT entity_id, hotspots.direction_id, coalesce(time_zone, 'UTC'), burning.hour
        FROM ops.hotspots
        LEFT JOIN registry.routes
            ON routes.tenant_id = hotspots.tenant_id AND route_id = entity_id
            AND routes.direction_id = hotspots.direction_id
        CROSS JOIN LATERAL generate_series(
            date_trunc('hour', greatest(started_at, %(since)s)), coalesce(cleared_since, ended_at, %(now)s), '1 hour'
        ) AS burning (hour)
        WHERE hotspots.tenant_id = %(tenant)s AND hotspots.source = 'live' AND entity_kind = 'route'
          AND started_at IS NOT NULL
          AND (ended_at IS NULL OR ended_at > %(since)s)
          AND (%(id)s::text IS NULL
               OR entity_id = %(id)s AND hotspots.direction_id IS NOT DISTINCT FROM %(direction)s::int)
        """,
        {
            **{"tenant": tenant_id, "now": now, "since": since},
            **{"id": entity and entity.entity_id, "direction": entity and entity.direction_id},
        },
    ).fetchall()
    if not rows:
        return Densities(policy.load_profile_density)
    [(first,)] = connection.execute(
        "SELECT greatest(min(first_seen_at), %s) FROM ops.hotspots WHERE tenant_id = %s", [since, tenant_id]
    ).fetchall()
    watched = [first.date() + timedelta(days=number) for number in range((now.date() - first.date()).days + 1)]
    burning = [(Entity("route", route, direction), hour) for route, direction, _, hour in rows]
    zones = {Entity("route", route, direction): zone for route, direction, zone, _ in rows}
    return learned(burning, zones, watched, policy.load_profile_density)


def _slot(hour: datetime, zone: str) -> tuple[bool, int]:
    local = hour.astimezone(ZoneInfo(zone))
    return local.isoweekday() > 5, local.hour


def _log_odds(share: float) -> float:
    return math.log(share / (1 - share))
