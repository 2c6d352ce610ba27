"""How each day stood against the weeks before it, and what that says about the same days a year later."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecasting.local_grid import LocalGrid
from forecasting.panel import Floats, Ints
from forecasting.snapshot import Snapshot

YEAR_DAYS = 364  # 52 weeks: the same weekday a year ago
AHEAD_DAYS = 45
NAMES = ("year_ago_hour", "year_ago_day", "year_ago_date", "year_ago_season")


@dataclass(frozen=True)
class DayHistory:
    """How each day stood against the four same weekdays before it.

    Attributes:
        deviation: [site, day, hour], value less the mean of the four weeks before.
        ratio: [site, day], the day's total over the total of those means, same hours.
        total: [site, day], mean over the observed hours of the day.
        date: [day], the day index of the same date a year before.
    """

    deviation: Floats
    ratio: Floats
    total: Floats
    date: Ints


def day_history(grid: LocalGrid) -> DayHistory:
    """Compute every day's entry.

    A day's entry uses only that day and earlier ones, so reading entries of whole days before the origin is safe.
    """
    values = grid.values
    seen = np.isfinite(values)
    filled = np.where(seen, values, np.float32(0))
    total, count = np.zeros_like(values), np.zeros(values.shape, dtype=np.float32)
    for back in (7, 14, 21, 28):
        total[:, back:] += filled[:, :-back]
        count[:, back:] += seen[:, :-back]
    usual = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    both = seen & (count > 0)
    day_usual = np.where(both, usual, 0).sum(axis=2)
    ratio = np.where(day_usual > 0, np.where(both, values, 0).sum(axis=2) / np.maximum(day_usual, 1e-9), np.nan)
    day_count = seen.sum(axis=2)
    day_mean = np.where(day_count > 0, filled.sum(axis=2) / np.maximum(day_count, 1), np.nan)
    dates = np.datetime64("1970-01-01", "D") + np.arange(grid.first_day, grid.first_day + grid.days + 40)
    months = dates.astype("datetime64[M]")
    before = (months - 12).astype("datetime64[D]") + (dates - months.astype("datetime64[D]"))
    return DayHistory(
        deviation=(values - usual).astype(np.float32),
        ratio=np.clip(ratio, 0, 5).astype(np.float32),
        total=day_mean.astype(np.float32),
        date=before.astype(np.int64) - grid.first_day,
    )


def year_ago(
    snapshot: Snapshot, history: DayHistory, site: Ints, days_ahead: Ints, hour: Ints, level: Floats
) -> Floats:
    """The features of `NAMES`, [feature, row], in units of the site's scale; NaN where the panel is too young.

    Args:
        snapshot: what is known at the origin.
        history: the grid's days.
        site: row of the site in the grid.
        days_ahead: local days from the origin's day to the target's.
        hour: local hour of the target.
        level: the profile at the target over the site's scale.
    """
    out = np.full((len(NAMES), len(site)), np.nan, dtype=np.float32)
    if snapshot.day < YEAR_DAYS:
        return out
    target = snapshot.day + days_ahead
    back = target - YEAR_DAYS
    # Only days that were over at the origin; with horizons of weeks this always holds.
    ok = (back >= 0) & (back < snapshot.day)
    back = np.where(ok, back, 0)
    scale = snapshot.profile.scale[site]
    out[0] = np.where(ok, history.deviation[site, back, hour] / scale, np.nan)
    out[1] = np.where(ok, (history.ratio[site, back] - 1) * level, np.nan)
    date = history.date[np.minimum(target, len(history.date) - 1)]
    good = (date >= 0) & (date < snapshot.day)
    out[2] = np.where(good, (history.ratio[site, np.where(good, date, 0)] - 1) * level, np.nan)
    out[3] = (_season(snapshot, history)[site, np.minimum(days_ahead, AHEAD_DAYS)] - 1) * level
    return out


def _season(snapshot: Snapshot, history: DayHistory) -> Floats:
    """Level of the week around each target a year ago over that of the four weeks before last year's origin."""
    origin = snapshot.day - YEAR_DAYS
    out = np.full((len(history.total), AHEAD_DAYS + 1), np.nan, dtype=np.float32)
    if origin < 28:
        return out
    before = mean_observed(history.total[:, origin - 28 : origin].T)
    for ahead in range(AHEAD_DAYS + 1):
        start, stop = origin + ahead - 3, min(origin + ahead + 4, snapshot.day)
        around = mean_observed(history.total[:, start:stop].T)
        out[:, ahead] = np.where(before > 0, around / np.maximum(before, 1e-9), np.nan).clip(0, 5)
    return out


def mean_observed(stack: Floats) -> Floats:
    """Mean over the first axis of what was observed; NaN where nothing was."""
    seen = np.isfinite(stack)
    count = seen.sum(axis=0)
    mean: Floats = np.where(count > 0, np.where(seen, stack, 0).sum(axis=0) / np.maximum(count, 1), np.nan)
    return mean
