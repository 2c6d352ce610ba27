"""What a site or a device may look like when somebody registers it."""

from __future__ import annotations

import re
from collections.abc import Set
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Literal, Self
from zoneinfo import available_timezones

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from plimsoll.errors import PlimsollError

Kind = Literal["bus", "venue", "area", "stop"]
EventKind = Literal["holiday", "school_holiday", "closure", "event", "season"]
HOLD_S: dict[Kind, int] = {"bus": 300, "venue": 1800, "area": 600, "stop": 300}
"""How long an observation holds when nothing follows it, unless said otherwise."""
SHORTEST_SECRET = 16


def _printable(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("must not hold control characters")
    return text


def _addressable(text: str) -> str:
    # A device's name stands in MQTT topics and in URLs.
    if any(character in text for character in "/+#?"):
        raise ValueError("must not hold / + # or ?")
    return text


@cache
def _time_zones() -> Set[str]:
    # It reads all of the system's files of time zones: 4 ms, for every row of a file.
    return available_timezones()


def _time_zone(name: str) -> str:
    if name not in _time_zones():
        raise ValueError(f"'{name}' is no time zone; write one such as Asia/Jakarta")
    return name


def _country(code: str) -> str:
    from plimsoll.countries import UnknownCountry, require_country

    try:
        return require_country(code)
    except UnknownCountry as error:
        raise ValueError(str(error)) from error


_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
Name = Annotated[str, StringConstraints(min_length=1, max_length=128), AfterValidator(_printable)]
DeviceId = Annotated[Name, AfterValidator(_addressable)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
Country = Annotated[str, StringConstraints(max_length=43), AfterValidator(_country)]
Secret = Annotated[str, StringConstraints(min_length=SHORTEST_SECRET, max_length=256, pattern=r"^[\x21-\x7e]+$")]


class RegistryError(PlimsollError):
    """What was asked of the registry does not go.

    Attributes:
        code: a stable word: unknown_device, already_registered, …
        field: the field at fault, if one is.
    """

    def __init__(self, code: str, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.field = field


class NewSite(BaseModel):
    """A site to register."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"site_id": "TJ-0345", "kind": "bus", "seats": 30, "standing": 50, "time_zone": "Asia/Jakarta"},
                {
                    "site_id": "gym",
                    "name": "Campus gym",
                    "kind": "venue",
                    "capacity": 120,
                    "lat": 37.87,
                    "lon": -122.26,
                },
            ]
        },
    )

    site_id: Annotated[Name, Field(description="What its events call it.")]
    name: Annotated[Name | None, Field(description="What people call it; by default its id.")] = None
    kind: Kind
    capacity: Annotated[
        int | None, Field(ge=1, le=1_000_000, description="People that fit; by default seats and standing together.")
    ] = None
    seats: Annotated[int | None, Field(ge=0, le=1_000_000)] = None
    standing: Annotated[int | None, Field(ge=0, le=1_000_000, description="Places to stand.")] = None
    time_zone: Annotated[TimeZone, Field(description="IANA name; its days and hours are local.")] = "UTC"
    country: Annotated[
        Country | None,
        Field(description="Whose public holidays count, such as ID or US-CA; by default where its time zone lies."),
    ] = None
    route_id: Annotated[Name | None, Field(description="The route it serves, if always the same.")] = None
    lat: Annotated[float | None, Field(ge=-90, le=90, description="Degrees.")] = None
    lon: Annotated[float | None, Field(ge=-180, le=180, description="Degrees.")] = None
    hold_s: Annotated[
        int | None,
        Field(ge=1, le=86_400, description="How long a count holds without another; by default by kind (seconds)."),
    ] = None

    @model_validator(mode="after")
    def _placed(self) -> Self:
        if (self.lat is None) != (self.lon is None):
            raise ValueError("lat, lon: a position needs both")
        return self


class SiteChange(BaseModel):
    """What to change of a site; what is left out stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"capacity": 90, "is_active": True}]})

    name: Name | None = None
    kind: Kind | None = None
    capacity: int | None = None
    seats: int | None = None
    standing: int | None = None
    time_zone: str | None = None
    country: str | None = None
    route_id: Name | None = None
    lat: float | None = None
    lon: float | None = None
    hold_s: int | None = None
    is_active: Annotated[bool, Field(description="Whether it is shown and forecast.")] = True


class NewDevice(BaseModel):
    """A device to register."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"device_id": "EDGE-A1B2", "site_id": "TJ-0345"}]}
    )

    device_id: Annotated[DeviceId, Field(description="What it calls itself.")]
    site_id: Annotated[Name | None, Field(description="The site that it counts for.")] = None
    signs: Annotated[bool, Field(description="Whether it has to sign its events.")] = True
    secret: Annotated[
        Secret | None, Field(description="The secret that it signs with, if it has one; otherwise one is made.")
    ] = None
    valid_from: Annotated[
        AwareDatetime | None, Field(description="From when on; by default always, or now if it was registered before.")
    ] = None
    valid_to: Annotated[AwareDatetime | None, Field(description="Until when; by default for good.")] = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.secret is not None and not self.signs:
            raise ValueError("secret: a device that does not sign has none")
        if self.valid_to is not None and self.valid_to <= (self.valid_from or datetime.min.replace(tzinfo=UTC)):
            raise ValueError("valid_to: must be after valid_from")
        return self


class DeviceChange(BaseModel):
    """Where a device is moved."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"site_id": "TJ-0346"}]})

    site_id: Annotated[Name | None, Field(description="The site that it counts for from now on; null for none.")]


class NewSecret(BaseModel):
    """How a device's secret is exchanged."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"overlap_hours": 24}]})

    overlap_hours: Annotated[
        float, Field(ge=0, le=24 * 90, description="How long the old secret still counts beside the new one.")
    ] = 24
