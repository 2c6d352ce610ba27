"""Answers about how full sites are and were."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["bus", "venue", "area", "stop"]
Level = Annotated[
    str,
    Field(
        description="How full, in GTFS-realtime's `OccupancyStatus` names; `NO_DATA_AVAILABLE` when it is not known.",
        examples=["MANY_SEATS_AVAILABLE"],
    ),
]
Rider = Annotated[
    Literal["low", "medium", "high", "unknown"],
    Field(description="The level in the three steps that riders see; words, colours and icons: `/api/levels`."),
]
Share = Annotated[
    float | None, Field(description="Load factor: people ÷ capacity. 1 = full; may be more.", examples=[0.775])
]
GeneratedAt = Annotated[datetime, Field(description="When this answer was put together (UTC).")]
NextCursor = Annotated[str | None, Field(description="Give it as `cursor` for the next page; null on the last one.")]
Capacity = Annotated[int | None, Field(description="People that fit, seated and standing.", examples=[80])]


# Plain dataclasses, not models: a tenant's 5,000 buses are built and encoded every second.
@dataclass(slots=True)
class SiteNow:
    """What is known of one site at this moment."""

    site_id: Annotated[
        str, Field(description="The site: a bus, a venue, an area of road, a stop.", examples=["TJ-0345"])
    ]
    name: Annotated[str, Field(description="What people call it.", examples=["TransJakarta 0345"])]
    kind: Annotated[Kind, Field(description="What sort of site it is.")]
    route_id: Annotated[str | None, Field(description="Buses: the route being served.", examples=["1"])]
    direction_id: Annotated[int | None, Field(description="Buses: the direction of travel, 0 or 1.")]
    trip_id: Annotated[str | None, Field(description="Buses: the trip being run.")]
    stop_id: Annotated[str | None, Field(description="Buses: the stop last called at.")]
    count: Annotated[
        int | None,
        Field(description="People (or vehicles) there now. Null when unknown: a silent site is never shown as empty."),
    ]
    last_count: Annotated[int | None, Field(description="The last count heard, however old it is.")]
    capacity: Capacity
    seats: Annotated[int | None, Field(description="Seats among the capacity.")]
    load_factor: Share
    seat_load_factor: Annotated[float | None, Field(description="People ÷ seats.")]
    level: Level
    rider_level: Rider
    event_at: Annotated[
        datetime | None, Field(description="When the last count was taken, by the device's clock (UTC).")
    ]
    age_s: Annotated[
        float | None,
        Field(
            description="Seconds since then, or since its receipt if that was earlier; null if nothing was ever heard."
        ),
    ]
    is_stale: Annotated[bool, Field(description="The last count is too old to be believed, or there is none.")]
    lat: Annotated[float | None, Field(description="Latitude, degrees (WGS 84).")]
    lon: Annotated[float | None, Field(description="Longitude, degrees (WGS 84).")]
    time_zone: Annotated[str, Field(description="IANA time zone of its local day.", examples=["Asia/Jakarta"])]
    device_id: Annotated[str | None, Field(description="The device that counted.")]
    is_registered: Annotated[bool, Field(description="Whether the registry knows the site, or only its events do.")]


@dataclass(slots=True)
class OccupancyPage:
    """Sites as they are now, one page of them."""

    items: Annotated[list[SiteNow], Field(description="The sites, by `site_id`.")]
    total: Annotated[int, Field(description="How many sites match, on all pages.")]
    next_cursor: NextCursor
    level_version: Annotated[str, Field(description="Version of the thresholds behind `level`.")]
    generated_at: GeneratedAt


class Current(BaseModel):
    """The count of one site now; the fields `ts` and `predicted` are those of the old gateway."""

    ts: Annotated[
        datetime, Field(description="What `predicted` is about: the time of the count, or the forecast hour.")
    ]
    predicted: Annotated[
        int | None,
        Field(description="People there: counted if the site is heard, else forecast for this hour, else null."),
    ]
    source: Annotated[Literal["live", "forecast", "none"], Field(description="Where `predicted` comes from.")]
    site_id: str
    name: str
    kind: Kind
    capacity: Capacity
    load_factor: Share
    level: Level
    rider_level: Rider
    age_s: Annotated[float | None, Field(description="Seconds since the site was last heard.")]
    is_stale: bool
    generated_at: GeneratedAt


class Period(BaseModel):
    """One hour or one day of a site."""

    at: Annotated[datetime | None, Field(description="Start of the hour (UTC); step=hour.")] = None
    service_date: Annotated[date | None, Field(description="The day in the site's time zone; step=day.")] = None
    mean_occupancy: Annotated[float | None, Field(description="People, mean over the time that was observed.")] = None
    max_occupancy: Annotated[float | None, Field(description="People, at most.")] = None
    p95_occupancy: Annotated[float | None, Field(description="People, not exceeded in 95 % of the time.")] = None
    boardings: Annotated[int | None, Field(description="People who came in.")] = None
    alightings: Annotated[int | None, Field(description="People who went out.")] = None
    capacity: Annotated[float | None, Field(description="People that fit.")] = None
    load_factor: Share = None
    level: Level
    minutes_above_threshold: Annotated[float | None, Field(description="Minutes at 90 % of capacity or more.")] = None
    samples: Annotated[int | None, Field(description="Distinct counts received.")] = None
    coverage: Annotated[float | None, Field(description="Share of the time that was observed, 0 to 1.")] = None
    is_imputed: Annotated[bool | None, Field(description="Filled in because nothing was observed.")] = None


class History(BaseModel):
    """A site's past, by hour or day. Late events correct it."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True)

    site_id: str
    step: Literal["hour", "day"]
    from_: Annotated[datetime, Field(alias="from", description="Start, inclusive (UTC).")]
    to: Annotated[datetime, Field(description="End, exclusive (UTC).")]
    items: Annotated[list[Period], Field(description="In order of time; hours without data are left out.")]
    refreshed_at: Annotated[datetime | None, Field(description="When the newest of these figures was computed (UTC).")]
    generated_at: GeneratedAt


