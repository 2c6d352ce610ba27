"""Sites, devices and routes as plain rows, written to the registry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import psycopg

Row = Mapping[str, Any]


def register_sites(connection: psycopg.Connection, sites: Iterable[Row], *, replace: bool = True) -> None:
    """Insert sites; those that are registered already are brought up to date, or left alone if not `replace`."""
    update = """DO UPDATE SET name = excluded.name, kind = excluded.kind, capacity = excluded.capacity,
        seats = excluded.seats, standing = excluded.standing, time_zone = excluded.time_zone,
        country = coalesce(excluded.country, sites.country), route_id = excluded.route_id, lat = excluded.lat,
        lon = excluded.lon, hold_s = excluded.hold_s,
        updated_at = clock_timestamp()"""
    with connection.cursor() as cursor:
        cursor.executemany(
            f"""
            INSERT INTO registry.sites
                (tenant_id, site_id, name, kind, capacity, seats, standing, time_zone, country, route_id, lat, lon,
                 hold_s)
            VALUES (%(tenant_id)s, %(site_id)s, %(name)s, %(kind)s, %(capacity)s, %(seats)s, %(standing)s,
                    %(time_zone)s, %(country)s, %(route_id)s, %(lat)s, %(lon)s, %(hold_s)s)
            ON CONFLICT (tenant_id, site_id) {update if replace else "DO NOTHING"}
            """,  # noqa: S608  both alternatives are written above
            [{"country": None, **site} for site in sites],
        )


def register_devices(connection: psycopg.Connection, devices: Iterable[Row]) -> None:
    """Insert devices with the site they count for; a registered one keeps its secret."""
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO registry.devices (tenant_id, device_id, site_id, secret)
            VALUES (%(tenant_id)s, %(device_id)s, %(site_id)s, %(secret)s)
            ON CONFLICT (tenant_id, device_id, valid_from) DO UPDATE SET site_id = excluded.site_id
            """,
            list(devices),
        )


def register_routes(connection: psycopg.Connection, routes: Iterable[Row], time_zone: str) -> None:
    """Insert or replace routes, each with its stops in the order of travel (`stops`: id, name, lat, lon)."""
    routes = list(routes)
    stops = [
        (route["tenant_id"], route["route_id"], route["direction_id"], number, *stop)
        for route in routes
        for number, stop in enumerate(route["stops"], start=1)
    ]
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO registry.routes (tenant_id, route_id, direction_id, route_name, headsign, time_zone,
                                         headway_peak_s, headway_offpeak_s, spare_vehicles)
            VALUES (%(tenant_id)s, %(route_id)s, %(direction_id)s, %(route_name)s, %(headsign)s, %(time_zone)s,
                    %(headway_peak_s)s, %(headway_offpeak_s)s, %(spare_buses)s)
            ON CONFLICT (tenant_id, route_id, direction_id) DO UPDATE SET
                route_name = excluded.route_name, headsign = excluded.headsign, time_zone = excluded.time_zone,
                headway_peak_s = excluded.headway_peak_s, headway_offpeak_s = excluded.headway_offpeak_s,
                spare_vehicles = excluded.spare_vehicles
            """,
            [{**route, "time_zone": time_zone} for route in routes],
        )
        cursor.executemany(
            "DELETE FROM registry.route_stops WHERE tenant_id = %s AND route_id = %s AND direction_id = %s",
            [(route["tenant_id"], route["route_id"], route["direction_id"]) for route in routes],
        )
        cursor.executemany("INSERT INTO registry.route_stops VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", stops)
