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
    model_version: Annotated[str, Field(description="The model that made it.")]
    method: Annotated[str, Field(description="How: the model, a profile where data are thin; `…+vehicle` for a bus.")]
    series_id: Annotated[
        str, Field(description="The series forecast; a bus has its route's, `route:<route>:<direction>`.")
    ]
