"""Features of a (site, target hour) pair as known at an origin, all relative to the site's own scale.

One function serves training and scoring. Values enter only through a `Snapshot`, which ends at the origin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecasting import calendar_effects, day_history
from forecasting.calendar_effects import CalendarEffects
from forecasting.day_history import DayHistory, mean_observed
from forecasting.local_grid import DAY_HOURS
from forecasting.panel import Floats, Ints
from forecasting.profile import weekly_profile
from forecasting.snapshot import RECENT_DAYS, Snapshot

NAMES: tuple[str, ...] = (
    "horizon_h", "hour", "weekday", "hours_known_today",
    "profile", "profile_slope", "spread", "weeks_of_history",
    "fast", "last_week", "two_weeks_ago", "three_weeks_ago", "four_week_mean", "five_week_median", "like_days",
    "same_hour_last_day", "same_hour_smoothed", "same_hour_3_days", "same_hour_7_days",
    "level_1_day", "level_3_days", "level_7_days", "level_28_days", "today",
    "last_hour", "hour_before", "two_hours_before", "last_hour_ratio", "last_hour_turn", "silence_h",
    "peers_3_hours", "peers_today", "peers_1_day",
    *day_history.NAMES,
    *calendar_effects.NAMES,
)  # fmt: skip
# Values of other weeks and days less the profile: with the profile added they are values again.
DEVIATIONS = np.array(
    [
        number
        for first, last in (("fast", "like_days"), ("same_hour_last_day", "same_hour_7_days"))
        for number in range(NAMES.index(first), NAMES.index(last) + 1)
    ]
)


@dataclass(frozen=True)
class _Cells:
    """Look-up tables of one snapshot, in units of each site's scale."""

    by_cell: Floats  # [feature, site, position, hour]
    by_hour: Floats  # [feature, site, hour]
    by_site: Floats  # [feature, site]
    ratios: Floats  # [feature, site]: multiply the profile


def feature_matrix(
    snapshot: Snapshot, history: DayHistory, effects: CalendarEffects | None, site: Ints, days_ahead: Ints, hour: Ints
) -> Floats:
    """One row per (site, target) pair, columns in the order of `NAMES`; NaN where the history says nothing.

    Args:
        snapshot: what is known at the origin.
        history: the grid's days.
        effects: what the calendar says at the origin, or None where no event is known.
        site: row of the site in the grid.
        days_ahead: local days from the origin's day to the target's.
        hour: local hour of the target.
    """
    tables = _tables(snapshot)
    position = (6 + days_ahead) % 7
    cell = tables.by_cell[:, site, position, hour]
    at_hour = tables.by_hour[:, site, hour]
    at_site = tables.by_site[:, site]
    level = cell[0]
    ratios = tables.ratios[:, site] * level
    horizon = days_ahead * DAY_HOURS + hour - snapshot.hour + 1
    out = np.empty((len(NAMES), len(site)), dtype=np.float32)
    out[0], out[1], out[2], out[3] = horizon, hour, snapshot.weekdays[position], snapshot.hour
    out[4:7] = cell[:3]
    out[7] = snapshot.profile.weeks[site]
    out[8:15] = cell[3:]
    out[15:19] = at_hour
    out[19:24] = ratios[:5]
    out[24:27] = at_site[:3]
    out[27] = ratios[5]
    out[28:30] = at_site[3:]
    out[30:33] = ratios[6:]
    calendar = len(NAMES) - len(calendar_effects.NAMES)
    out[33:calendar] = day_history.year_ago(snapshot, history, site, days_ahead, hour, level)
    out[calendar:] = 0.0 if effects is None else effects.features(snapshot, site, days_ahead, hour, level)
    return out.T


def _tables(snapshot: Snapshot) -> _Cells:
    scale = snapshot.profile.scale
    level = snapshot.profile.level
    last = _last_observed(snapshot.weeks, 5)
    fast = weekly_profile(snapshot.weeks[:, :4], snapshot.weekdays, np.zeros(len(scale), dtype=np.int64), half_life=1.0)
    flat = level.reshape(len(scale), -1)
    # The profile's week is a circle only from position to position; the ends of a day are what matters here.
    slope = (np.roll(flat, -1, axis=1) - np.roll(flat, 1, axis=1)).reshape(level.shape)
    cells = [
        level, slope, snapshot.profile.spread, fast.level - level,
        last[0] - level, last[1] - level, last[2] - level, mean_observed(last[:4]) - level, _median(last) - level,
        _like_days_recent(snapshot) - level,
    ]  # fmt: skip
    by_cell = np.stack(cells) / scale[None, :, None, None]
    residuals = snapshot.residuals
    by_hour = np.stack(_same_hour(residuals)) / scale[None, :, None]
    by_site, ratios = _levels(snapshot, residuals)
    return _Cells(by_cell.astype(np.float32), by_hour.astype(np.float32), by_site, ratios)


def _last_observed(weeks: Floats, count: int) -> Floats:
    """The newest `count` observed values of each hour of the week, [count, site, position, hour]."""
    seen = np.isfinite(weeks)
    rank = np.cumsum(seen, axis=1)
    found = np.full((count, weeks.shape[0], *weeks.shape[2:]), np.nan, dtype=np.float32)
    for nth in range(count):
        here = seen & (rank == nth + 1)
        has = here.any(axis=1)
        found[nth] = np.where(has, np.where(here, weeks, 0).sum(axis=1), np.nan)
    return found


