"""A simulated day as the world in which recommendations are followed: what is seen of it, and how advice is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property

from forecasting.hotspots.model import Entity
from forecasting.hotspots.observations import Reading, stretch_of
from forecasting.hotspots.policy import HotspotPolicy
from forecasting.recommendations.effects import SHIFTED_VISITORS, WAITING_PASSENGERS
from forecasting.recommendations.preconditions import MAKE_READY
from forecasting.recommendations.proposals import Recommendation
from forecasting.recommendations.situation import RecurringHour, Route, Site, Situation
from ingest.simulator.city import City
from ingest.simulator.experiment import HEARD_FOR_S, Experiment
from ingest.simulator.interventions import (
    DoorCap,
    ExtraVehicle,
    Hold,
    Intervention,
    LargerVehicles,
    QuietHours,
    ShortTurn,
    WaitForNext,
)
from ingest.simulator.venues import HOLD_S as VENUE_HOLD_S

_TO_THE_CROWD = timedelta(minutes=20)  # an extra vehicle starts so long before the hours that it is for


class CityWorld:
    """One day of a city; entities are its routes by direction and its venues.

    Args:
        day: the day.
        recurring: by entity, the hours of the week that were crowded in most of the last four weeks.
        policy: thresholds.
    """

    def __init__(
        self, day: Experiment, recurring: Mapping[Entity, Sequence[RecurringHour]], policy: HotspotPolicy
    ) -> None:
        self.day, self._city, self._recurring, self._policy = day, day.city, recurring, policy
        self._turned: set[str] = set()
        self.carried_out: list[tuple[Recommendation, Sequence[Intervention]]] = []

    @cached_property
    def entities(self) -> list[Entity]:
        """Routes by direction, then venues."""
        return entities_of(self._city)

    def readings(self, entity: Entity, now: datetime) -> list[Reading]:
        """What is seen of an entity."""
        second = self.day.seconds(now)
        if entity.kind == "route":
            return self._buses(entity, second)
        venue = self._city.venues[self._venue(entity)]
        inside = self.day.inside(venue.index, second)
        if inside is None:
            return []
        return [Reading(venue.site_id, venue.name, inside, venue.capacity, now, VENUE_HOLD_S)]

    def _buses(self, entity: Entity, second: float) -> list[Reading]:
        direction = entity.direction_id or 0
        route = self._city.services[self._route(entity)].route
        names = route.stop_names if direction == 0 else route.stop_names[::-1]
        return [
            Reading(
                site_id=str(bus.bus), name=str(bus.bus), occupancy=bus.load, capacity=bus.capacity,
                seen_at=self.day.instant(bus.seen_s), hold_s=int(HEARD_FOR_S), route_id=entity.entity_id,
                direction_id=direction, stop_sequence=bus.stop + 1, stop_name=names[bus.stop], stops=route.stops,
            )
            for bus in self.day.buses(route.index, direction, second)
        ]  # fmt: skip

    def situation(self, entity: Entity, now: datetime) -> Situation:
        """What the registry knows of an entity, and its pattern of the week."""
        zone = self._city.config.time_zone
        if entity.kind != "route":
            venue = self._city.venues[self._venue(entity)]
            return Situation(entity, venue.name, now, self._policy, zone, site=Site(venue.name, zone))
        service = self._city.services[self._route(entity)]
        route, step = service.route, 1 if entity.direction_id == 0 else -1
        stops = tuple(zip(route.lats[::step].tolist(), route.lons[::step].tolist(), strict=True))
        known = Route(
            route.name, zone, service.spare_buses, (), service.headway_peak_s, service.headway_offpeak_s, stops
        )
        return Situation(
            entity, route.name, now, self._policy, zone, route=known,
            recurring=tuple(self._recurring.get(entity, ())), largest_capacity=largest_capacity(self._city),
        )  # fmt: skip

    def carry_out(self, recommendation: Recommendation, readings: list[Reading], now: datetime) -> bool:
        """Do what is recommended; False where the city cannot react to it."""
        found = self._interventions(recommendation, readings, now)
        for intervention in found:
            self.day.act(intervention)
        if found:
            self.carried_out.append((recommendation, found))
        return bool(found)

    def _interventions(
        self, recommendation: Recommendation, readings: list[Reading], now: datetime
    ) -> Sequence[Intervention]:
        entity = Entity(recommendation.entity_kind, recommendation.entity_id, recommendation.direction_id)
        if entity.kind == "route":
            return self._on_route(recommendation, entity, readings, now)
        venue, said = self._venue(entity), recommendation.evidence
        start_s, end_s = self._window_s(recommendation)
        start_s = max(start_s, self.day.seconds(now))
        if recommendation.action == "cap_at_door":
            return [DoorCap(venue, start_s, end_s, self._city.venues[venue].capacity)]
        if recommendation.action == "quiet_hour_advice":
            quiet = tuple(self.day.seconds(datetime.fromisoformat(hour["hour"])) for hour in said["quieter_hours"])
            return [QuietHours(venue, start_s, end_s, quiet, SHIFTED_VISITORS)]
        return []

    def _on_route(
        self, recommendation: Recommendation, entity: Entity, readings: list[Reading], now: datetime
    ) -> Sequence[Intervention]:
        route, direction, said = self._route(entity), entity.direction_id or 0, recommendation.evidence
        now_s = self.day.seconds(now)
        if recommendation.action in ("add_trip", "dispatch_standby"):
            start_s, end_s = self._window_s(recommendation)
            ready_s = max(start_s - _TO_THE_CROWD.total_seconds(), now_s + MAKE_READY.total_seconds())
            return [ExtraVehicle(route, direction, ready_s, end_s)]
        if recommendation.action == "hold":
            follower = int(said["vehicles"][1]["site_id"])
            return [Hold(route, direction, follower, now_s, 60 * said["hold_minutes"])]
        if recommendation.action == "passenger_information":
            return [WaitForNext(route, direction, int(said["vehicles"][0]["site_id"]), now_s, WAITING_PASSENGERS)]
        if recommendation.action == "short_turn":
            return self._short_turn(route, direction, int(said["occasion"].split()[1]), readings, now_s)
        if recommendation.action == "larger_vehicle":
            return self._larger(route, direction, said["recurring_hours"])
        return []

    def _short_turn(
        self, route: int, direction: int, stretch: int, readings: list[Reading], now_s: float
    ) -> Sequence[Intervention]:
        last = self._policy.stretches - 1
        light = [one for one in readings if stretch_of(one, last + 1) == last and one.site_id not in self._turned]
        if not light:
            return []
        bus = min(light, key=lambda one: (one.occupancy, one.site_id))
        self._turned.add(bus.site_id)
        stops = self._city.services[route].route.stops
        return [ShortTurn(route, direction, int(bus.site_id), now_s, -(-stretch * stops // (last + 1)))]

    def _larger(self, route: int, direction: int, hours: list[dict[str, int]]) -> Sequence[Intervention]:
        today = self.day.service_date.isoweekday()
        return [
            LargerVehicles(
                route, direction, 3600.0 * hour["local_hour"], 3600.0 * (hour["local_hour"] + 1),
                largest_capacity(self._city),
            )
            for hour in hours
            if hour["weekday"] == today
        ]  # fmt: skip

    def _window_s(self, recommendation: Recommendation) -> tuple[float, float]:
        said = recommendation.evidence
        start, end = (datetime.fromisoformat(said[name]) for name in ("window_from", "window_to"))
        return self.day.seconds(start), self.day.seconds(end)

    def _route(self, entity: Entity) -> int:
        ids = [service.route.route_id for service in self._city.services]
        return ids.index(entity.entity_id)

    def _venue(self, entity: Entity) -> int:
        return [venue.site_id for venue in self._city.venues].index(entity.entity_id)


def entities_of(city: City) -> list[Entity]:
    """A city's routes by direction, then its venues."""
    routes = [Entity("route", service.route.route_id, way) for service in city.services for way in (0, 1)]
    return routes + [Entity("site", venue.site_id) for venue in city.venues]


def largest_capacity(city: City) -> int:
    """Places of the city's largest bus."""
    return max(bus.kind.capacity for bus in city.buses)
