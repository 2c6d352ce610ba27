"""Occupancy: all sites now, one site, its past."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from plimsoll.database import MISSING_RELATION
from plimsoll.settings import Settings
from serving.cursors import Cursor, decode_cursor, encode_cursor
from serving.database import Database, Db, Row
from serving.levels import Levels
from serving.names import SITE
from serving.periods import From, Step, To, bounded_period
from serving.problems import problem_responses
from serving.queries.forecast import FORECAST
from serving.queries.history import OCCUPANCY_DAYS, OCCUPANCY_HOURS, TRAFFIC_DAYS, TRAFFIC_HOURS
from serving.schemas.occupancy import (
    Current,
    History,
    Kind,
    KindOfLevels,
    LevelBound,
    LevelTable,
    OccupancyPage,
    Period,
    RiderStyle,
    SiteNow,
)
from serving.sites import SiteInPath, SiteInQuery, find_site, site_or_default
from serving.snapshot import LiveState, Snapshot, ratio
from serving.tenancy import Tenant

router = APIRouter(prefix="/api", tags=["occupancy"])


@router.get("/occupancy/now", response_model=OccupancyPage, responses=problem_responses(422))
async def occupancy_now(
    tenant_id: Tenant,
    live: LiveState,
    request: Request,
    kind: Annotated[Kind | None, Query(description="Only sites of this kind.")] = None,
    route_id: Annotated[str | None, Query(max_length=200, description="Only buses on this route.")] = None,
    limit: Annotated[int, Query(ge=1, le=5_000, description="Sites per page.")] = 5_000,
    cursor: Cursor = None,
) -> Response:
    """All active sites as they are now.

    A site that has been silent for longer than its readings hold (5 minutes for a bus) is `is_stale`, and its `count`
    is null: unknown, never empty. The answer is at most half a second old.
    """
    snapshot = await live.of(tenant_id)
    version = request.app.state.levels.version
    question = ("now", kind, route_id, limit, cursor)
    return snapshot.response(request, question, lambda: _page(snapshot, kind, route_id, limit, cursor, version))


def _page(
    snapshot: Snapshot, kind: str | None, route_id: str | None, limit: int, cursor: str | None, version: str
) -> OccupancyPage:
    def wanted(site: SiteNow) -> bool:
        return (kind is None or site.kind == kind) and (route_id is None or site.route_id == route_id)

    total = sum(map(wanted, snapshot.sites))
    page: list[SiteNow] = []
    for site in snapshot.after(decode_cursor(cursor, str) if cursor else None):
        if wanted(site):
            if len(page) == limit:
                return OccupancyPage(page, total, encode_cursor(page[-1].site_id), version, snapshot.at)
            page.append(site)
    return OccupancyPage(page, total, None, version, snapshot.at)


@router.get("/occupancy/current", responses=problem_responses(404, 422))
async def occupancy_current(
    tenant_id: Tenant, live: LiveState, database: Db, request: Request, site_id: SiteInQuery = None
) -> Current:
    """The count of one site now, as the old gateway gave it.

    `predicted` is the count if the site is heard; else what the forecast says for this hour; else null.
    """
    settings: Settings = request.app.state.settings
    levels: Levels = request.app.state.levels
    snapshot = await live.of(tenant_id)
    site = find_site(snapshot, site_or_default(snapshot, site_id, settings))
    ts, predicted, source = snapshot.at, site.count, "live"
    if site.count is not None and site.event_at is not None:
        ts = site.event_at
    elif expected := await _expected_now(database, tenant_id, site.site_id, snapshot.at):
        ts, predicted, source = expected["target_hour"], round(expected["predicted"]), "forecast"
    else:
        source = "none"
    level = levels.level(site.kind, predicted, site.capacity, site.seats)
    return Current(
        ts=ts,
        predicted=predicted,
        source=source,  # type: ignore[arg-type]
        site_id=site.site_id,
        name=site.name,
        kind=site.kind,
        capacity=site.capacity,
        load_factor=ratio(predicted, site.capacity),
        level=level,
        rider_level=levels.rider_of[level],  # type: ignore[arg-type]
        age_s=site.age_s,
        is_stale=site.is_stale,
        generated_at=snapshot.at,
    )


async def _expected_now(database: Database, tenant_id: str, site_id: str, at: datetime) -> Row | None:
    hour = at.replace(minute=0, second=0, microsecond=0)
    parameters = {"tenant_id": tenant_id, "series_id": site_id, "start": hour, "end": at}
    try:
        return await database.row(FORECAST, parameters)
    except MISSING_RELATION:  # the count now does not depend on anything having been forecast
        return None


@router.get(f"/occupancy/{SITE}/history", responses=problem_responses(404, 422))
async def occupancy_history(
    site_id: SiteInPath,
    tenant_id: Tenant,
    live: LiveState,
    database: Db,
    request: Request,
    start: From = None,
    end: To = None,
    step: Annotated[Step, Query(description="One entry per hour (UTC) or per day (the site's time zone).")] = "hour",
) -> History:
    """A site's past by hour or day, over at most 92 days; step=day gives the whole days that the period touches.

    Means are weighted by time: a count holds until the next one. An event that arrives late corrects its hours.
    """
    period = bounded_period(start, end, step)
    site = find_site(await live.of(tenant_id), site_id)
    stream_id = _stream_of(site)
    by_hour, by_day = (OCCUPANCY_HOURS, OCCUPANCY_DAYS) if stream_id is None else (TRAFFIC_HOURS, TRAFFIC_DAYS)
    parameters = {
        "tenant_id": tenant_id,
        "site_id": site_id,
        "stream_id": stream_id,
        "time_zone": site.time_zone,
        "start": period.start,
        "end": period.end,
    }
    rows = await database.rows(by_day if step == "day" else by_hour, parameters)
    levels: Levels = request.app.state.levels
    items = [
        Period(level=levels.level(site.kind, row["mean_occupancy"], row["capacity"], site.seats), **row) for row in rows
    ]
    return History(
        site_id=site_id,
        step=step,
        from_=period.start,
        to=period.end,
        items=items,
        refreshed_at=max((row["refreshed_at"] for row in rows if row["refreshed_at"]), default=None),
        generated_at=datetime.now(UTC),
    )


@router.get(f"/occupancy/{SITE}", responses=problem_responses(404))
async def occupancy_of_site(site_id: SiteInPath, tenant_id: Tenant, live: LiveState) -> SiteNow:
    """One site as it is now."""
    return find_site(await live.of(tenant_id), site_id)


def _stream_of(site: SiteNow) -> UUID | None:
    """The traffic stream that an area is; None for what is counted by occupancy events."""
    try:
        return UUID(site.site_id) if site.kind == "area" else None
    except ValueError:
        return None


@router.get("/levels")
async def level_table(_: Tenant, request: Request) -> LevelTable:
    """The thresholds, words, colours and icons behind every `level` and `rider_level`."""
    levels: Levels = request.app.state.levels
    kinds = {
        name: KindOfLevels(
            levels=[LevelBound(level=level, from_load_factor=start) for level, start in kind.bounds],
            seats_decide=kind.seats_decide,
            words=kind.words,
        )
        for name, kind in levels.kinds.items()
    }
    riders = {r.name: RiderStyle(colour=r.colour, icon=r.icon, levels=list(r.of)) for r in levels.riders.values()}
    return LevelTable(version=levels.version, kinds=kinds, riders=riders)
