"""One time zone's sites as site × local day × local hour: the shape in which habits repeat.

People keep local time, so weeks and days are compared on the wall clock. On the day with 23 hours one cell stays
empty; on the day with 25 the two equal wall-clock hours share a cell (their mean).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from forecasting.panel import HOUR_NS, Floats, Ints, Panel

# Whole empty weeks before the first day let every look-back stay inside the arrays.
LEADING_DAYS = 14
DAY_HOURS = 24


@dataclass(frozen=True)
class LocalGrid:
    """Local days and hours of the sites of one time zone.

    Attributes:
        tz: IANA time zone.
        rows: the panel's rows that this grid holds.
        first_day: local date of day 0, as days since 1970-01-01.
        values: [site, day, hour 0–23], float32, NaN where nothing was observed.
        active: [site, day], whether anything was observed that day.
        capacity: [site, day], the day's capacity carried forward, or None.
    """

    tz: str
    rows: Ints
    first_day: int
    values: Floats
    active: npt.NDArray[np.bool_]
    capacity: Floats | None

    @property
    def days(self) -> int:
        """Number of local days."""
        return int(self.values.shape[1])

    def cells(self, hours_ns: Ints) -> tuple[Ints, Ints]:
        """Day index and local hour of each instant; the day may lie beyond the grid."""
        days, hours = wall_clock(hours_ns, self.tz)
        return days - self.first_day, hours

    def weekday(self, day: Ints) -> Ints:
        """Day of the week of a day index, Monday 0."""
        return (day + self.first_day + 3) % 7


def wall_clock(hours_ns: Ints, tz: str) -> tuple[Ints, Ints]:
    """Local date (days since 1970-01-01) and local hour of each instant."""
    import pandas as pd

    local = pd.DatetimeIndex(np.asarray(hours_ns, dtype="datetime64[ns]")).tz_localize("UTC").tz_convert(tz)
    stamps = local.tz_localize(None).to_numpy("datetime64[h]").astype(np.int64)
    return stamps // DAY_HOURS, stamps % DAY_HOURS


def local_grid(panel: Panel, rows: list[int], tz: str) -> LocalGrid:
    """Lay the panel's rows out on the wall clock of a time zone."""
    sites = np.asarray(rows, dtype=np.int64)
    days, hours = wall_clock(panel.hours_ns, tz)
    first = (int(days[0]) if days.size else 0) - LEADING_DAYS
    count = (int(days[-1]) - first + 1) if days.size else LEADING_DAYS
    values = _on_wall_clock(panel.values[sites], days - first, hours, count)
    capacity = None
    if panel.capacity is not None:
        capacity = _carried_forward(_on_wall_clock(panel.capacity[sites], days - first, hours, count))
    active = np.asarray(np.isfinite(values).any(axis=2))
    return LocalGrid(tz, sites, first, values, active, capacity)


def _on_wall_clock(matrix: Floats, days: Ints, hours: Ints, count: int) -> Floats:
    grid = np.full((matrix.shape[0], count, DAY_HOURS), np.nan, dtype=np.float32)
    grid[:, days, hours] = matrix
    cell = days * DAY_HOURS + hours
    again = np.flatnonzero(np.isin(cell, cell[np.flatnonzero(np.bincount(cell, minlength=1)[cell] > 1)]))
    for one in np.unique(cell[again]):
        both = matrix[:, again[cell[again] == one]]
        seen = np.isfinite(both).sum(axis=1)
        grid[:, one // DAY_HOURS, one % DAY_HOURS] = np.where(
            seen > 0, np.nansum(both, axis=1) / np.maximum(seen, 1), np.nan
        )
    return grid


def _carried_forward(grid: Floats) -> Floats:
    """The last capacity known on each day, [site, day]."""
    last: Floats = np.full((grid.shape[0], grid.shape[1]), np.nan, dtype=np.float32)
    for hour in range(DAY_HOURS):
        last = np.where(np.isfinite(grid[:, :, hour]), grid[:, :, hour], last)
    known = np.where(np.isfinite(last), np.arange(grid.shape[1]), 0)
    carried: Floats = np.take_along_axis(last, np.maximum.accumulate(known, axis=1), axis=1)
    return carried


def local_midnight_ns(hour_ns: int, tz: str) -> int:
    """The latest local midnight at or before an instant (the first instant of its local day)."""
    day, _ = wall_clock(np.array([hour_ns]), tz)
    candidates = hour_ns - HOUR_NS * np.arange(27)
    same = candidates[wall_clock(candidates, tz)[0] == day[0]]
    return int(same.min())


def earlier_midnight_ns(midnight_ns: int, tz: str, days: int) -> int:
    """The local midnight so many days before another one."""
    # Half a day on, then back to midnight: a daylight-saving change moves it by an hour only.
    return local_midnight_ns(midnight_ns - (DAY_HOURS * days - DAY_HOURS // 2) * HOUR_NS, tz)
