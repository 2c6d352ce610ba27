"""The weekly profile: how full a site usually is at each hour of the week, recent weeks weighing more.

A cell with few observations leans on the same hour of like days, and that on the shape of the site's group at the
site's own level. A site without history gets its group's shape, at the group's typical level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from forecasting.panel import Floats, Ints

HALF_LIFE_WEEKS = 4.0
# Pseudo-observations, in newest-week units: how much weight like days and the group's shape carry in a cell.
LIKE_DAYS_WEIGHT = 0.35
GROUP_WEIGHT = 0.35
# After this many reporting weeks in which an hour of the week was never seen, the site is taken not to open then.
WEEKS_UNTIL_CLOSED = 3


@dataclass(frozen=True)
class Profile:
    """Weekly profile of each site; all arrays [site, position, hour] unless said otherwise.

    Attributes:
        level: expected value; never NaN.
        spread: expected absolute deviation from it.
        weight: recency-weighted number of observations behind the cell.
        closed: the hour of the week was never observed although the site reported for weeks: it is not in service.
        scale: [site], mean level over the hours in service; positive.
        weeks: [site], weeks with any observation.
    """

    level: Floats
    spread: Floats
    weight: Floats
    closed: np.ndarray
    scale: Floats
    weeks: Floats


def recency_weights(weeks: int, half_life: float) -> Floats:
    """Weight of each week, newest first: 1, then halved every `half_life` weeks."""
    return (0.5 ** (np.arange(weeks) / half_life)).astype(np.float32)


def weekly_profile(
    weeks: Floats,
    weekdays: Ints,
    groups: Ints,
    half_life: float = HALF_LIFE_WEEKS,
    reported: npt.NDArray[np.bool_] | None = None,
) -> Profile:
    """Shrunk, recency-weighted mean for each site and hour of the week.

    Args:
        weeks: [site, week, position, hour], newest first, NaN where unknown.
        weekdays: day of the week of each position, Monday 0.
        groups: group number of each site.
        half_life: in weeks.
        reported: [site, position, hour], hours in which the site did report, on days that `weeks` leaves out as well.
    """
    seen = np.isfinite(weeks)
    filled = np.where(seen, weeks, np.float32(0))
    decay = recency_weights(weeks.shape[1], half_life)
    total = np.einsum("k,skjh->sjh", decay, filled, optimize=True)
    weight = np.einsum("k,skjh->sjh", decay, seen.astype(np.float32), optimize=True)
    like_total, like_weight = _like_days(total, weekdays), _like_days(weight, weekdays)
    shape, shape_level = _group_shape(total, weight, groups)
    level = _site_level(total, weight, shape, shape_level)
    prior = (like_total + GROUP_WEIGHT * level[:, None, None] * shape) / (like_weight + GROUP_WEIGHT)
    profile = (total + LIKE_DAYS_WEIGHT * prior) / (weight + LIKE_DAYS_WEIGHT)
    reporting = seen.any(axis=(2, 3)).sum(axis=1)
    closed = (weight == 0) & (reporting >= WEEKS_UNTIL_CLOSED)[:, None, None]
    if reported is not None:
        closed &= ~reported
    profile = np.where(closed, 0.0, profile).astype(np.float32)
    deviation = np.abs(filled - profile[:, None]) * seen
    spread = _spread(np.einsum("k,skjh->sjh", decay, deviation, optimize=True), weight, weekdays, profile)
    scale = _scale(profile, closed)
    return Profile(profile, spread, weight, closed, scale, reporting.astype(np.float32))


def _like_days(cells: Floats, weekdays: Ints) -> Floats:
    """Sum over days of the same type (Monday–Friday, Saturday–Sunday), laid back on every position."""
    summed = np.empty_like(cells)
    weekend = weekdays >= 5
    for kind in (weekend, ~weekend):
        summed[:, kind] = cells[:, kind].sum(axis=1, keepdims=True)
    return summed


def _group_shape(total: Floats, weight: Floats, groups: Ints) -> tuple[Floats, Floats]:
    """Each site's group shape, of mean 1 over the observed week, and the group's typical level."""
    shape = np.ones_like(total)
    level = np.ones(len(total), dtype=np.float32)
    has = weight.sum(axis=(1, 2)) > 0
    site_mean = np.where(has, total.sum(axis=(1, 2)) / np.maximum(weight.sum(axis=(1, 2)), 1e-9), 0.0)
    usable = has & (site_mean > 0)
    for number in np.unique(groups):
        members = groups == number
        known = members & usable if (members & usable).any() else usable
        if not known.any():
            continue
        relative = total[known] / site_mean[known, None, None]
        covered = weight[known].sum(axis=0)
        shape[members] = relative.sum(axis=0) / np.maximum(covered, 1e-9)
        level[members] = np.median(site_mean[known])
    return shape, level


def _site_level(total: Floats, weight: Floats, shape: Floats, fallback: Floats) -> Floats:
    """What the group's shape must be multiplied by to meet the site's own observations."""
    expected = (weight * shape).sum(axis=(1, 2))
    return np.where(expected > 0, total.sum(axis=(1, 2)) / np.maximum(expected, 1e-9), fallback).astype(np.float32)


def _spread(deviation: Floats, weight: Floats, weekdays: Ints, profile: Floats) -> Floats:
    """Mean absolute deviation, leaning on like days, then on the site's relative deviation."""
    overall = deviation.sum(axis=(1, 2)) / np.maximum((weight * profile).sum(axis=(1, 2)), 1e-9)
    relative = np.where(weight.sum(axis=(1, 2)) > 0, overall, 0.5)
    prior = (_like_days(deviation, weekdays) + relative[:, None, None] * profile) / (_like_days(weight, weekdays) + 1.0)
    spread: Floats = (deviation + 2.0 * prior) / (weight + 2.0)
    return spread.astype(np.float32)


def _scale(profile: Floats, closed: np.ndarray) -> Floats:
    """Mean level over the hours in service, at least a twentieth of the typical site's: a ratio must stay finite."""
    open_hours = np.maximum((~closed).sum(axis=(1, 2)), 1)
    mean = profile.sum(axis=(1, 2)) / open_hours
    positive = mean[mean > 0]
    floor = 0.05 * float(np.median(positive)) if positive.size else 1.0
    scale: Floats = np.maximum(mean, max(floor, 1e-6)).astype(np.float32)
    return scale
