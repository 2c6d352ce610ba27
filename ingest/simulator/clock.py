"""The time grid of a service day and its place on the UTC axis.

Inside the simulator every instant is seconds since the start of the local service day.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

HOUR_S = 3600.0
SERVICE_STARTS_S = 5 * HOUR_S
SERVICE_ENDS_S = 22 * HOUR_S
"""The last bus of the day leaves a terminal before this; it reaches the other end about an hour later."""
NIGHT_ENDS_S = 29 * HOUR_S
"""Night buses have reached a terminal by 05:00, when the next service day begins: no hour belongs to two of them."""

BIN_S = 600.0
FIRST_BIN_S = 4 * HOUR_S
BINS = 150
"""Demand, speed and rain are constant within ten minutes, from 04:00 to 05:00 of the next day."""
DAY_BINS = 120
"""The bins up to midnight, after which only the night's few are about."""
BIN_HOURS: Floats = (FIRST_BIN_S + BIN_S * (np.arange(BINS, dtype=np.float64) + 0.5)) / HOUR_S


@lru_cache(maxsize=1024)
def day_start(service_date: date, time_zone: str) -> datetime:
    """Return the UTC instant from which a service day counts: local noon minus 12 hours, as in GTFS."""
    noon = datetime(service_date.year, service_date.month, service_date.day, 12, tzinfo=ZoneInfo(time_zone))
    return noon.astimezone(UTC) - timedelta(hours=12)


def instants(seconds: Floats, service_date: date, time_zone: str) -> pd.DatetimeIndex:
    """Turn seconds of the service day, shape (n,), into UTC instants at microsecond resolution."""
    start_us = int(day_start(service_date, time_zone).timestamp()) * 1_000_000
    micros = start_us + np.rint(seconds * 1e3).astype(np.int64) * 1000
    return pd.DatetimeIndex(micros.view("datetime64[us]")).tz_localize("UTC")


def hour_of_peak(hours: Floats, centre: float, width: float) -> Floats:
    """Return a bell over the hours of day, 1 at `centre`, standard deviation `width` hours."""
    return np.exp(-0.5 * ((hours - centre) / width) ** 2)