class LevelBound(BaseModel):
    """One level and where it begins."""

    level: Level
    from_load_factor: Annotated[float, Field(description="Load factor (people ÷ capacity) at which it begins.")]


class KindOfLevels(BaseModel):
    """The levels of one kind of site."""

    levels: list[LevelBound]
    seats_decide: Annotated[
        bool,
        Field(description="Where seats are known, a level says `SEATS` until they are taken and `STANDING` after."),
    ]
    words: Annotated[dict[str, str], Field(description="Rider level to the word for it.")]


class RiderStyle(BaseModel):
    """How a rider level looks; colour is never the only sign."""

    colour: Annotated[str, Field(examples=["#1f7a4d"])]
    icon: Annotated[str, Field(examples=["▮▯▯"])]
    levels: Annotated[list[str], Field(description="The levels that it stands for.")]


class LevelTable(BaseModel):
    """The thresholds behind every `level` and `rider_level`."""

    version: str
    kinds: dict[str, KindOfLevels]
    riders: dict[str, RiderStyle]


class MapPoint(BaseModel):
    """A position (RFC 7946: longitude first)."""

    type: Literal["Point"]
    coordinates: Annotated[list[float], Field(min_length=2, max_length=2, examples=[[106.8229, -6.1946]])]


class MapFeature(BaseModel):
    """One site on the map; `properties` are the fields of `/api/occupancy/now`, and the colour of its level."""

    type: Literal["Feature"]
    id: str
    geometry: MapPoint
    properties: dict[str, Any]


class MapCollection(BaseModel):
    """Sites as GeoJSON (RFC 7946)."""

    type: Literal["FeatureCollection"]
    features: list[MapFeature]
    next_cursor: NextCursor
    level_version: str
    generated_at: GeneratedAt


class RouteLine(BaseModel):
    """A line through a route's stops (RFC 7946: longitude first)."""

    type: Literal["LineString"] = "LineString"
    coordinates: Annotated[list[list[float]], Field(examples=[[[106.8229, -6.1946], [106.8271, -6.1754]]])]


class RouteName(BaseModel):
    """Which route and direction a line is."""

    route_id: str
    direction_id: int


class RouteFeature(BaseModel):
    """One route and direction on the map."""

    type: Literal["Feature"] = "Feature"
    geometry: RouteLine
    properties: RouteName


class RouteLines(BaseModel):
    """Routes as GeoJSON (RFC 7946)."""

    type: Literal["FeatureCollection"] = "FeatureCollection"
    features: list[RouteFeature]
    generated_at: GeneratedAt


class RouteNow(BaseModel):
    """A route and direction with the load of the buses on it."""

    route_id: str
    direction_id: int
    route_name: str
    headsign: str
    vehicles: Annotated[int, Field(description="Buses heard on it lately.")]
    mean_count: Annotated[float | None, Field(description="People per bus; null if no bus is heard.")]
    load_factor: Annotated[float | None, Field(description="People ÷ capacity, over all its buses.")]
    max_load_factor: Annotated[float | None, Field(description="Load factor of its fullest bus.")]
    level: Level
    rider_level: Rider


class RoutesNow(BaseModel):
    """All routes of the tenant."""

    items: list[RouteNow]
    generated_at: GeneratedAt
