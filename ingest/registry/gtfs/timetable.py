"""A timetable: routes by direction, stops, trips, when they repeat, and the lines they follow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

PEAK_HOURS = (6, 7, 8, 16, 17, 18)
"""Local hours in which most cities ride to and from work; a test ties them to those of recommendations and marts."""
_HOURS = range(30)  # a service day may run into the next morning
_MIDDLE_OF_HOUR_S = 1800

RouteKey = tuple[str, int]
"""(route_id, direction_id)"""


@dataclass(frozen=True)
class Stop:
    """A stop, platform or station; `location_type` as in GTFS."""

    stop_id: str
    name: str
    lat: float
    lon: float
    location_type: int
    parent_station: str | None
    platform_code: str | None


@dataclass
class Trip:
    """A trip with its stops in the order of travel; `starts_s` is seconds after the start of the service day."""

    trip_id: str
    route_id: str
    direction_id: int
    service_id: str
    headsign: str | None
    shape_id: str | None
    stop_ids: list[str] = field(default_factory=list)
    starts_s: int | None = None

    @property
    def route_key(self) -> RouteKey:
        """The route and direction it belongs to."""
        return self.route_id, self.direction_id


@dataclass(frozen=True)
class Frequency:
    """From `start_s` until `end_s` the trip starts every `headway_s` seconds."""

    trip_id: str
    start_s: int
    end_s: int
    headway_s: int
    is_exact: bool


@dataclass(frozen=True)
class ShapePoint:
    """A point of a line on the map."""

    shape_id: str
    sequence: int
    lat: float
    lon: float


@dataclass
class Timetable:
    """What a feed says, made consistent; `warnings` tell what was missing or left out."""

    time_zone: str
    route_names: dict[str, str]
    stops: dict[str, Stop]
    trips: dict[str, Trip]
    frequencies: list[Frequency]
    shapes: list[ShapePoint]
    weekday_services: frozenset[str]
    warnings: list[str]

    def main_trips(self) -> dict[RouteKey, Trip]:
        """Of each route and direction the trip that stands for it: the one with the most stops."""
        chosen: dict[RouteKey, Trip] = {}
        for trip in self.trips.values():
            best = chosen.get(trip.route_key)
            if best is None or (-len(trip.stop_ids), trip.trip_id) < (-len(best.stop_ids), best.trip_id):
                chosen[trip.route_key] = trip
        return chosen

    def headways(self) -> dict[RouteKey, tuple[int | None, int | None]]:
        """Seconds between two departures on a working day, all variants of a route together: (peak, off-peak).

        The mean over the hours of `PEAK_HOURS`, and over the other hours with service; None where nothing is known.
        """
        departures = self._departures_by_hour()
        return {
            key: (
                _headway(hours[hour] for hour in PEAK_HOURS),
                _headway(count for hour, count in hours.items() if hour not in PEAK_HOURS),
            )
            for key, hours in departures.items()
        }

    def _departures_by_hour(self) -> dict[RouteKey, dict[int, float]]:
        by_hour: dict[RouteKey, dict[int, float]] = defaultdict(lambda: defaultdict(float))
        repeated = {f.trip_id for f in self.frequencies}
        for frequency in self.frequencies:
            trip = self.trips[frequency.trip_id]
            if trip.service_id in self.weekday_services:
                for hour in _HOURS:
                    if frequency.start_s <= hour * 3600 + _MIDDLE_OF_HOUR_S < frequency.end_s:
                        by_hour[trip.route_key][hour] += 3600 / frequency.headway_s
        for trip in self.trips.values():
            is_timed = trip.starts_s is not None and trip.trip_id not in repeated
            if is_timed and trip.starts_s is not None and trip.service_id in self.weekday_services:
                by_hour[trip.route_key][trip.starts_s // 3600] += 1
        return by_hour


def _headway(departures_per_hour: Iterable[float]) -> int | None:
    served = [count for count in departures_per_hour if count > 0]
    return round(3600 * len(served) / sum(served)) if served else None
