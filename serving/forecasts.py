"""Puts a forecast together: finds the series of what was asked for, and makes a bus's forecast of its route's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from forecasting.vehicles import Evidence, RouteHour, forecast_vehicle
from serving.database import Database, Row
from serving.levels import Levels
from serving.problems import ProblemError
from serving.queries.forecast import BUS_AGAINST_ROUTE, FORECAST, ROUTE_CAPACITY, ROUTE_SINCE_ORIGIN
from serving.schemas.forecast import ForecastHour
from serving.schemas.occupancy import SiteNow
from serving.sites import unknown_site
from serving.snapshot import Snapshot, ratio

BUS_LOOK_BACK = timedelta(hours=6)
LIVE_ROUTE_HOURS = 0.5  # a look at all buses of a route now, as hours of observation
LIVE_BUS_HOURS = 0.25  # and a look at one
_ROUTE_SERIES = re.compile(r"route:(?P<route_id>.+):(?P<direction_id>[01])")


@dataclass(frozen=True)
class RouteSeries:
    """A route and direction, which is one series."""

    route_id: str
    direction_id: int

    @property
    def series_id(self) -> str:
        """Its name among the series."""
        return f"route:{self.route_id}:{self.direction_id}"


@dataclass(frozen=True)
class Hours:
    """The hours wanted: from the present one, `end` exclusive."""

    start: datetime
    end: datetime

    @classmethod
    def from_now(cls, now: datetime, hours: int) -> Hours:
        """The present hour and those after it."""
        start = now.replace(minute=0, second=0, microsecond=0)
        return cls(start, start + timedelta(hours=hours))


class Forecaster:
    """Answers what is expected of one tenant's sites and routes."""

    def __init__(self, database: Database, levels: Levels, tenant_id: str, snapshot: Snapshot) -> None:
        self._database = database
        self._levels = levels
        self._tenant_id = tenant_id
        self._snapshot = snapshot

    async def of_site(self, site_id: str, hours: Hours, direction_id: int | None = None) -> list[ForecastHour]:
        """The forecast of a venue, an area, a bus or a series named `route:<route>:<direction>`.

        Raises:
            ProblemError: 404, the tenant has no such site, or there is no forecast of it.
        """
        if named := _ROUTE_SERIES.fullmatch(site_id):
            return await self.of_route(RouteSeries(named["route_id"], int(named["direction_id"])), hours)
        site = self._snapshot.by_id.get(site_id)
        if site is not None and site.kind == "bus":
            return await self._of_bus(site, hours, direction_id)
        rows = await self._predictions(site_id, hours)
        if site is None and not rows:
            raise unknown_site(site_id)
        kind, capacity, seats = (site.kind, site.capacity, site.seats) if site else ("venue", None, None)
        return [self._hour(row, site_id, kind, capacity, seats) for row in self._required(rows, site_id)]

    def series_of(self, site_id: str, direction_id: int | None = None) -> str:
        """The series that a site's forecast comes from: its own, or for a bus its route's.

        Raises:
            ProblemError: 404, it is a bus on no route.
        """
        site = self._snapshot.by_id.get(site_id)
        if site is None or site.kind != "bus":
            return site_id
        return self._route_of(site, direction_id).series_id

    async def of_route(self, route: RouteSeries, hours: Hours, field: str = "site_id") -> list[ForecastHour]:
        """The forecast of a route and direction, in people per bus; `field` is the parameter that asked for it.

        Raises:
            ProblemError: 404, there is no forecast of it.
        """
        rows = self._required(await self._predictions(route.series_id, hours), route.series_id, field)
        capacity = await self._capacity(route)
        return [self._hour(row, route.series_id, "bus", capacity, None) for row in rows]

    async def _of_bus(self, bus: SiteNow, hours: Hours, direction_id: int | None) -> list[ForecastHour]:
        route = self._route_of(bus, direction_id)
        rows = self._required(await self._predictions(route.series_id, hours), bus.site_id)
        route_capacity = await self._capacity(route)
        capacity = bus.capacity or route_capacity
        if not route_capacity or not capacity:
            raise _no_forecast(bus.site_id, "its capacity, or that of the buses on its route, is not known")
        route_hours = [
            RouteHour(
                ahead_h=int((row["target_hour"] - hours.start) / timedelta(hours=1)),
                load_factor=row["predicted"] / route_capacity,
                p10=row["p10"] / route_capacity,
                p90=row["p90"] / route_capacity,
            )
            for row in rows
        ]
        vehicle_hours = forecast_vehicle(
            route_hours,
            capacity,
            await self._route_today(route, rows[0], hours.start, route_hours[0]),
            await self._bus_today(bus, hours.start),
        )
        own = [
            row
            | {
                "predicted": vehicle.expected,
                "p10": vehicle.p10,
                "p90": vehicle.p90,
                "baseline": None if row["baseline"] is None else row["baseline"] / route_capacity * capacity,
                "method": f"{row['method']}+vehicle",
            }
            for row, vehicle in zip(rows, vehicle_hours, strict=True)
        ]
        return [self._hour(row, route.series_id, "bus", capacity, bus.seats) for row in own]

    def _route_of(self, bus: SiteNow, direction_id: int | None) -> RouteSeries:
        if bus.route_id is None:
            raise _no_forecast(bus.site_id, "it is on no route, and a bus has its route's forecast")
        direction = direction_id if direction_id is not None else bus.direction_id
        return RouteSeries(bus.route_id, direction or 0)

    async def _route_today(
        self, route: RouteSeries, first: Row, present_hour: datetime, expected_now: RouteHour
    ) -> list[Evidence]:
        """What the forecast could not know: the hours since its origin, and what is seen on the road now."""
        found = await self._database.row(
            ROUTE_SINCE_ORIGIN,
            {
                **self._of_route(route),
                "series_id": route.series_id,
                "origin_at": first["origin_at"],
                "model_version": first["model_version"],
                "since": max(first["origin_at"], present_hour - BUS_LOOK_BACK),
            },
        )
        evidence = _evidence(found)
        load_factor = route_load_factor(self._snapshot.sites, route.route_id, route.direction_id)
        if load_factor is not None and expected_now.ahead_h == 0:
            evidence.append(Evidence(load_factor, expected_now.load_factor, LIVE_ROUTE_HOURS))
        return evidence

    async def _bus_today(self, bus: SiteNow, present_hour: datetime) -> list[Evidence]:
        assert bus.route_id is not None
        parameters = {
            "tenant_id": self._tenant_id,
            "site_id": bus.site_id,
            "route_id": bus.route_id,
            "since": present_hour - BUS_LOOK_BACK,
        }
        evidence = _evidence(await self._database.row(BUS_AGAINST_ROUTE, parameters))
        route_now = route_load_factor(self._snapshot.sites, bus.route_id, bus.direction_id)
        if bus.load_factor is not None and route_now is not None:
            evidence.append(Evidence(bus.load_factor, route_now, LIVE_BUS_HOURS))
        return evidence

    async def _predictions(self, series_id: str, hours: Hours) -> list[Row]:
        parameters = {"tenant_id": self._tenant_id, "series_id": series_id, "start": hours.start, "end": hours.end}
        return await self._database.rows(FORECAST, parameters)

    async def _capacity(self, route: RouteSeries) -> float | None:
        found = await self._database.row(ROUTE_CAPACITY, self._of_route(route))
        return float(found["capacity"]) if found else None

    def _of_route(self, route: RouteSeries) -> dict[str, Any]:
        return {"tenant_id": self._tenant_id, "route_id": route.route_id, "direction_id": route.direction_id}

    def _required(self, rows: list[Row], asked_for: str, field: str = "site_id") -> list[Row]:
        if not rows:
            raise _no_forecast(asked_for, "none was made for these hours; the job score_forecasts makes them", field)
        return rows

    def _hour(self, row: Row, series_id: str, kind: str, capacity: float | None, seats: int | None) -> ForecastHour:
        level = self._levels.level(kind, row["predicted"], capacity, seats)
        return ForecastHour(
            ts=row["target_hour"],
            predicted=round(row["predicted"]),
            expected=round(row["predicted"], 2),
            p10=round(row["p10"], 2),
            p90=round(row["p90"], 2),
            baseline=None if row["baseline"] is None else round(row["baseline"], 2),
            capacity=None if capacity is None else round(capacity, 1),
            load_factor=ratio(row["predicted"], capacity),
            level=level,
            rider_level=self._levels.rider_of[level],  # type: ignore[arg-type]
            horizon_h=row["horizon_h"],
            origin=row["origin_at"],
            model_version=row["model_version"],
            method=row["method"],
            series_id=series_id,
        )


def route_load_factor(sites: list[SiteNow], route_id: str, direction_id: int | None) -> float | None:
    """People ÷ capacity over the buses that are heard on a route and direction; None if none is."""
    heard = [
        (site.count, site.capacity)
        for site in sites
        if site.route_id == route_id and site.direction_id == direction_id and site.count is not None and site.capacity
    ]
    return ratio(sum(count for count, _ in heard), sum(capacity for _, capacity in heard)) if heard else None


def _evidence(row: Row | None) -> list[Evidence]:
    if row is None or row["actual"] is None or row["expected"] is None:
        return []
    return [Evidence(float(row["actual"]), float(row["expected"]), float(row["hours"]))]


def _no_forecast(asked_for: str, why: str, field: str = "site_id") -> ProblemError:
    return ProblemError(404, "no_forecast", f"There is no forecast of '{asked_for}': {why}.", field)
