"""Seasons: weeks in which the day runs differently, such as Ramadan, learnt hour by hour from what is past of them.

A season is too long to be left out of the profile as a holiday is, so the profile turns with it, late. What a season
adds to a day is therefore less what the profile holds of seasons already: much at its start, little at its end, and
the opposite after it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecasting.day_history import mean_observed
from forecasting.events import ZoneEvent, ZoneEvents
from forecasting.local_grid import DAY_HOURS
from forecasting.panel import Floats, Ints
from forecasting.profile import HALF_LIFE_WEEKS, recency_weights
from forecasting.snapshot import WEEKS, Snapshot

# Ordinary days before a season that it is measured against, and how far back they are looked for.
REFERENCE_DAYS, LOOK_BACK_DAYS = 28, 84
MIN_REFERENCE_DAYS = 7
# Pseudo-days with which a site's own experience of a season leans on that of all sites.
PRIOR_DAYS = 1.0


@dataclass(frozen=True)
class _Seasons:
    """Seasons known at an origin.

    Attributes:
        lies: [site, day], number of the season that lies on each day, 0 for none.
        parts: the entries of each number, from 1 on; equal names are the same season in different years.
        around: number of the longer season in which each lies, 0 for none.
    """

    lies: Ints
    parts: dict[int, list[ZoneEvent]]
    around: dict[int, int]


def season_shift(snapshot: Snapshot, events: ZoneEvents, origin_ns: int, max_days_ahead: int) -> Floats:
    """What the season of each day adds to the profile, [site, days ahead, hour], in units of the site's scale.

    Args:
        snapshot: what is known at the origin.
        events: the calendar.
        origin_ns: the origin; entries that were not known then do not count.
        max_days_ahead: local days from the origin's day to the last target's.
    """
    sites, ahead = len(snapshot.profile.scale), np.arange(max_days_ahead + 1)
    first, last = snapshot.day - 7 * WEEKS + 1, snapshot.day + max_days_ahead
    entries = [entry for entry in events.entries[: events.known(origin_ns)] if entry.kind == "season"]
    if not any(entry.last_day >= first and entry.first_day <= last for entry in entries):
        return np.zeros((sites, len(ahead), DAY_HOURS), dtype=np.float32)
    seasons = _seasons(entries, sites, last + 1)
    ordinary = events.ordinary(origin_ns, snapshot.day)
    assert ordinary is not None  # a season is known
    effect = _effects(snapshot, seasons, ordinary)
    held = _held_by_profile(snapshot, seasons, effect, ordinary)
    due = _on_days(snapshot, seasons, effect, snapshot.day + ahead)
    shift = due - held[:, (6 + ahead) % 7]
    level = snapshot.profile.level.mean(axis=(1, 2)) / snapshot.profile.scale
    out: Floats = (shift * level[:, None, None]).astype(np.float32)
    return out


def _seasons(entries: list[ZoneEvent], sites: int, days: int) -> _Seasons:
    lies = np.zeros((sites, days), dtype=np.int64)
    numbers: dict[str, int] = {}
    parts: dict[int, list[ZoneEvent]] = {}
    around: dict[int, int] = {}
    # Longest first: where two lie on a day, the shorter tells more of it.
    for entry in sorted(entries, key=lambda entry: entry.start - entry.end):
        number = numbers.setdefault(entry.name, len(numbers) + 1)
        rows, start = _rows(entry, sites), max(entry.first_day, 0)
        if start < days:
            outer = int(lies[rows[0], start])
            around.setdefault(number, 0 if outer == number else outer)
            lies[rows, start : max(entry.last_day + 1, 0)] = number
        parts.setdefault(number, []).append(entry)
    return _Seasons(lies, parts, around)


def _effects(snapshot: Snapshot, seasons: _Seasons, ordinary: np.ndarray) -> Floats:
    """[season, site, weekday or weekend, hour]: how far a day lies above the usual, over the site's mean level."""
    sites = len(snapshot.profile.scale)
    effect = np.zeros((len(seasons.parts) + 1, sites, 2, DAY_HOURS), dtype=np.float32)
    for number, entries in seasons.parts.items():
        total, count = np.zeros(effect.shape[1:]), np.zeros(effect.shape[1:])
        for entry in entries:
            if 0 < entry.first_day < snapshot.day:
                _add_experience(snapshot, seasons, ordinary, number, entry, total, count)
        # Each site leans on all sites, weekday and weekend on both, and those on the longer season around.
        both = _leaning(total.sum(axis=(0, 1)), count.sum(axis=(0, 1)), effect[seasons.around.get(number, 0)])
        effect[number] = _leaning(total, count, _leaning(total.sum(axis=0), count.sum(axis=0), both))
    return effect


