"""The forecasts that a model must beat: plain averages and repeats of what was known at the origin."""

from __future__ import annotations

import numpy as np

from forecasting.local_grid import DAY_HOURS, LocalGrid
from forecasting.panel import Floats, Ints

NAMES = ("dow_hour_mean", "seasonal_naive_168", "four_week_mean")


def baselines(grid: LocalGrid, day: int, hour: int, days_ahead: Ints, target_hour: Ints) -> dict[str, Floats]:
    """Baseline forecasts at one origin, each [site, target]; hours and weekdays are local.

    - `dow_hour_mean`: mean of the same weekday and hour over the whole history.
    - `seasonal_naive_168`: the same hour of the nearest week back, at or beyond the horizon, that was observed.
    - `four_week_mean`: mean of that hour over the four nearest weeks at or beyond the horizon.

    Where one has nothing to say the next simpler answers: the weekday mean, the mean of the hour, of the site, 0.
    """
    history = _known(grid, day, hour)
    weekdays = grid.weekday(np.arange(history.shape[1]))
    target_weekday = grid.weekday(day + days_ahead)
    mean = _dow_hour_mean(history, weekdays)[:, target_weekday, target_hour]
    lags = _week_lags(history, day, hour, days_ahead, target_hour)
    naive = _first_observed(lags)
    recent = lags[:, :4]
    seen = np.isfinite(recent)
    count = seen.sum(axis=1)
    four = np.where(count > 0, np.where(seen, recent, 0).sum(axis=1) / np.maximum(count, 1), naive)
    return {
        "dow_hour_mean": mean.astype(np.float32),
        "seasonal_naive_168": np.where(np.isfinite(naive), naive, mean).astype(np.float32),
        "four_week_mean": np.where(np.isfinite(four), four, mean).astype(np.float32),
    }


def _known(grid: LocalGrid, day: int, hour: int) -> Floats:
    """A copy of the days up to the origin's own, hours from the origin on blank; padded if the data ended earlier."""
    history = np.full((grid.values.shape[0], day + 1, DAY_HOURS), np.nan, dtype=np.float32)
    stop = min(day + 1, grid.days)
    history[:, :stop] = grid.values[:, :stop]
    history[:, day, hour:] = np.nan
    return history


def _dow_hour_mean(history: Floats, weekdays: Ints) -> Floats:
    """Mean by weekday and hour, [site, 7, 24]; empty cells take the hour's mean, then the site's, then 0."""
    seen = np.isfinite(history)
    filled = np.where(seen, history, 0)
    total = np.stack([filled[:, weekdays == weekday].sum(axis=1, dtype=np.float64) for weekday in range(7)], axis=1)
    count = np.stack([seen[:, weekdays == weekday].sum(axis=1) for weekday in range(7)], axis=1)
    site = total.sum(axis=(1, 2)) / np.maximum(count.sum(axis=(1, 2)), 1)
    hours = count.sum(axis=1)
    by_hour = np.where(hours > 0, total.sum(axis=1) / np.maximum(hours, 1), site[:, None])
    mean: Floats = np.where(count > 0, total / np.maximum(count, 1), by_hour[:, None])
    return mean


def _week_lags(history: Floats, day: int, hour: int, days_ahead: Ints, target_hour: Ints) -> Floats:
    """Each target's hour in earlier weeks, nearest known week first, [site, week, target]."""
    target = day + days_ahead
    # Weeks to step back until the hour lies before the origin.
    last_known = np.where(target_hour < hour, day, day - 1)
    first = np.maximum(-(-(target - last_known) // 7), 1)
    weeks = max(int(target.min()) // 7, 1)
    back = target[None, :] - 7 * (first[None, :] + np.arange(weeks)[:, None])
    lags = history[:, np.maximum(back, 0), target_hour[None, :]]
    return np.where(back[None] >= 0, lags, np.nan)


def _first_observed(lags: Floats) -> Floats:
    seen = np.isfinite(lags)
    first = seen.argmax(axis=1)
    found: Floats = np.take_along_axis(lags, first[:, None], axis=1)[:, 0]
    return found
