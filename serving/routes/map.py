"""The map and the routes: sites by position, loads by route."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from serving.cursors import Cursor, decode_cursor, encode_cursor
from serving.database import Db
from serving.levels import NO_DATA, Levels
from serving.problems import invalid_parameter, problem_responses
from serving.queries.occupancy import ROUTE_LINES, ROUTES
from serving.schemas.occupancy import (
    Kind,
    MapCollection,
    RouteFeature,
    RouteLine,
    RouteLines,
    RouteName,
    RouteNow,
    RoutesNow,
    SiteNow,
)
from serving.snapshot import LiveState, Snapshot, ratio
from serving.tenancy import Tenant

router = APIRouter(prefix="/api", tags=["map and routes"])
Box = tuple[float, float, float, float]
_PROPERTIES = [field.name for field in fields(SiteNow) if field.name not in ("lat", "lon")]


@router.get("/map", response_model=MapCollection, responses=problem_responses(422))
async def site_map(
    tenant_id: Tenant,
    live: LiveState,
    request: Request,
    kind: Annotated[Kind | None, Query(description="Only sites of this kind.")] = None,
    bbox: Annotated[
        str | None,
        Query(
            max_length=100,
            description="Only within `west,south,east,north`, in degrees.",
            examples=["106.7,-6.3,107,-6.1"],
        ),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=10_000, description="Sites per page.")] = 5_000,
    cursor: Cursor = None,
) -> Response:
    """The sites with a position as GeoJSON: every feature carries level, colour, load and age."""
    levels: Levels = request.app.state.levels
    box = parse_box(bbox) if bbox else None
    snapshot = await live.of(tenant_id)
    return snapshot.response(
        request,
        ("map", kind, box, limit, cursor),
        lambda: _collection(snapshot, kind, box, limit, cursor, levels),
        "application/geo+json",
    )


@router.get("/map/routes", responses=problem_responses(422))
async def route_lines(
    tenant_id: Tenant,
    database: Db,
    limit: Annotated[int, Query(ge=1, le=5_000, description="Routes and directions.")] = 500,
) -> RouteLines:
    """The routes as GeoJSON: for each direction a line through its stops, in the order of travel."""
    rows = await database.rows(ROUTE_LINES, {"tenant_id": tenant_id, "limit": limit})
    features = [
        RouteFeature(
            geometry=RouteLine(coordinates=row["line"]),
            properties=RouteName(route_id=row["route_id"], direction_id=row["direction_id"]),
        )
        for row in rows
    ]
    return RouteLines(features=features, generated_at=datetime.now(UTC))


def _collection(
    snapshot: Snapshot, kind: str | None, box: Box | None, limit: int, cursor: str | None, levels: Levels
) -> dict[str, Any]:
    found = [
        site
        for site in snapshot.after(decode_cursor(cursor, str) if cursor else None)
        if (kind is None or site.kind == kind) and _lies_in(site, box)
    ]
    return {
        "type": "FeatureCollection",
        "features": [_feature(site, levels) for site in found[:limit]],
        "next_cursor": encode_cursor(found[limit - 1].site_id) if len(found) > limit else None,
        "level_version": levels.version,
        "generated_at": snapshot.at,
    }


def parse_box(text: str) -> Box:
    """West, south, east, north in degrees; west may be larger than east, across the 180th meridian.

    Raises:
        ProblemError: 422, these are not four numbers in range.
    """
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        raise invalid_parameter("bbox", "expected four numbers: west,south,east,north") from None
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90):
        raise invalid_parameter("bbox", "out of range, or south lies north of north")
    return west, south, east, north


def _lies_in(site: SiteNow, box: Box | None) -> bool:
    if site.lat is None or site.lon is None:
        return False
    if box is None:
        return True
    west, south, east, north = box
    in_longitude = west <= site.lon <= east if west <= east else site.lon >= west or site.lon <= east
    return south <= site.lat <= north and in_longitude


def _feature(site: SiteNow, levels: Levels) -> dict[str, Any]:
    properties = {name: getattr(site, name) for name in _PROPERTIES}
    properties["colour"] = levels.riders[site.rider_level].colour
    properties["word"] = levels.kinds[site.kind].words[site.rider_level]
    return {
        "type": "Feature",
        "id": site.site_id,
        "geometry": {"type": "Point", "coordinates": [site.lon, site.lat]},
        "properties": properties,
    }


@router.get("/routes")
async def routes_now(tenant_id: Tenant, live: LiveState, database: Db, request: Request) -> RoutesNow:
    """All routes and directions with the load of the buses heard on them now."""
    levels: Levels = request.app.state.levels
    snapshot = await live.of(tenant_id)
    buses: dict[tuple[str, int], list[SiteNow]] = {}
    for site in snapshot.sites:
        if site.count is not None and site.route_id is not None and site.direction_id is not None:
            buses.setdefault((site.route_id, site.direction_id), []).append(site)
    rows = await database.rows(ROUTES, {"tenant_id": tenant_id})
    items = [_route_now(row, buses.get((row["route_id"], row["direction_id"]), []), levels) for row in rows]
    return RoutesNow(items=items, generated_at=snapshot.at)


def _route_now(row: dict[str, Any], buses: list[SiteNow], levels: Levels) -> RouteNow:
    rated = [bus for bus in buses if bus.capacity]
    people = sum(bus.count or 0 for bus in rated)
    places = sum(bus.capacity or 0 for bus in rated)
    level = levels.level("bus", people, places) if rated else NO_DATA
    return RouteNow(
        **row,
        vehicles=len(buses),
        mean_count=round(sum(bus.count or 0 for bus in buses) / len(buses), 1) if buses else None,
        load_factor=ratio(people, places) if rated else None,
        max_load_factor=max((bus.load_factor for bus in rated if bus.load_factor is not None), default=None),
        level=level,
        rider_level=levels.rider_of[level],  # type: ignore[arg-type]
    )