def _leaning(total: Floats, count: Floats, prior: Floats) -> Floats:
    mean: Floats = (total + PRIOR_DAYS * prior) / (count + PRIOR_DAYS)
    return mean


def _add_experience(
    snapshot: Snapshot, seasons: _Seasons, ordinary: np.ndarray, number: int, entry: ZoneEvent, total: Floats,
    count: Floats,
) -> None:  # fmt: skip
    """Add the past days of one entry, less the usual of the ordinary days before it, to sums and numbers of days."""
    rows = _rows(entry, len(ordinary))
    days = np.arange(entry.first_day, min(entry.last_day + 1, snapshot.day))
    before = np.arange(max(entry.first_day - LOOK_BACK_DAYS, 0), entry.first_day)
    before = before[seasons.lies[rows[0], before] == 0][-REFERENCE_DAYS:]
    days = days[seasons.lies[rows[0], days] == number]
    if len(before) < MIN_REFERENCE_DAYS or not len(days):
        return
    usual, here = _values(snapshot, ordinary, rows, before), _values(snapshot, ordinary, rows, days)
    level = mean_observed(usual.reshape(len(rows), -1).T)
    level = np.where(level > 0, level, np.nan)[:, None]
    for kind in (0, 1):
        mean = mean_observed(np.moveaxis(usual[:, _kind(snapshot, before) == kind], 1, 0))
        change = (here[:, _kind(snapshot, days) == kind] - mean[:, None]) / level[:, None]
        seen = np.isfinite(change)
        total[rows, kind] += np.where(seen, change, 0).sum(axis=1)
        count[rows, kind] += seen.sum(axis=1)


def _held_by_profile(snapshot: Snapshot, seasons: _Seasons, effect: Floats, ordinary: np.ndarray) -> Floats:
    """[site, position, hour]: how much of seasons the profile holds, by the weight that it gives each week."""
    days = np.arange(max(snapshot.day - 7 * WEEKS, -1) + 1, snapshot.day + 1)
    days = days[len(days) % 7 :]
    weeks = len(days) // 7
    seen = np.repeat(ordinary[:, days, None], DAY_HOURS, axis=2).astype(np.float32)
    seen[:, :-1] *= np.isfinite(snapshot.grid.values[:, days[:-1]])
    seen[:, -1, snapshot.hour :] = 0
    weight = seen.reshape(-1, weeks, 7, DAY_HOURS) * recency_weights(weeks, HALF_LIFE_WEEKS)[::-1, None, None]
    on_days = _on_days(snapshot, seasons, effect, days).reshape(weight.shape)
    held: Floats = (weight * on_days).sum(axis=1) / np.maximum(weight.sum(axis=1), 1e-9)
    return held


def _on_days(snapshot: Snapshot, seasons: _Seasons, effect: Floats, days: Ints) -> Floats:
    """[site, day, hour]: the effect of the season that lies on each day."""
    site = np.arange(effect.shape[1])[:, None]
    found: Floats = effect[seasons.lies[:, days], site, _kind(snapshot, days)[None]]
    return found


def _values(snapshot: Snapshot, ordinary: np.ndarray, rows: Ints, days: Ints) -> Floats:
    """[row, day, hour] of past days; NaN on holidays, closures and events."""
    at = np.ix_(rows, days)
    return np.where(ordinary[at][:, :, None], snapshot.grid.values[at], np.nan)


def _kind(snapshot: Snapshot, days: Ints) -> Ints:
    """0 for Monday to Friday, 1 for the weekend."""
    return (snapshot.grid.weekday(days) >= 5).astype(np.int64)


def _rows(entry: ZoneEvent, sites: int) -> Ints:
    return np.arange(sites) if entry.rows is None else entry.rows
