"""Answers about what is expected."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from serving.schemas.occupancy import Level, Rider, Share


class ForecastHour(BaseModel):
    """What is expected in one hour; `ts` and `predicted` are the old service's fields."""

    ts: Annotated[datetime, Field(description="Start of the hour (UTC).")]
    predicted: Annotated[int, Field(description="People expected, mean over the hour, rounded.", examples=[42])]
    expected: Annotated[float, Field(description="The same, not rounded.", examples=[41.7])]
    p10: Annotated[float, Field(description="Lower end of the 80 % band: fewer in one case of ten.", examples=[30.2])]
    p90: Annotated[float, Field(description="Upper end of the 80 % band: more in one case of ten.", examples=[55.9])]
    baseline: Annotated[float | None, Field(description="What the plain weekly pattern says, to compare with.")]
    capacity: Annotated[float | None, Field(description="People that fit.")]
    load_factor: Share
    level: Level
    rider_level: Rider
    horizon_h: Annotated[int, Field(description="Hours from the forecast's origin to the end of this hour.")]
    origin: Annotated[datetime, Field(description="When the forecast was made: it knows nothing later (UTC).")]
    model_version: Annotated[
        str, Field(description="The model that made it; `profile` where none is trained, fresh and better than that.")
    ]
    method: Annotated[str, Field(description="How: the model, a profile where data are thin; `…+vehicle` for a bus.")]
    series_id: Annotated[
        str, Field(description="The series forecast; a bus has its route's, `route:<route>:<direction>`.")
    ]


class ForecastDriver(BaseModel):
    """One reason why a forecast is not just what is usual."""

    reason: Annotated[str, Field(examples=["today has run 18% above usual so far"])]
    effect: Annotated[float, Field(description="What it adds, people; negative: takes away.", examples=[7.2])]


class ForecastExplanation(BaseModel):
    """A forecast and why it is what it is; numbers are people, for a route and a bus on it people per bus."""

    series_id: Annotated[str, Field(description="The series; a bus has its route's.")]
    ts: Annotated[datetime, Field(description="Start of the hour (UTC).")]
    local_ts: Annotated[datetime, Field(description="The same on the site's clock.")]
    summary: Annotated[
        str,
        Field(
            description="All of it in a few sentences.",
            examples=["Fridays 17:00 are usually 61. Expected: 72 (18% above), between 60 and 85 in 8 of 10 cases."],
        ),
    ]
    usual: Annotated[float, Field(description="What the weekly pattern alone says.", examples=[61.0])]
    expected: Annotated[float, Field(description="What is forecast.", examples=[72.0])]
    p10: float
    p90: float
    profile_share: Annotated[float, Field(description="How much the weekly pattern explains, 0 to 1.", examples=[0.85])]
    drivers: Annotated[list[ForecastDriver], Field(description="What moves it away from the usual, largest first.")]
    origin: Annotated[datetime, Field(description="When the forecast was made: it knows nothing later (UTC).")]
    model_version: Annotated[str, Field(description="The model that made it; `profile` where none could be trusted.")]
    method: Annotated[str, Field(description="How it was made.")]
