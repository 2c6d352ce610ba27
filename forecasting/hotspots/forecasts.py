"""What is forecast for every entity: predictions as load factors, and the crowded windows in them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg

from forecasting.hotspots.density import Densities, read_densities
from forecasting.hotspots.model import Entity, Position, crowded_minutes
from forecasting.hotspots.policy import HotspotPolicy
from forecasting.store import Prediction, latest_predictions

_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class ForecastHour:
    """One hour of one entity as forecast. Loads of a route are those of a vehicle on its busiest stretch.

    Attributes:
        hour: start (UTC).
        load: people (per vehicle for a route), the middle of the forecast.
        low: the same, 10 % quantile.
        high: the same, 90 % quantile.
        capacity: places (per vehicle for a route).
        vehicles: vehicles that share the crowd: those on the busiest stretch, 1 for a site or area.
        origin_at: when the forecast was made.
        method: how.
        model_version: by which model.
        position: where the site is; None for a route, or where nobody knows.
        density: mean load of a route over that of its busiest stretch; 1 for a site or area.
    """

    hour: datetime
    load: float
    low: float
    high: float
    capacity: float
    vehicles: float
    origin_at: datetime
    method: str
    model_version: str
    position: Position | None = None
    density: float = 1.0

    @property
    def load_factor(self) -> float:
        """Load over capacity."""
        return self.load / self.capacity

    def crowded_minutes(self, threshold: float, load: float | None = None) -> float:
        """Crowded passenger-minutes of the hour above a share of the capacity, at the middle or another load."""
        each = self.load if load is None else load
        return self.vehicles * crowded_minutes([each], threshold * self.capacity, 60)


@dataclass(frozen=True)
class Window:
    """Consecutive crowded hours of one entity."""

    hours: tuple[ForecastHour, ...]

    @property
    def start(self) -> datetime:
        """Start of the first hour."""
        return self.hours[0].hour

    @property
    def end(self) -> datetime:
        """End of the last hour."""
        return self.hours[-1].hour + _HOUR

    @property
    def peak(self) -> ForecastHour:
        """The fullest hour."""
        return max(self.hours, key=lambda hour: hour.load_factor)


def crowded_windows(hours: Iterable[ForecastHour], threshold: float) -> list[Window]:
    """The unbroken runs of hours at or above the threshold, in order of time."""
    windows: list[list[ForecastHour]] = []
    for hour in sorted(hours, key=lambda hour: hour.hour):
        if hour.load_factor < threshold:
            continue
        if windows and windows[-1][-1].hour + _HOUR == hour.hour:
            windows[-1].append(hour)
        else:
            windows.append([hour])
    return [Window(tuple(run)) for run in windows]


def read_forecasts(
    connection: psycopg.Connection, tenant_id: str, now: datetime, policy: HotspotPolicy, entity: Entity | None = None
) -> dict[Entity, list[ForecastHour]]:
    """The forecast hours from the present one to the horizon, for one entity or for all whose capacity is known."""
    start = now.replace(minute=0, second=0, microsecond=0)
    predictions = latest_predictions(
        connection,
        tenant_id,
        start=start,
        end=start + policy.forecast_horizon,
        oldest_origin=now - policy.oldest_forecast,
        series_id=entity.series_id if entity else None,
    )
    if not predictions:
        return {}
    fleet = _read_fleet(connection, tenant_id, entity)
    densities = read_densities(connection, tenant_id, now, policy, entity)
    hours: dict[Entity, list[ForecastHour]] = defaultdict(list)
    for prediction in predictions:
        known = fleet.get(prediction.series_id)
        if known is not None:
            hours[known.entity].append(_forecast_hour(prediction, known, policy, densities))
    return hours


@dataclass(frozen=True)
class _Places:
    """Capacity of a series' site, or mean capacity and usual number of vehicles of its route."""

    entity: Entity
    capacity: float
    vehicles: float = 1.0
    position: Position | None = None


def _read_fleet(connection: psycopg.Connection, tenant_id: str, entity: Entity | None) -> dict[str, _Places]:
    """Places by series id, of one entity or of all. A route's vehicles are those that served it last."""
    rows = connection.execute(
        """
        WITH last_seen AS (
            SELECT coalesce(live.route_id, sites.route_id) AS route_id, live.direction_id, live.site_id,
                   nullif(coalesce(sites.capacity, live.capacity), 0) AS capacity,
                   coalesce(live.lat, sites.lat) AS lat, coalesce(live.lon, sites.lon) AS lon
            FROM live.occupancy AS live
            LEFT JOIN registry.sites ON sites.tenant_id = live.tenant_id AND sites.site_id = live.site_id
            WHERE live.tenant_id = %(tenant)s AND coalesce(sites.is_active, true)
              AND (%(kind)s::text IS NULL
                   OR %(kind)s = 'site' AND live.site_id = %(id)s
                   OR %(kind)s = 'route' AND coalesce(live.route_id, sites.route_id) = %(id)s)
        )
        SELECT 'route', route_id, direction_id, avg(capacity)::float8, count(*)::float8, NULL, NULL
        FROM last_seen WHERE route_id IS NOT NULL AND capacity IS NOT NULL AND direction_id IS NOT NULL
        GROUP BY route_id, direction_id
        UNION ALL
        SELECT 'site', site_id, NULL, capacity, 1, lat, lon
        FROM last_seen WHERE route_id IS NULL AND capacity IS NOT NULL
        UNION ALL
        SELECT 'site', live.stream_id::text, NULL,
               nullif(coalesce(sites.capacity, live.estimated_max_people), 0), 1,
               coalesce(live.latitude, sites.lat), coalesce(live.longitude, sites.lon)
        FROM live.traffic AS live
        LEFT JOIN registry.sites ON sites.tenant_id = live.tenant_id AND sites.site_id = live.stream_id::text
        WHERE live.tenant_id = %(tenant)s AND coalesce(sites.is_active, true)
          AND coalesce(sites.capacity, live.estimated_max_people) > 0
          AND (%(kind)s::text IS NULL OR %(kind)s = 'site' AND live.stream_id::text = %(id)s)
        UNION ALL
        SELECT 'site', site_id, NULL, capacity, 1, lat, lon
        FROM registry.sites AS sites
        WHERE tenant_id = %(tenant)s AND is_active AND route_id IS NULL AND capacity IS NOT NULL
          AND NOT EXISTS (SELECT FROM last_seen WHERE last_seen.site_id = sites.site_id)
          AND (%(kind)s::text IS NULL OR %(kind)s = 'site' AND site_id = %(id)s)
        """,
        {"tenant": tenant_id, "kind": entity and entity.kind, "id": entity and entity.entity_id},
    )
    places = [
        _Places(Entity(kind, key, direction), capacity, vehicles, None if lat is None or lon is None else (lat, lon))
        for kind, key, direction, capacity, vehicles, lat, lon in rows
    ]
    return {place.entity.series_id: place for place in places}


def _forecast_hour(
    prediction: Prediction, places: _Places, policy: HotspotPolicy, densities: Densities
) -> ForecastHour:
    is_route = places.entity.kind == "route"
    density = densities.at(places.entity, prediction.target_hour) if is_route else 1.0
    return ForecastHour(
        hour=prediction.target_hour,
        load=prediction.predicted / density,
        low=prediction.p10 / density,
        high=prediction.p90 / density,
        capacity=places.capacity,
        vehicles=max(1.0, places.vehicles / policy.stretches) if is_route else 1.0,
        origin_at=prediction.origin_at,
        method=prediction.method,
        model_version=prediction.model_version,
        position=places.position,
        density=density,
    )
