"""What the history says at one origin: the only place that reads observed values for a forecast.

`take` cuts the grid at the origin before it computes anything, for training and for scoring alike, so no feature can
see past its origin. The sixteen most recent weeks in which a site reported are what it looks at; weeks of silence are
skipped, and so are spells of one and the same value once they are over (`standstill.py`): a site that was closed for a
season is remembered as it was.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from forecasting.level_shift import at_newest_level
from forecasting.local_grid import DAY_HOURS, LocalGrid
from forecasting.panel import Floats, Ints
from forecasting.profile import Profile, weekly_profile

WEEKS = 16
RECENT_DAYS = 28
LOOK_BACK_WEEKS = 78


@dataclass(frozen=True)
class Snapshot:
    """History of one zone's sites as known at an origin.

    Attributes:
        grid: the zone's grid; nobody may read its values at or after the origin.
        day: day index of the origin.
        hour: local hour of the origin (the first unknown hour).
        weeks: [site, week, position, hour], newest week first; position 6 is the origin's day of the week.
        recent: [site, day, hour], the last 28 calendar days up to the origin's own.
        profile: the weekly profile, by position.
        weekdays: day of the week of each position, Monday 0.
    """

    grid: LocalGrid
    day: int
    hour: int
    weeks: Floats
    recent: Floats
    profile: Profile
    weekdays: Ints

    @property
    def residuals(self) -> Floats:
        """Recent values less the profile, [site, day, hour]."""
        return self.recent - self.expected

    @property
    def expected(self) -> Floats:
        """The profile laid over the recent days, [site, day, hour]."""
        return np.tile(self.profile.level, (1, RECENT_DAYS // 7, 1))


def take(
    grid: LocalGrid,
    day: int,
    hour: int,
    groups: Ints,
    spells: npt.NDArray[np.int32],
    ordinary: npt.NDArray[np.bool_] | None = None,
) -> Snapshot:
    """Cut the grid at an origin and summarise what lies before it.

    Args:
        grid: one zone's sites.
        day: day index of the origin, at least LEADING_DAYS.
        hour: local hour of the origin.
        groups: group number of each site.
        spells: [site, day, hour], as `standstill.spells_over` gives them for the grid.
        ordinary: [site, day] up to the origin; days that are not (holidays, closures) are kept out of the profile.
    """
    weeks = at_newest_level(_recent_weeks(grid, day, hour, spells, ordinary))
    reported: npt.NDArray[np.bool_] | None = None
    if ordinary is not None and not ordinary.all():
        # A weekday on which there was always something special is not one on which the site never opens.
        reported = np.asarray(np.isfinite(_recent_weeks(grid, day, hour, spells, None)).any(axis=1))
    recent = np.full((grid.values.shape[0], RECENT_DAYS, DAY_HOURS), np.nan, dtype=np.float32)
    known = _telling(grid, spells, slice(max(day - RECENT_DAYS + 1, 0), day + 1), day, hour)
    if known.shape[1]:
        recent[:, RECENT_DAYS - (day + 1 - max(day - RECENT_DAYS + 1, 0)) :][:, : known.shape[1]] = known
    if ordinary is not None:
        # Yesterday's holiday says nothing about today; what today shows so far does, whatever day it is.
        past = ordinary[:, -RECENT_DAYS:-1]
        recent[:, RECENT_DAYS - 1 - past.shape[1] : -1][~past] = np.nan
    recent[:, -1, hour:] = np.nan
    weekdays = grid.weekday(day - 6 + np.arange(7))
    profile = weekly_profile(weeks, weekdays, groups, reported=reported)
    return Snapshot(grid, day, hour, weeks, recent, profile, weekdays)


def _telling(grid: LocalGrid, spells: npt.NDArray[np.int32], days: slice, day: int, hour: int) -> Floats:
    """Values of some days without the spells known to be over at the origin."""
    return np.where(spells[:, days] < day * DAY_HOURS + hour, np.float32(np.nan), grid.values[:, days])


def _recent_weeks(
    grid: LocalGrid, day: int, hour: int, spells: npt.NDArray[np.int32], ordinary: npt.NDArray[np.bool_] | None
) -> Floats:
    """The newest WEEKS blocks of seven days that end on the origin's weekday and hold any observation."""
    blocks = min((day + 1) // 7, LOOK_BACK_WEEKS)
    sites = grid.values.shape[0]
    start = day + 1 - 7 * blocks
    values = np.full((sites, 7 * blocks, DAY_HOURS), np.nan, dtype=np.float32)
    stop = min(day + 1, grid.days)
    values[:, : stop - start] = _telling(grid, spells, slice(start, stop), day, hour)
    if ordinary is not None:
        values[~ordinary[:, start : day + 1]] = np.nan
    values[:, -1, hour:] = np.nan
    by_week: Floats = values.reshape(sites, blocks, 7, DAY_HOURS)
    if blocks > WEEKS:
        by_week = _newest_observed(by_week)
    weeks = np.full((sites, WEEKS, 7, DAY_HOURS), np.nan, dtype=np.float32)
    weeks[:, : by_week.shape[1]] = by_week[:, ::-1]
    return weeks


def _newest_observed(values: Floats) -> Floats:
    """The newest WEEKS blocks with any observation, oldest first; empty blocks only where there are no more."""
    blocks = values.shape[1]
    newest = values[:, -WEEKS:]
    silent = ~np.isfinite(newest).any(axis=(2, 3))
    gappy = np.flatnonzero(np.any(silent, axis=1))
    if not gappy.size:
        return newest
    newest = newest.copy()
    seen = np.isfinite(values[gappy]).any(axis=(2, 3))
    rank = np.where(seen, np.arange(blocks) + blocks, np.arange(blocks))
    chosen = np.sort(np.argsort(rank, axis=1)[:, -WEEKS:], axis=1)
    # Empty blocks come first, so that the newest observed one stays last.
    empty_first = np.argsort(np.take_along_axis(seen, chosen, axis=1), axis=1, kind="stable")
    chosen = np.take_along_axis(chosen, empty_first, axis=1)
    newest[gappy] = np.take_along_axis(values[gappy], chosen[:, :, None, None], axis=1)
    return newest
