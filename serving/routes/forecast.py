"""Forecasts, hour by hour."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request

from serving.database import Db
from serving.explanations import Explainer
from serving.forecasts import Forecaster, Hours, RouteSeries
from serving.periods import Instant, require_within_years
from serving.problems import invalid_parameter, problem_responses
from serving.schemas.forecast import ForecastExplanation, ForecastHour
from serving.sites import SiteInQuery, site_or_default
from serving.snapshot import LiveState
from serving.tenancy import Tenant

router = APIRouter(tags=["forecast"])


@router.get("/api/forecast/hourly", responses=problem_responses(404, 422))
@router.get("/forecast/hourly", responses=problem_responses(404, 422), include_in_schema=False)
async def forecast_hourly(
    tenant_id: Tenant,
    live: LiveState,
    database: Db,
    request: Request,
    hours: Annotated[int, Query(ge=1, le=168, description="How many hours, the present one included.")] = 24,
    site_id: SiteInQuery = None,
    route_id: Annotated[
        str | None, Query(max_length=200, description="Instead of `site_id`: a route, in people per bus.")
    ] = None,
    direction_id: Annotated[
        int | None, Query(ge=0, le=1, description="The route's direction; for a bus, another than it runs in now.")
    ] = None,
) -> list[ForecastHour]:
    """What is expected, hour by hour from the present one, with an 80 % band.

    `site_id` is a venue, an area, a bus, or a series such as `route:1:0`. A bus has its route's forecast, carried over
    to its own capacity and adjusted by how the bus and the route run today. Also at `/forecast/hourly`.
    """
    snapshot = await live.of(tenant_id)
    forecaster = Forecaster(database, request.app.state.levels, tenant_id, snapshot)
    wanted = Hours.from_now(snapshot.at, hours)
    if route_id is None:
        chosen = site_or_default(snapshot, site_id, request.app.state.settings)
        return await forecaster.of_site(chosen, wanted, direction_id)
    if site_id is not None:
        raise invalid_parameter("route_id", "give either site_id or route_id")
    if direction_id is None:
        raise invalid_parameter("direction_id", "is required with route_id: 0 or 1")
    return await forecaster.of_route(RouteSeries(route_id, direction_id), wanted, "route_id")


@router.get("/api/forecast/explain", responses=problem_responses(404, 422))
async def forecast_explain(
    tenant_id: Tenant,
    live: LiveState,
    database: Db,
    request: Request,
    site_id: SiteInQuery = None,
    hour: Annotated[
        Instant | None,
        Query(description="Any instant of the hour, with its offset; by default the present hour."),
    ] = None,
    direction_id: Annotated[
        int | None, Query(ge=0, le=1, description="For a bus: another direction than it runs in now.")
    ] = None,
) -> ForecastExplanation:
    """Why a forecast is what it is: what is usual then, and what moves it, in words.

    `site_id` is a venue, an area, a bus (its route is explained), or a series such as `route:1:0`.
    """
    snapshot = await live.of(tenant_id)
    chosen = site_or_default(snapshot, site_id, request.app.state.settings)
    series_id = Forecaster(database, request.app.state.levels, tenant_id, snapshot).series_of(chosen, direction_id)
    wanted: datetime = hour or snapshot.at
    require_within_years("hour", wanted)
    explainer: Explainer = request.app.state.explainer
    return await explainer.explain(tenant_id, series_id, wanted)
