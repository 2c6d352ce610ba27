"""Spells in which a site stood still for more than a week: a stuck counter, a closed season.

While such a spell lasts it is the best guess there is. Once the site moves again the spell says nothing about what is
usual, and the weeks before it do. The same when a counter that stood at some count falls silent: it has failed, and
when it is heard again it has been mended. Zeros before a silence are no failure: the site is closed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from forecasting.local_grid import DAY_HOURS
from forecasting.panel import Floats, Ints

# Longer than a week: no habit of the week stands still for so long.
SPELL_H = 8 * DAY_HOURS
# A site that has not been heard for so long is silent.
SILENT_DAYS = 8
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
        observed, limit = series[seen], still[site, seen]
        for first, end in _long_runs(observed, limit):
            shown = _shown_by_moving(observed, limit, first, end)
            if shown is not None and _is_flat(observed, limit, first, end):
                by_site[site, seen[first:end]] = seen[shown]
            until, cell = _shown_by_silence(seen, first, end)
            # Only what had been heard by then may tell.
            if until > first and _is_flat(observed, limit, first, until) and np.median(observed[first:until]) > 0:
                by_site[site, seen[first:until]] = np.minimum(by_site[site, seen[first:until]], cell)
    return over


def _still(values: Floats) -> Floats:
    """[site, day × hour], the largest change that counts as none, from the days before the cell's own."""
    seen = np.isfinite(values)
    mean = np.where(seen, values, 0).sum(axis=2) / np.maximum(seen.sum(axis=2), 1)
    fullest = np.zeros_like(mean)
    fullest[:, 1:] = np.maximum.accumulate(mean, axis=1)[:, :-1]
    return np.repeat(STILL * fullest, DAY_HOURS, axis=1)


def _long_runs(observed: Floats, still: Floats) -> list[tuple[int, int]]:
    """First position and the one behind the last of each run of more than a week without a move between two hours."""
    if len(observed) <= SPELL_H:
        return []
    moved = np.abs(np.diff(observed)) > still[1:]
    starts = np.concatenate([[0], np.flatnonzero(moved) + 1])
    ends = np.append(starts[1:], len(observed))
    is_long = ends - starts >= SPELL_H
    return [(int(first), int(end)) for first, end in zip(starts[is_long], ends[is_long], strict=True)]


def _is_flat(observed: Floats, still: Floats, first: int, end: int) -> bool:
    """Whether a run is a spell: a slow site may never move much in an hour and far in a week."""
    return bool(np.ptp(observed[first:end]) <= 2 * still[end - 1])


def _shown_by_moving(observed: Floats, still: Floats, first: int, end: int) -> int | None:
    """Position of the hour that showed that the spell is over, if one did."""
    after = slice(end, end + WITHIN_H)
    moving = np.flatnonzero(np.abs(observed[after] - np.median(observed[first:end])) > 2 * still[after])
    return int(end + moving[MOVING_H - 1]) if len(moving) >= MOVING_H else None


def _shown_by_silence(seen: Ints, first: int, end: int) -> tuple[int, int]:
    """Position behind what lies before the first silence in or after a spell, and the cell by which it had lasted."""
    gaps = np.append(seen, NEVER)[first + 1 : end + 1] - seen[first:end]
    silent = np.flatnonzero(gaps[SPELL_H - 1 :] > SILENT_DAYS * DAY_HOURS)
    if not silent.size:
        return first, NEVER
    until = first + SPELL_H + int(silent[0])
    return until, int(seen[until - 1]) + SILENT_DAYS * DAY_HOURS
