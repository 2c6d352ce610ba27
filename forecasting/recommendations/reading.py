"""Reads the situations: the live tables, the forecast, the registry and the marts, each once for all entities."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta

import psycopg

from forecasting.hotspots.areas import forecast_areas
from forecasting.hotspots.forecasts import ForecastHour, read_forecasts
from forecasting.hotspots.model import Entity, Hotspot
from forecasting.hotspots.observations import Reading, read_live
from forecasting.hotspots.policy import HotspotPolicy
from forecasting.hotspots.records import read_open
from forecasting.recommendations.preconditions import WEEKS_OF_FOUR
from forecasting.recommendations.situation import RecurringHour, Route, Site, Situation

BURNING = ("firing", "acknowledged")


def read_situations(
    connection: psycopg.Connection,
    tenant_id: str,
    now: datetime,
    policy: HotspotPolicy,
    entity: Entity | None = None,
) -> list[Situation]:
    """The situations in which an action may be due, or that of one entity whether or not one is.

    Due may be: entities with a firing or acknowledged hotspot, routes with a crowded vehicle, routes that are crowded
    at the same hours week after week.
    """
    hotspots: dict[Entity, list[Hotspot]] = defaultdict(list)
    for hotspot in read_open(connection, tenant_id, BURNING, entity):
        hotspots[hotspot.entity].append(hotspot)
    readings: dict[Entity, list[Reading]] = defaultdict(list)
    for reading in read_live(connection, tenant_id, now, policy, entity):
        if reading.holds(now):
            readings[reading.entity].append(reading)
    recurring = _read_recurring(connection, tenant_id, now, policy, entity)
    hours = read_forecasts(connection, tenant_id, now, policy, entity)
    hours |= forecast_areas(hours)
    wanted = [entity] if entity else sorted({*hotspots, *recurring, *_with_crowded_vehicle(readings, policy)}, key=repr)
    routes = _read_routes(connection, tenant_id, now, [one for one in wanted if one.kind == "route"])
    sites = _read_sites(connection, tenant_id, [one.entity_id for one in wanted if one.kind != "route"])
    largest = _read_largest_capacity(connection, tenant_id) if recurring else None
    return [
        _situation(one, now, policy, hotspots, readings, hours, routes, sites, recurring, largest) for one in wanted
    ]


def _with_crowded_vehicle(readings: dict[Entity, list[Reading]], policy: HotspotPolicy) -> list[Entity]:
    return [
        entity
        for entity, own in readings.items()
        if entity.kind == "route" and any(vehicle.load_factor >= policy.raise_at for vehicle in own)
    ]


def _situation(
    entity: Entity,
    now: datetime,
    policy: HotspotPolicy,
    hotspots: dict[Entity, list[Hotspot]],
    readings: dict[Entity, list[Reading]],
    hours: dict[Entity, list[ForecastHour]],
    routes: dict[Entity, Route],
    sites: dict[str, Site],
    recurring: dict[Entity, list[RecurringHour]],
    largest: int | None,
) -> Situation:
    route = routes.get(entity)
    if entity.kind == "route":
        name, zone = (route.name, route.time_zone) if route else (f"route {entity.entity_id}", "UTC")
    else:
        site = sites.get(entity.entity_id) or Site(_area_name(entity, hotspots))
        name, zone = site.name, site.time_zone
    return Situation(
        entity=entity,
        name=name,
        now=now,
        policy=policy,
        time_zone=zone,
        hotspots=tuple(hotspots.get(entity, ())),
        readings=tuple(readings.get(entity, ())),
        hours=tuple(hours.get(entity, ())),
        route=route,
        site=sites.get(entity.entity_id),
        recurring=tuple(recurring.get(entity, ())),
        largest_capacity=largest,
    )


def _read_routes(
    connection: psycopg.Connection, tenant_id: str, now: datetime, entities: list[Entity]
) -> dict[Entity, Route]:
    """Routes with their stops, spare vehicles and the windows for which some of these were sent.

    A vehicle runs both ways: what was sent for one direction is away for the other, too.
    """
    if not entities:
        return {}
    rows = connection.execute(
        """
        SELECT routes.route_id, routes.direction_id, route_name || ' to ' || headsign, time_zone,
               spare_vehicles,
               ARRAY(SELECT concat_ws(' ', sent.direction_id, sent.evidence ->> 'occasion')
                     FROM ops.recommendations AS sent
                     WHERE sent.tenant_id = routes.tenant_id AND sent.entity_kind = 'route'
                       AND sent.entity_id = routes.route_id
                       AND sent.action IN ('add_trip', 'dispatch_standby') AND sent.state IN ('accepted', 'executed')
                       AND (sent.evidence ->> 'window_to')::timestamptz > %(now)s),
               headway_peak_s, headway_offpeak_s,
               ARRAY(SELECT ARRAY[lat, lon] FROM registry.route_stops AS stops
                     WHERE stops.tenant_id = routes.tenant_id AND stops.route_id = routes.route_id
                       AND stops.direction_id = routes.direction_id
                     ORDER BY stop_sequence)
        FROM registry.routes
        WHERE tenant_id = %(tenant)s AND route_id = ANY(%(routes)s)
        """,
        {"tenant": tenant_id, "now": now, "routes": [entity.entity_id for entity in entities]},
    )
    return {
        Entity("route", route_id, direction): Route(
            name, zone, spare, tuple(sent), peak, offpeak, tuple((lat, lon) for lat, lon in stops)
        )
        for route_id, direction, name, zone, spare, sent, peak, offpeak, stops in rows
    }


def _area_name(entity: Entity, hotspots: dict[Entity, list[Hotspot]]) -> str:
    named = (hotspot.evidence.get("name") for hotspot in hotspots.get(entity, ()))
    return next(filter(None, named), entity.entity_id)


def _read_sites(connection: psycopg.Connection, tenant_id: str, ids: list[str]) -> dict[str, Site]:
    """Sites by id; a watched road that nobody registered has the name that it reports."""
    if not ids:
        return {}
    rows = connection.execute(
        """
        SELECT stream_id::text, coalesce(location, stream_id::text), 'UTC', 'area' FROM live.traffic
        WHERE tenant_id = %(tenant)s AND stream_id::text = ANY(%(ids)s)
        UNION ALL
        SELECT site_id, name, time_zone, kind FROM registry.sites
        WHERE tenant_id = %(tenant)s AND site_id = ANY(%(ids)s)
        """,
        {"tenant": tenant_id, "ids": ids},
    )
    return {site_id: Site(name, zone, kind) for site_id, name, zone, kind in rows}


def _read_largest_capacity(connection: psycopg.Connection, tenant_id: str) -> int | None:
    row = connection.execute(
        "SELECT max(capacity) FROM registry.sites WHERE tenant_id = %s AND kind = 'bus' AND is_active", [tenant_id]
    ).fetchone()
    return row[0] if row else None


def _read_recurring(
    connection: psycopg.Connection, tenant_id: str, now: datetime, policy: HotspotPolicy, entity: Entity | None
) -> dict[Entity, list[RecurringHour]]:
    """Hours of the local week that were crowded in most of the last four weeks; none before the mart is built."""
    if entity is not None and entity.kind != "route":
        return {}
    if connection.execute("SELECT to_regclass('marts.fct_route_occupancy_hourly')").fetchone() == (None,):
        return {}
    end = now.replace(minute=0, second=0, microsecond=0)
    rows = connection.execute(
        """
        SELECT hours.route_id, hours.direction_id, local.weekday, local.hour, count(*),
               avg(busiest.load), min(busiest.load), max(busiest.load), avg(hours.capacity),
               avg(greatest(1, hours.vehicle_minutes / 60.0 / %(stretches)s))
        FROM marts.fct_route_occupancy_hourly AS hours
        LEFT JOIN registry.routes USING (tenant_id, route_id, direction_id)
        CROSS JOIN LATERAL (SELECT hours.mean_occupancy / %(density)s::float8 AS load) AS busiest
        CROSS JOIN LATERAL (
            SELECT extract(isodow FROM at)::int AS weekday, extract(hour FROM at)::int AS hour
            FROM (SELECT hours.hour AT TIME ZONE coalesce(routes.time_zone, 'UTC') AS at) AS shifted
        ) AS local
        WHERE hours.tenant_id = %(tenant)s AND hours.hour >= %(start)s AND hours.hour < %(end)s
          AND busiest.load >= %(threshold)s::float8 * hours.capacity AND hours.capacity > 0
          AND (%(route)s::text IS NULL
               OR hours.route_id = %(route)s AND hours.direction_id IS NOT DISTINCT FROM %(direction)s::int)
        GROUP BY 1, 2, 3, 4
        HAVING count(*) >= %(weeks)s
        ORDER BY 1, 2, 3, 4
        """,
        {
            **{"tenant": tenant_id, "start": end - timedelta(days=28), "end": end},
            **{"density": policy.load_profile_density, "threshold": policy.raise_at},
            **{"stretches": policy.stretches, "weeks": WEEKS_OF_FOUR},
            **{"route": entity and entity.entity_id, "direction": entity and entity.direction_id},
        },
    )
    recurring: dict[Entity, list[RecurringHour]] = defaultdict(list)
    for route_id, direction, weekday, hour, weeks, *loads, capacity, vehicles in rows:
        load, lowest, highest = map(float, loads)
        recurring[Entity("route", route_id, direction)].append(
            RecurringHour(weekday, hour, weeks, load, lowest, highest, float(capacity), float(vehicles))
        )
    return recurring
