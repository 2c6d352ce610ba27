"""Writes a timetable to the registry, in place of the one before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from psycopg import sql

from ingest.registry.gtfs.timetable import RouteKey, Timetable
from ingest.registry.rows import register_routes
from ingest.registry.tenants import put_tenant


def store_feed(
    connection: psycopg.Connection, tenant_id: str, timetable: Timetable, spare_vehicles: int = 0
) -> dict[str, int]:
    """Replace the tenant's timetable, all or nothing, and return how many rows of each kind there are.

    Routes that an earlier feed brought and this one lacks go; routes that were registered otherwise stay. What people
    set on a route (spare vehicles), and headways that this feed does not know, stay as well.
    """
    with connection.transaction():
        put_tenant(connection, tenant_id)
        routes = _routes(connection, tenant_id, timetable, spare_vehicles)
        _drop_old_routes(connection, tenant_id, {(r["route_id"], r["direction_id"]) for r in routes})
        register_routes(connection, routes, timetable.time_zone)
        with connection.cursor() as cursor:
            cursor.executemany(
                "UPDATE registry.routes SET source = 'gtfs'"
                " WHERE tenant_id = %s AND route_id = %s AND direction_id = %s",
                [(tenant_id, r["route_id"], r["direction_id"]) for r in routes],
            )
        counts = {name: _replace(connection, tenant_id, name, rows) for name, rows in _tables(timetable)}
    return {"routes": len({r["route_id"] for r in routes}), "route directions": len(routes)} | counts


def _routes(
    connection: psycopg.Connection, tenant_id: str, timetable: Timetable, spare_vehicles: int
) -> list[dict[str, Any]]:
    known: dict[RouteKey, tuple[Any, ...]] = {
        (route_id, direction_id): tuple(rest)
        for route_id, direction_id, *rest in connection.execute(
            "SELECT route_id, direction_id, headway_peak_s, headway_offpeak_s, spare_vehicles"
            " FROM registry.routes WHERE tenant_id = %s",
            [tenant_id],
        )
    }
    headways = timetable.headways()
    rows = []
    for key, trip in sorted(timetable.main_trips().items()):
        peak, offpeak = headways.get(key, (None, None))
        old_peak, old_offpeak, old_spare = known.get(key, (None, None, spare_vehicles))
        stops = [timetable.stops[stop_id] for stop_id in trip.stop_ids]
        rows.append(
            {
                "tenant_id": tenant_id,
                "route_id": trip.route_id,
                "direction_id": trip.direction_id,
                "route_name": timetable.route_names[trip.route_id],
                "headsign": trip.headsign or stops[-1].name,
                "headway_peak_s": peak or old_peak,
                "headway_offpeak_s": offpeak or old_offpeak,
                "spare_buses": old_spare,
                "stops": [(stop.stop_id, stop.name, stop.lat, stop.lon) for stop in stops],
            }
        )
    return rows


def _drop_old_routes(connection: psycopg.Connection, tenant_id: str, wanted: set[RouteKey]) -> None:
    found = connection.execute(
        "SELECT route_id, direction_id FROM registry.routes WHERE tenant_id = %s AND source = 'gtfs'", [tenant_id]
    ).fetchall()
    gone = [(tenant_id, *key) for key in found if key not in wanted]
    with connection.cursor() as cursor:
        for table in ("route_stops", "routes"):
            statement = sql.SQL("DELETE FROM {} WHERE tenant_id = %s AND route_id = %s AND direction_id = %s")
            cursor.executemany(statement.format(sql.Identifier("registry", table)), gone)


def _tables(timetable: Timetable) -> Iterable[tuple[str, list[tuple[Any, ...]]]]:
    yield (
        "stops",
        [
            (s.stop_id, s.name, s.lat, s.lon, s.location_type, s.parent_station, s.platform_code)
            for s in timetable.stops.values()
        ],
    )
    yield (
        "trips",
        [
            (t.trip_id, t.route_id, t.direction_id, t.service_id, t.headsign, t.shape_id, len(t.stop_ids), t.starts_s)
            for t in timetable.trips.values()
        ],
    )
    yield (
        "frequencies",
        [(f.trip_id, f.start_s, f.end_s, f.headway_s, f.is_exact) for f in timetable.frequencies],
    )
    yield "shapes", [(p.shape_id, p.sequence, p.lat, p.lon) for p in timetable.shapes]


def _replace(connection: psycopg.Connection, tenant_id: str, name: str, rows: Sequence[tuple[Any, ...]]) -> int:
    table = sql.Identifier("registry", name)
    connection.execute(sql.SQL("DELETE FROM {} WHERE tenant_id = %s").format(table), [tenant_id])
    with connection.cursor() as cursor, cursor.copy(sql.SQL("COPY {} FROM STDIN").format(table)) as copy:
        for row in rows:
            copy.write_row((tenant_id, *row))
    return len(rows)
