"""Spells in which a site stood still for more than a week: a stuck counter, a closed season.

While such a spell lasts it is the best guess there is. Once the site moves again the spell says nothing about what is
usual, and the weeks before it do.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from forecasting.local_grid import DAY_HOURS
from forecasting.panel import Floats

# Longer than a week: no habit of the week stands still for so long.
SPELL_H = 8 * DAY_HOURS
# A single count in a fortnight of zeros ends nothing; a quarter of a day's hours does.
MOVING_H, WITHIN_H = 6, DAY_HOURS
# Standing still: within this share of the fullest day's mean so far, because a stuck counter may still flicker.
STILL = 0.03
NEVER = np.iinfo(np.int32).max


def spells_over(values: Floats) -> npt.NDArray[np.int32]:
    """By which hour each cell was known to belong to a spell that is over.

    Args:
        values: [site, day, hour], NaN where nothing was observed; a gap does not end a spell.

    Returns:
        [site, day, hour], the number (day × 24 + hour) of the cell that showed it, NEVER for all other cells. At an
        origin, cells whose number lies before the origin's can be left out without seeing the future.
    """
    over = np.full(values.shape, NEVER, dtype=np.int32)
    by_site = over.reshape(len(values), -1)
    still = _still(values)
    for site, series in enumerate(values.reshape(len(values), -1)):
        seen = np.flatnonzero(np.isfinite(series))
        for first, last, shown in _ended_spells(series[seen], still[site, seen]):
            by_site[site, seen[first : last + 1]] = seen[shown]
    return over


def _still(values: Floats) -> Floats:
    """[site, day × hour], the largest change that counts as none, from the days before the cell's own."""
    seen = np.isfinite(values)
    mean = np.where(seen, values, 0).sum(axis=2) / np.maximum(seen.sum(axis=2), 1)
    fullest = np.zeros_like(mean)
    fullest[:, 1:] = np.maximum.accumulate(mean, axis=1)[:, :-1]
    return np.repeat(STILL * fullest, DAY_HOURS, axis=1)


def _ended_spells(observed: Floats, still: Floats) -> list[tuple[int, int, int]]:
    """First and last position of each spell, and the position of the hour that showed its end."""
    if len(observed) <= SPELL_H:
        return []
    moved = np.abs(np.diff(observed)) > still[1:]
    starts = np.concatenate([[0], np.flatnonzero(moved) + 1])
    ends = np.append(starts[1:], len(observed))
    is_long = ends - starts >= SPELL_H
    found = []
    for first, end in zip(starts[is_long], ends[is_long], strict=True):
        spell = observed[first:end]
        # A slow site may never move much in an hour and far in a week.
        if np.ptp(spell) > 2 * still[end - 1]:
            continue
        after = slice(end, end + WITHIN_H)
        moving = np.flatnonzero(np.abs(observed[after] - np.median(spell)) > 2 * still[after])
        if len(moving) >= MOVING_H:
            found.append((int(first), int(end - 1), int(end + moving[MOVING_H - 1])))
    return found
