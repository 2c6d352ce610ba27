"""Areas: cells of the H3 grid (Uber's hexagons), each judged by all the sites and vehicles within it together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from itertools import chain
from typing import Any

from forecasting.hotspots.forecasts import ForecastHour
from forecasting.hotspots.model import Entity, Observation, Position
from forecasting.hotspots.observations import Reading, excess, load_factor
from forecasting.hotspots.policy import HotspotPolicy

AREA_RESOLUTION = 8  # 0.74 km² on average: what people walk across in ten minutes
FEWEST_SITES = 2  # a site that is alone in its cell speaks for itself


def area_at(position: Position) -> Entity:
    """The area in which a position (latitude, longitude in degrees) lies."""
    import h3

    return Entity("area", h3.latlng_to_cell(*position, AREA_RESOLUTION))


def boundary(area_id: str) -> dict[str, Any]:
    """The outline of an area as a GeoJSON polygon."""
    import h3

    return dict(h3.cells_to_geo([area_id]))


def observe_areas(readings: Iterable[Reading], now: datetime, policy: HotspotPolicy) -> dict[Entity, Observation]:
    """How full the areas are: all places in an area taken together, each for one person or one vehicle.

    An area with fewer than `FEWEST_SITES` readings that hold is unknown.
    """
    by_area: dict[Entity, list[Reading]] = defaultdict(list)
    for reading in readings:
        if reading.position is not None:
            by_area[area_at(reading.position)].append(reading)
    return {area: _observe(area, own, now, policy) for area, own in by_area.items() if len(own) >= FEWEST_SITES}


def _observe(area: Entity, sites: list[Reading], now: datetime, policy: HotspotPolicy) -> Observation:
    known = [site for site in sites if site.holds(now)]
    if len(known) < FEWEST_SITES:
        return Observation(area, None)
    fullest = sorted(known, key=lambda site: -excess(site, policy))[:5]
    return Observation(
        area,
        round(load_factor(known), 4),
        clearing_load_factor=round(load_factor(sites), 4),
        excess_passengers=sum(excess(site, policy) for site in known),
        evidence={
            "name": _name(known),
            "sites": len(known),
            "silent_sites": len(sites) - len(known),
            "occupancy": sum(site.occupancy for site in known),
            "capacity": sum(site.capacity for site in known),
            "fullest_sites": [
                {"site_id": site.site_id, "occupancy": site.occupancy, "capacity": site.capacity} for site in fullest
            ],
        },
    )


def _name(sites: list[Reading]) -> str:
    """An area is called after its largest fixed place; where only vehicles are, after the stop at which most are."""
    fixed = [site for site in sites if site.route_id is None]
    if fixed:
        return f"around {max(fixed, key=lambda site: (site.capacity, site.site_id)).name}"
    stops = [site.stop_name for site in sites if site.stop_name]
    return f"around {max(sorted(set(stops)), key=stops.count)}" if stops else f"{len(sites)} vehicles"


def forecast_areas(hours: Mapping[Entity, list[ForecastHour]]) -> dict[Entity, list[ForecastHour]]:
    """What the forecasts of the sites in an area say of it; vehicles have no fixed place and are left out.

    Quantiles are added up as if all sites were full together: sites of one area follow the same events and weather, so
    the band is rather too wide than too narrow.
    """
    sites: dict[Entity, list[list[ForecastHour]]] = defaultdict(list)
    for own in hours.values():
        if own[0].position is not None:
            sites[area_at(own[0].position)].append(own)
    gathered = {area: own for area, own in sites.items() if len(own) >= FEWEST_SITES}
    return {area: _added_up(chain.from_iterable(own)) for area, own in gathered.items()}


def _added_up(hours: Iterable[ForecastHour]) -> list[ForecastHour]:
    total: dict[datetime, ForecastHour] = {}
    for hour in hours:
        so_far = total.get(hour.hour)
        total[hour.hour] = hour if so_far is None else replace(
            so_far,
            load=so_far.load + hour.load,
            low=so_far.low + hour.low,
            high=so_far.high + hour.high,
            capacity=so_far.capacity + hour.capacity,
            origin_at=min(so_far.origin_at, hour.origin_at),
        )  # fmt: skip
    return [total[hour] for hour in sorted(total)]
