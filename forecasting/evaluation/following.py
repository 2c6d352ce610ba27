"""An operator who follows every recommendation at once, in a world that reacts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from forecasting.evaluation.hits import EntityHour
from forecasting.hotspots import ahead, live
from forecasting.hotspots.forecasts import ForecastHour
from forecasting.hotspots.model import Entity, Hotspot
from forecasting.hotspots.observations import Reading, observe
from forecasting.hotspots.policy import HotspotPolicy
from forecasting.recommendations.actions import Action
from forecasting.recommendations.proposals import Recommendation, propose
from forecasting.recommendations.situation import Situation

TENANT = "evaluation"
SENDS_A_VEHICLE = frozenset({"add_trip", "dispatch_standby"})


class World(Protocol):
    """Where recommendations are followed."""

    @property
    def entities(self) -> Sequence[Entity]:
        """What can be crowded."""
        ...

    def readings(self, entity: Entity, now: datetime) -> list[Reading]:
        """What is seen of it."""
        ...

    def situation(self, entity: Entity, now: datetime) -> Situation:
        """What the registry and the marts know of it: names, route, pattern of the week."""
        ...

    def carry_out(self, recommendation: Recommendation, readings: list[Reading], now: datetime) -> bool:
        """Do what is recommended; False if it cannot be done."""
        ...


def crowded_hours(world: World, times: Iterable[datetime], policy: HotspotPolicy) -> set[EntityHour]:
    """The hours in which a live hotspot burns for somebody who sees everything: the truth that forecasts must meet."""
    seen_live: dict[Entity, Hotspot] = {}
    found: set[EntityHour] = set()
    for now in times:
        for entity in world.entities:
            hotspot = _look(seen_live, entity, world.readings(entity, now), now, policy)
            if hotspot is not None and hotspot.state == "firing" and hotspot.load_factor >= policy.raise_at:
                found.add((entity, now.replace(minute=0, second=0, microsecond=0)))
    return found


def _look(
    seen_live: dict[Entity, Hotspot], entity: Entity, readings: list[Reading], now: datetime, policy: HotspotPolicy
) -> Hotspot | None:
    known = seen_live.get(entity)
    warm = known if known is not None and live.is_warm(known, now, policy) else None
    hotspot, _ = live.look(TENANT, warm, observe(readings, now, policy).get(entity), now, policy)
    if hotspot is not None:
        seen_live[entity] = hotspot
    return hotspot


def follow_day(
    world: World,
    times: Iterable[datetime],
    forecast: Callable[[Entity, datetime], list[ForecastHour]],
    actions: Sequence[Action],
    policy: HotspotPolicy,
) -> list[Recommendation]:
    """Live through a day, follow what is recommended, and return what was followed.

    Args:
        world: where.
        times: when to look, ascending.
        forecast: what is known ahead at an instant, the present hour first.
        actions: the kinds of recommendation that are followed.
        policy: thresholds.
    """
    seen_live: dict[Entity, Hotspot] = {}
    coming: dict[Entity, list[Hotspot]] = defaultdict(list)
    followed: list[Recommendation] = []
    for now in times:
        for entity in world.entities:
            readings, hours = world.readings(entity, now), forecast(entity, now)
            hotspot = _look(seen_live, entity, readings, now, policy)
            coming[entity] = [one for one, _ in ahead.follow(TENANT, entity, coming[entity], hours, now, policy)]
            burning = [one for one in (hotspot, *coming[entity]) if one is not None and one.state == "firing"]
            situation = replace(
                _with_vehicles_sent(world.situation(entity, now), followed),
                hotspots=tuple(burning),
                readings=tuple(readings),
                hours=tuple(hours),
            )
            followed += _follow(world, propose(situation, actions), followed, readings, now)
    return followed


def _follow(
    world: World, proposals: list[Recommendation], before: list[Recommendation], readings: list[Reading], now: datetime
) -> list[Recommendation]:
    """Follow each kind of advice once; what was followed is not followed again."""
    done = {one.fingerprint for one in before}
    carried_out: dict[str, Recommendation] = {}
    for proposal in proposals:
        if proposal.fingerprint in done or proposal.action in carried_out:
            continue
        if world.carry_out(proposal, readings, now):
            carried_out[proposal.action] = proposal
    return list(carried_out.values())


def _with_vehicles_sent(situation: Situation, followed: list[Recommendation]) -> Situation:
    if situation.route is None:
        return situation
    sent = [
        f"{one.direction_id} {one.evidence['occasion']}"
        for one in followed
        if one.action in SENDS_A_VEHICLE
        and one.entity_id == situation.entity.entity_id
        and datetime.fromisoformat(one.evidence["window_to"]) > situation.now
    ]
    return replace(situation, route=replace(situation.route, vehicles_sent=tuple(sent)))
