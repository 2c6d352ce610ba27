"""All that is known of one entity when actions are weighed: loads, forecast, vehicles in order, resources."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

from forecasting.hotspots.forecasts import ForecastHour, Window, crowded_windows
from forecasting.hotspots.model import Entity, Hotspot
from forecasting.hotspots.observations import Reading, stretch_of
from forecasting.hotspots.policy import HotspotPolicy

COMMERCIAL_SPEED_KMH = 18.0  # buses with stops and traffic; TransJakarta plans with 15 to 20
USUAL_HEADWAY_S = 600  # where the registry knows none
PEAK_HOURS = frozenset({6, 7, 8, 16, 17, 18})


@dataclass(frozen=True)
class Route:
    """One direction of a route and what it can draw on.

    Attributes:
        name: what people call it, with its destination.
        spare_vehicles: vehicles kept for what may come.
        vehicles_sent: direction and occasion for which one of them was sent, or is accepted to be.
        headway_peak_s: planned seconds between vehicles at peak.
        headway_offpeak_s: the same at other times.
        stops: latitude and longitude of its stops in order of travel (degrees).
    """

    name: str
    time_zone: str = "UTC"
    spare_vehicles: int = 0
    vehicles_sent: tuple[str, ...] = ()
    headway_peak_s: int | None = None
    headway_offpeak_s: int | None = None
    stops: tuple[tuple[float, float], ...] = ()

    @cached_property
    def distances_km(self) -> tuple[float, ...]:
        """How far each stop is from the first, along the stops."""
        distances = [0.0]
        for here, there in itertools.pairwise(self.stops):
            distances.append(distances[-1] + _kilometres(here, there))
        return tuple(distances)


def _kilometres(here: tuple[float, float], there: tuple[float, float]) -> float:
    """Distance on a plane that touches the earth there: exact to metres between neighbouring stops."""
    north = there[0] - here[0]
    east = (there[1] - here[1]) * math.cos(math.radians((here[0] + there[0]) / 2))
    return 111.2 * math.hypot(north, east)


@dataclass(frozen=True)
class Site:
    """What the registry says of a site; `kind` is its kind there: venue, stop, or area for a watched road."""

    name: str
    time_zone: str = "UTC"
    kind: str = "venue"


@dataclass(frozen=True)
class Pair:
    """Two vehicles that follow each other on a route."""

    leader: Reading
    follower: Reading
    gap_minutes: float


@dataclass(frozen=True)
class RecurringHour:
    """An hour of the local week that was crowded in most of the last four weeks.

    Attributes:
        weekday: ISO, 1 is Monday.
        local_hour: 0–23.
        weeks: in how many of the four weeks it was crowded.
        load: mean people per vehicle on the busiest stretch in those weeks.
        lowest: the same in the lightest of those weeks.
        highest: the same in the fullest.
        capacity: mean places per vehicle.
        vehicles: mean number of vehicles on the busiest stretch.
    """

    weekday: int
    local_hour: int
    weeks: int
    load: float
    lowest: float
    highest: float
    capacity: float
    vehicles: float


@dataclass(frozen=True)
class Situation:
    """One entity at one instant. Loads of a route's forecast are those of its busiest stretch.

    Attributes:
        entity: what it is about.
        name: what people call it.
        now: the instant (UTC).
        policy: thresholds.
        time_zone: IANA name, for the words and for "today".
        hotspots: its firing and acknowledged hotspots.
        readings: its last readings that still hold.
        hours: its forecast, the present hour first.
        route: the route, for a route.
        site: the site, for a site that is known.
        recurring: its hours of the week that are crowded again and again.
        largest_capacity: places of the tenant's largest vehicle.
    """

    entity: Entity
    name: str
    now: datetime
    policy: HotspotPolicy
    time_zone: str = "UTC"
    hotspots: tuple[Hotspot, ...] = ()
    readings: tuple[Reading, ...] = ()
    hours: tuple[ForecastHour, ...] = ()
    route: Route | None = None
    site: Site | None = None
    recurring: tuple[RecurringHour, ...] = ()
    largest_capacity: int | None = None

    @cached_property
    def windows(self) -> list[Window]:
        """The crowded windows ahead, the present one included."""
        return crowded_windows(self.hours, self.policy.raise_hour_at)

    @cached_property
    def is_crowded_now(self) -> bool:
        """Whether a live hotspot burns."""
        return any(hotspot.source == "live" for hotspot in self.hotspots)

    def hotspot_of(self, window: Window | None) -> Hotspot | None:
        """The hotspot that a window belongs to; for None the live one."""
        for hotspot in self.hotspots:
            start, end = hotspot.window_from, hotspot.window_to
            if window is None and hotspot.source == "live":
                return hotspot
            if window is not None and start and end and start < window.end and window.start < end:
                return hotspot
        return None

    def local(self, instant: datetime) -> datetime:
        """The instant on the entity's clock."""
        return instant.astimezone(ZoneInfo(self.time_zone))

    @cached_property
    def headway_minutes(self) -> float:
        """Planned minutes between vehicles now."""
        local = self.local(self.now)
        is_peak = local.isoweekday() <= 5 and local.hour in PEAK_HOURS
        planned = self.route and (self.route.headway_peak_s if is_peak else self.route.headway_offpeak_s)
        return (planned or USUAL_HEADWAY_S) / 60

    @cached_property
    def pairs(self) -> list[Pair]:
        """Vehicles that follow each other, the front of the route first; empty where stops are unknown."""
        if self.route is None or not self.route.stops:
            return []
        distances = self.route.distances_km
        placed = [vehicle for vehicle in self.readings if vehicle.stop_sequence is not None]
        # At the same stop the fuller one leads: it came first and took who was waiting.
        placed.sort(key=lambda vehicle: (-(vehicle.stop_sequence or 0), -vehicle.load_factor, vehicle.site_id))
        return [
            Pair(leader, follower, (_at(distances, leader) - _at(distances, follower)) / COMMERCIAL_SPEED_KMH * 60)
            for leader, follower in itertools.pairwise(placed)
        ]

    @cached_property
    def stretches(self) -> Mapping[int, list[Reading]]:
        """Vehicles by the part of the route they are on."""
        parts: dict[int, list[Reading]] = {}
        for vehicle in self.readings:
            part = stretch_of(vehicle, self.policy.stretches)
            if part is not None:
                parts.setdefault(part, []).append(vehicle)
        return parts


def _at(distances: tuple[float, ...], vehicle: Reading) -> float:
    return distances[min(vehicle.stop_sequence or 1, len(distances)) - 1]


@dataclass(frozen=True)
class Occasion:
    """What an action would answer: a crowded window, a pair of vehicles, a stretch, a pattern.

    Attributes:
        key: tells it from other occasions of the same action and entity; part of the fingerprint.
        expires_at: when acting on it is too late.
        hotspot: the hotspot that it belongs to.
        hours: the crowded hours it is about; for what is seen now one hour that repeats the present load.
        pair: the two vehicles it is about.
        stretch: number of the crowded stretch.
    """

    key: str
    expires_at: datetime
    hotspot: Hotspot | None = None
    hours: tuple[ForecastHour, ...] = field(default=())
    pair: Pair | None = None
    stretch: int | None = None

    @property
    def start(self) -> datetime:
        """Start of the first hour."""
        return self.hours[0].hour

    @property
    def end(self) -> datetime:
        """End of the last hour."""
        return self.hours[-1].hour + timedelta(hours=1)

    @property
    def peak(self) -> ForecastHour:
        """The fullest hour."""
        return max(self.hours, key=lambda hour: hour.load_factor)
