"""How full every entity is now: one read of the live tables, then plain arithmetic."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg
from psycopg.rows import class_row

from forecasting.hotspots.model import Entity, Observation, Position
from forecasting.hotspots.policy import HotspotPolicy

BUS_HOLD_S, VENUE_HOLD_S, ROAD_HOLD_S = 300, 1800, 600  # as `marts.dim_site` has them for sites nobody registered


@dataclass(frozen=True)
class Reading:
    """The last known load of one site, vehicle or area.

    Attributes:
        site_id: the site, or the traffic stream.
        name: what people call it.
        occupancy: people or vehicles; sensors that went below zero are taken as empty.
        capacity: places.
        seen_at: when it was counted; a device whose clock runs ahead counts from when it was heard.
        hold_s: how long the reading holds when nothing follows.
        route_id: the route served, None for what is no vehicle in service.
        direction_id: direction of travel.
        stop_sequence: stop of the route at which it was, or the nearest one, from 1; None where that is unknown.
        stop_name: that stop's name.
        stops: number of stops of the route.
        lat: latitude in degrees: as reported, or else of the site, or of the stop.
        lon: longitude in degrees.
    """

    site_id: str
    name: str
    occupancy: int
    capacity: int
    seen_at: datetime
    hold_s: int
    route_id: str | None = None
    direction_id: int | None = None
    stop_sequence: int | None = None
    stop_name: str | None = None
    stops: int | None = None
    lat: float | None = None
    lon: float | None = None

    def age(self, now: datetime) -> timedelta:
        """How long ago it was seen."""
        return now - self.seen_at

    def holds(self, now: datetime) -> bool:
        """Whether it still says how full the place is; after that the load is unknown, not zero."""
        return self.age(now) <= timedelta(seconds=self.hold_s)

    @property
    def load_factor(self) -> float:
        """Load over capacity."""
        return self.occupancy / self.capacity

    @property
    def entity(self) -> Entity:
        """What the reading counts for: a vehicle in service for its route and direction, all else for itself."""
        if self.route_id is not None:
            return Entity("route", self.route_id, self.direction_id)
        return Entity("site", self.site_id)

    @property
    def position(self) -> Position | None:
        """Where it is; None where nobody knows."""
        return None if self.lat is None or self.lon is None else (self.lat, self.lon)


def read_live(
    connection: psycopg.Connection, tenant_id: str, now: datetime, policy: HotspotPolicy, entity: Entity | None = None
) -> list[Reading]:
    """The tenant's last readings that hold or that fell silent within `expire_after`, of one entity or of all.

    Sites without a known capacity and inactive ones are left out.
    """
    query = """
        SELECT live.site_id, coalesce(sites.name, live.site_id) AS name,
               greatest(live.occupancy, 0) AS occupancy, capacity.places AS capacity, seen.at AS seen_at,
               seen.hold_s, served.route_id, live.direction_id,
               stop.stop_sequence, stop.stop_name, stop.stops,
               coalesce(live.lat, sites.lat, stop.lat) AS lat, coalesce(live.lon, sites.lon, stop.lon) AS lon
        FROM live.occupancy AS live
        LEFT JOIN registry.sites ON sites.tenant_id = live.tenant_id AND sites.site_id = live.site_id
        CROSS JOIN LATERAL (SELECT coalesce(live.route_id, sites.route_id) AS route_id) AS served
        CROSS JOIN LATERAL (SELECT nullif(coalesce(sites.capacity, live.capacity), 0) AS places) AS capacity
        CROSS JOIN LATERAL (
            SELECT least(live.event_at, live.received_at) AS at,
                   coalesce(sites.hold_s, CASE WHEN served.route_id IS NULL THEN %(venue)s ELSE %(bus)s END) AS hold_s
        ) AS seen
        LEFT JOIN LATERAL (
            SELECT row_number() OVER (ORDER BY stops.stop_sequence) AS stop_sequence, stop_name, lat, lon,
                   count(*) OVER () AS stops
            FROM registry.route_stops AS stops
            WHERE stops.tenant_id = live.tenant_id AND stops.route_id = served.route_id
              AND stops.direction_id = live.direction_id
              AND (live.stop_id IS NOT NULL OR (live.lat IS NOT NULL AND live.lon IS NOT NULL))
            ORDER BY (stops.stop_id = live.stop_id) IS NOT TRUE,
                     (stops.lat - live.lat) ^ 2 + ((stops.lon - live.lon) * cosd(stops.lat)) ^ 2
            LIMIT 1
        ) AS stop ON true
        WHERE live.tenant_id = %(tenant)s AND live.occupancy IS NOT NULL AND capacity.places IS NOT NULL
          AND coalesce(sites.is_active, true)
          AND seen.at >= %(now)s - make_interval(secs => seen.hold_s) - %(silence)s
          AND (%(kind)s::text IS NULL
               OR %(kind)s = 'site' AND live.site_id = %(id)s AND served.route_id IS NULL
               OR %(kind)s = 'route' AND served.route_id = %(id)s
                  AND live.direction_id IS NOT DISTINCT FROM %(direction)s::int)
        UNION ALL
        SELECT live.stream_id::text, coalesce(sites.name, live.location, live.stream_id::text),
               greatest(live.total_in_area, 0), capacity.places, seen.at, seen.hold_s, NULL, NULL, NULL, NULL, NULL,
               coalesce(live.latitude, sites.lat), coalesce(live.longitude, sites.lon)
        FROM live.traffic AS live
        LEFT JOIN registry.sites ON sites.tenant_id = live.tenant_id AND sites.site_id = live.stream_id::text
        CROSS JOIN LATERAL (SELECT nullif(coalesce(sites.capacity, live.estimated_max_people), 0) AS places) AS capacity
        CROSS JOIN LATERAL (
            SELECT least(live.event_at, live.received_at) AS at, coalesce(sites.hold_s, %(road)s) AS hold_s
        ) AS seen
        WHERE live.tenant_id = %(tenant)s AND live.total_in_area IS NOT NULL AND capacity.places IS NOT NULL
          AND coalesce(sites.is_active, true)
          AND seen.at >= %(now)s - make_interval(secs => seen.hold_s) - %(silence)s
          AND (%(kind)s::text IS NULL OR %(kind)s = 'site' AND live.stream_id::text = %(id)s)
        ORDER BY site_id
    """
    parameters = {
        **{"tenant": tenant_id, "now": now, "silence": policy.expire_after},
        **{"bus": BUS_HOLD_S, "venue": VENUE_HOLD_S, "road": ROAD_HOLD_S},
        **{"kind": entity and entity.kind, "id": entity and entity.entity_id},
        "direction": entity and entity.direction_id,
    }
    with connection.cursor(row_factory=class_row(Reading)) as cursor:
        return cursor.execute(query, parameters).fetchall()


def observe(readings: Iterable[Reading], now: datetime, policy: HotspotPolicy) -> dict[Entity, Observation]:
    """What the readings say of each entity; an entity whose readings have all expired is unknown."""
    by_entity: dict[Entity, list[Reading]] = defaultdict(list)
    for reading in readings:
        by_entity[reading.entity].append(reading)
    return {
        entity: _of_route(entity, own, now, policy) if entity.kind == "route" else _of_site(entity, own[0], now, policy)
        for entity, own in by_entity.items()
    }


def _of_site(entity: Entity, reading: Reading, now: datetime, policy: HotspotPolicy) -> Observation:
    if not reading.holds(now):
        return Observation(entity, None)
    return Observation(
        entity,
        round(reading.load_factor, 4),
        excess_passengers=excess(reading, policy),
        evidence={
            "name": reading.name,
            "occupancy": reading.occupancy,
            "capacity": reading.capacity,
            "counted_at": reading.seen_at.isoformat(),
        },
    )


def _of_route(entity: Entity, vehicles: list[Reading], now: datetime, policy: HotspotPolicy) -> Observation:
    known = [vehicle for vehicle in vehicles if vehicle.holds(now)]
    if not known:
        return Observation(entity, None)
    stretches = _by_stretch(known, policy)
    busiest = max(stretches, key=lambda number: load_factor(stretches[number]))
    crowd = stretches[busiest]
    with_silent = _by_stretch(vehicles, policy).values()
    return Observation(
        entity,
        round(load_factor(crowd), 4),
        clearing_load_factor=round(max(load_factor(part) for part in with_silent), 4),
        excess_passengers=sum(excess(vehicle, policy) for vehicle in known),
        evidence={
            "vehicles": len(known),
            "silent_vehicles": len(vehicles) - len(known),
            "occupancy": sum(vehicle.occupancy for vehicle in known),
            "capacity": sum(vehicle.capacity for vehicle in known),
            "mean_load_factor": round(load_factor(known), 4),
            "busiest_stretch": _stretch_evidence(crowd),
        },
    )


def _by_stretch(vehicles: list[Reading], policy: HotspotPolicy) -> dict[int | None, list[Reading]]:
    """Vehicles by the part of the route they are on; a route without known stops is one part."""
    parts: dict[int | None, list[Reading]] = defaultdict(list)
    if any(stretch_of(vehicle, policy.stretches) is None for vehicle in vehicles):
        return {None: vehicles}
    for vehicle in vehicles:
        parts[stretch_of(vehicle, policy.stretches)].append(vehicle)
    return parts


def stretch_of(vehicle: Reading, stretches: int) -> int | None:
    """The part of its route that a vehicle is on, from 0, counted in the direction of travel."""
    if vehicle.stop_sequence is None or not vehicle.stops:
        return None
    return (vehicle.stop_sequence - 1) * stretches // vehicle.stops


def load_factor(vehicles: list[Reading]) -> float:
    """Load over capacity of some readings together."""
    return sum(vehicle.occupancy for vehicle in vehicles) / sum(vehicle.capacity for vehicle in vehicles)


def excess(reading: Reading, policy: HotspotPolicy) -> float:
    """People above the threshold."""
    return max(0.0, reading.occupancy - policy.raise_at * reading.capacity)


def _stretch_evidence(vehicles: list[Reading]) -> dict[str, object]:
    ordered = sorted(vehicles, key=lambda vehicle: vehicle.stop_sequence or 0)
    return {
        "from_stop": ordered[0].stop_name,
        "to_stop": ordered[-1].stop_name,
        "occupancy": sum(vehicle.occupancy for vehicle in vehicles),
        "capacity": sum(vehicle.capacity for vehicle in vehicles),
        "vehicles": [
            {"site_id": vehicle.site_id, "occupancy": vehicle.occupancy, "capacity": vehicle.capacity}
            for vehicle in sorted(vehicles, key=lambda vehicle: -vehicle.load_factor)[:5]
        ],
    }
