"""The city's true hourly series, and what hotspots and recommendations would read of their forecasts and history."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from forecasting.hotspots.density import Densities
from forecasting.hotspots.forecasts import ForecastHour
from forecasting.hotspots.model import Entity
from forecasting.hotspots.policy import HotspotPolicy
from forecasting.recommendations.preconditions import WEEKS_OF_FOUR
from forecasting.recommendations.situation import RecurringHour
from ingest.simulator.city import City
from ingest.simulator.experiment import Experiment
from orchestration.evaluation.city_world import entities_of


def series_of(lived: Sequence[Experiment]) -> pd.DataFrame:
    """One row per entity and hour: entity, site_id, hour, load (people per bus, or inside), capacity, vehicles."""
    city = lived[0].city
    means = {service.route.route_id: service.mean_capacity for service in city.services}
    places = {venue.site_id: venue.capacity for venue in city.venues}
    routes = pd.concat([day.route_hours() for day in lived])
    venues = pd.concat([day.venue_hours() for day in lived])
    keys = zip(routes["route_id"], routes["direction_id"], strict=True)
    of_routes = pd.DataFrame(
        {
            "entity": [Entity("route", route, int(way)) for route, way in keys],
            "hour": routes["hour"],
            "load": routes["mean_load"],
            "capacity": routes["route_id"].map(means),
            "vehicles": routes["vehicles"],
        }
    )
    capacity = venues["site_id"].map(places)
    of_venues = pd.DataFrame(
        {
            "entity": [Entity("site", site) for site in venues["site_id"]],
            "hour": venues["hour"],
            "load": venues["mean_load"],
            "capacity": capacity,
            "vehicles": 1.0,
        }
    )
    both = pd.concat([of_routes, of_venues], ignore_index=True)
    return both.assign(site_id=[entity.series_id for entity in both["entity"]])


def forecasts_of(
    predictions: pd.DataFrame, city: City, series: pd.DataFrame, densities: Densities, policy: HotspotPolicy
) -> dict[Entity, dict[datetime, list[ForecastHour]]]:
    """Forecast hours by entity and origin, as `forecasting.hotspots.forecasts` makes them from stored predictions."""
    places = series.groupby("site_id")["capacity"].last().to_dict()
    sizes = {service.route.route_id: service.peak_buses / 2 for service in city.services}
    by_series = {entity.series_id: entity for entity in entities_of(city)}
    found: dict[Entity, dict[datetime, list[ForecastHour]]] = defaultdict(lambda: defaultdict(list))
    columns = predictions[["site_id", "origin", "hour", "prediction", "p10", "p90", "method"]]
    for series_id, origin, hour, *loads, method in columns.itertuples(index=False):
        entity, made_at = by_series[series_id], origin.to_pydatetime()
        is_route = entity.kind == "route"
        density = densities.at(entity, hour.to_pydatetime()) if is_route else 1.0
        vehicles = max(1.0, sizes[entity.entity_id] / policy.stretches) if is_route else 1.0
        load, low, high = (value / density for value in loads)
        found[entity][made_at].append(
            ForecastHour(
                hour=hour.to_pydatetime(),
                load=load,
                low=low,
                high=high,
                capacity=places[series_id],
                vehicles=vehicles,
                origin_at=made_at,
                method=method,
                model_version="evaluation",
                density=density,
            )
        )
    return {
        entity: {at: sorted(hours, key=lambda one: one.hour) for at, hours in own.items()}
        for entity, own in found.items()
    }


def recurring_hours(
    series: pd.DataFrame, until: datetime, zone: str, policy: HotspotPolicy
) -> dict[Entity, list[RecurringHour]]:
    """Hours of the week that were crowded in most of the last four weeks, as the mart would tell."""
    routes = series[[entity.kind == "route" for entity in series["entity"]]]
    recent = routes[(routes["hour"] < until) & (routes["hour"] >= until - timedelta(days=28))]
    load = recent["load"] / policy.load_profile_density
    crowded = recent.assign(busiest=load)[load >= policy.raise_at * recent["capacity"]]
    local = crowded["hour"].dt.tz_convert(zone)
    grouped = crowded.groupby([crowded["entity"], local.dt.isocalendar().day, local.dt.hour])
    found: dict[Entity, list[RecurringHour]] = defaultdict(list)
    key: Any
    for key, rows in grouped:
        entity, weekday, hour = key
        if len(rows) >= WEEKS_OF_FOUR:
            busiest, vehicles = rows["busiest"], max(1.0, rows["vehicles"].mean() / policy.stretches)
            found[entity].append(
                RecurringHour(
                    int(weekday), int(hour), len(rows), busiest.mean(), busiest.min(), busiest.max(),
                    rows["capacity"].mean(), vehicles,
                )
            )  # fmt: skip
    return found