def _median(stack: Floats) -> Floats:
    ordered = np.sort(stack, axis=0)
    count = np.isfinite(stack).sum(axis=0)
    low = np.take_along_axis(ordered, np.maximum((count - 1) // 2, 0)[None], axis=0)[0]
    high = np.take_along_axis(ordered, np.maximum(count // 2, 0)[None].clip(max=len(stack) - 1), axis=0)[0]
    return np.where(count > 0, (low + high) / 2, np.nan)


def _like_days_recent(snapshot: Snapshot) -> Floats:
    """Recent days of the same type at the same hour, halved every three such days, laid on every position."""
    weekend = np.tile(snapshot.weekdays >= 5, RECENT_DAYS // 7)
    out = np.empty_like(snapshot.profile.level)
    for kind in (True, False):
        days = snapshot.recent[:, weekend == kind][:, ::-1]
        decay = (0.5 ** (np.arange(days.shape[1]) / 3.0)).astype(np.float32)[None, :, None]
        seen = np.isfinite(days)
        weight = (seen * decay).sum(axis=1)
        mean = np.where(weight > 0, (np.where(seen, days, 0) * decay).sum(axis=1) / np.maximum(weight, 1e-9), np.nan)
        out[:, (snapshot.weekdays >= 5) == kind] = mean[:, None]
    return out


def _same_hour(residuals: Floats) -> list[Floats]:
    """Residuals of the newest known days at each hour: the last, the last smoothed over hours, means of 3 and 7."""
    newest = residuals[:, ::-1][:, :10]
    seen = np.isfinite(newest)
    rank = np.cumsum(seen, axis=1)
    filled = np.where(seen, newest, 0)

    def mean_of(count: int) -> Floats:
        here = seen & (rank <= count)
        n = here.sum(axis=1)
        return np.where(n > 0, (filled * here).sum(axis=1) / np.maximum(n, 1), np.nan)

    last = mean_of(1)
    around = mean_observed(np.stack([np.roll(last, 1, axis=1), last, np.roll(last, -1, axis=1)]))
    return [last, around, mean_of(3), mean_of(7)]


def _levels(snapshot: Snapshot, residuals: Floats) -> tuple[Floats, Floats]:
    scale = snapshot.profile.scale
    sites = len(scale)
    seen = np.isfinite(residuals).reshape(sites, -1)
    residual = np.where(seen, residuals.reshape(sites, -1), 0)
    expected = np.where(seen, snapshot.expected.reshape(sites, -1), 0)
    end = (RECENT_DAYS - 1) * DAY_HOURS + snapshot.hour
    residual_sum = np.concatenate([np.zeros((sites, 1)), np.cumsum(residual, axis=1, dtype=np.float64)], axis=1)
    expected_sum = np.concatenate([np.zeros((sites, 1)), np.cumsum(expected, axis=1, dtype=np.float64)], axis=1)

    def sums(hours: int) -> tuple[Floats, Floats]:
        start = max(end - hours, 0)
        return residual_sum[:, end] - residual_sum[:, start], expected_sum[:, end] - expected_sum[:, start]

    def ratio(hours: int) -> Floats:
        top, bottom = sums(hours)
        # Half an hour's worth of the site's scale keeps an hour of near-nothing from shouting.
        return np.where(bottom > 0, top / (bottom + 0.5 * scale), np.nan).clip(-1, 3)

    last, newest = _last_hours(seen, residual, 3)
    usual = _last_hours(seen, expected, 1)[0][0]
    turn = last[0] - np.nan_to_num(_one_day_before(seen, residual, newest))
    age = np.where(newest >= 0, end - newest, np.nan)
    recent = ratio(3)
    today = ratio(max(snapshot.hour, 1)) if snapshot.hour else np.full(sites, np.nan)
    one_day = ratio(24)
    ratios = [one_day, ratio(72), ratio(168), ratio(672), today, (last[0] / (usual + 0.2 * scale)).clip(-1, 3)]
    ratios += [np.full(sites, _mid(recent)), np.full(sites, _mid(today)), np.full(sites, _mid(one_day))]
    by_site = [last[0] / scale, last[1] / scale, last[2] / scale, turn / scale, age]
    return np.stack(by_site).astype(np.float32), np.stack(ratios).astype(np.float32)


def _mid(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")


def _last_hours(seen: np.ndarray, values: Floats, count: int) -> tuple[list[Floats], Ints]:
    """The newest `count` known values of each site and the position of the newest, -1 where there is none."""
    left = np.where(seen, np.arange(seen.shape[1]), -1)
    found = []
    newest = left.max(axis=1)
    here = newest
    for _ in range(count):
        value = np.take_along_axis(values, np.maximum(here, 0)[:, None], axis=1)[:, 0]
        found.append(np.where(here >= 0, value, np.nan))
        left = np.where(left == here[:, None], -1, left)
        here = left.max(axis=1)
    return found, newest


def _one_day_before(seen: np.ndarray, values: Floats, newest: Ints) -> Floats:
    """The value a day before each site's newest one; NaN where unknown."""
    at = newest - DAY_HOURS
    here = np.maximum(at, 0)[:, None]
    known = np.take_along_axis(seen, here, axis=1)[:, 0] & (at >= 0)
    return np.where(known, np.take_along_axis(values, here, axis=1)[:, 0], np.nan)
