"""What known calendar events usually do to a site, learnt from the past events that the history holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from forecasting.day_history import DayHistory
from forecasting.events import EVENT, HOLIDAY, SCHOOL_HOLIDAY, ZoneEvent, ZoneEvents
from forecasting.panel import Floats, Ints
from forecasting.season_effects import season_shift
from forecasting.snapshot import Snapshot

NAMES = (
    "is_holiday", "is_school_holiday", "is_event", "holiday_yesterday", "holiday_tomorrow",
    "event_effect", "eve_effect", "after_effect", "like_sunday", "school_shift", "school_shift_week",
)  # fmt: skip
# Pseudo-days with which a site's own experience of an event leans on that of all sites.
PRIOR_DAYS = 1.0
# The day itself, its eve, the day after.
BESIDE = (0, -1, 1)
MIN_SCHOOL_DAYS = 4
LOOK_BACK_DAYS = 400
PROFILE_DAYS = 28


@dataclass(frozen=True)
class CalendarEffects:
    """Events on each day as known at one origin, and their usual effects.

    Attributes:
        kinds: [site, day, hour], one bit per kind.
        effect: [day, site, days ahead], usual change of a day's total as a fraction: by that day's holiday or event, by
            tomorrow's, by yesterday's.
        season: [site, days ahead, hour], what the day's season adds to the profile, in units of the site's scale.
        school: [site], how much fuller school holidays are than term, as a fraction; 0 where unknown.
        school_share: [site], share of the last four weeks that were school holidays.
        school_share_week: [site], the same of the last week.
    """

    kinds: npt.NDArray[np.uint8]
    effect: Floats
    season: Floats
    school: Floats
    school_share: Floats
    school_share_week: Floats

    def features(self, snapshot: Snapshot, site: Ints, days_ahead: Ints, hour: Ints, level: Floats) -> Floats:
        """The features of `NAMES`, [feature, row]; effects in units of the site's scale (`level` is the profile's)."""
        last = self.kinds.shape[1] - 1
        day = np.minimum(snapshot.day + days_ahead, last)
        here = self.kinds[site, day, hour]
        # Noon stands for the neighbouring days: an eve or a bridge day is a matter of days, not of hours.
        yesterday = self.kinds[site, np.maximum(day - 1, 0), 12]
        tomorrow = self.kinds[site, np.minimum(day + 1, last), 12]
        holiday = here & HOLIDAY > 0
        school = (here & SCHOOL_HOLIDAY > 0).astype(np.float32)
        sunday = snapshot.profile.level[site, int(np.flatnonzero(snapshot.weekdays == 6)[0]), hour]
        special = here & (HOLIDAY | EVENT) > 0
        out = np.empty((len(NAMES), len(site)), dtype=np.float32)
        out[0], out[1], out[2] = holiday, school, here & EVENT > 0
        out[3], out[4] = yesterday & HOLIDAY > 0, tomorrow & HOLIDAY > 0
        on, eve, after = self.effect[:, site, np.minimum(days_ahead, self.effect.shape[2] - 1)]
        season = self.season[site, np.minimum(days_ahead, self.season.shape[1] - 1), hour]
        # A holiday was measured against the weeks before it, whatever season they were in.
        out[5] = np.where(special, on * level, season)
        out[6], out[7] = ~special * eve * level, ~special * after * level
        out[8] = holiday * (sunday / snapshot.profile.scale[site] - level)
        out[9] = (school - self.school_share[site]) * self.school[site] * level
        out[10] = (school - self.school_share_week[site]) * self.school[site] * level
        return out


def calendar_effects(
    snapshot: Snapshot, history: DayHistory, events: ZoneEvents, origin_ns: int, max_days_ahead: int
) -> CalendarEffects | None:
    """Effects as known at an origin; None where no event is known."""
    known = events.known(origin_ns)
    if not known:
        return None
    kinds = events.flags(origin_ns)
    past = slice(max(snapshot.day - LOOK_BACK_DAYS, 0), snapshot.day)
    is_school = np.asarray((kinds[:, past] & SCHOOL_HOLIDAY > 0).any(axis=2))
    return CalendarEffects(
        kinds,
        np.stack([_event_effects(snapshot, history, events, known, max_days_ahead, beside) for beside in BESIDE]),
        season_shift(snapshot, events, origin_ns, max_days_ahead),
        _school_effect(snapshot, history, kinds, is_school, past),
        is_school[:, -PROFILE_DAYS:].sum(axis=1) / np.float32(PROFILE_DAYS),
        is_school[:, -7:].sum(axis=1) / np.float32(7),
    )


def _event_effects(
    snapshot: Snapshot, history: DayHistory, events: ZoneEvents, known: int, max_days_ahead: int, beside: int
) -> Floats:
    """[site, days ahead]: the usual change on days of events, or on days `beside` them (-1 before, 1 after)."""
    effect = np.zeros((history.ratio.shape[0], max_days_ahead + 1), dtype=np.float32)
    entries = [entry for entry in events.entries[:known] if entry.kind in ("holiday", "event")]
    past = [entry for entry in entries if _days(entry, beside)[1] < snapshot.day]
    for entry in entries:
        first, last = _days(entry, beside)
        if last < snapshot.day or first > snapshot.day + max_days_ahead:
            continue
        usual = _usual_effect(entry, past, history, snapshot.day, beside)
        columns = slice(max(first - snapshot.day, 0), last - snapshot.day + 1)
        rows = np.arange(len(usual)) if entry.rows is None else entry.rows
        effect[rows, columns] = usual[rows, None]
    return effect


def _days(entry: ZoneEvent, beside: int) -> tuple[int, int]:
    """First and last day of an event, or the one day before or after it."""
    if beside < 0:
        return entry.first_day - 1, entry.first_day - 1
    return (entry.first_day, entry.last_day) if beside == 0 else (entry.last_day + 1, entry.last_day + 1)


def _usual_effect(entry: ZoneEvent, past: list[ZoneEvent], history: DayHistory, day: int, beside: int) -> Floats:
    """Mean change of the day's total on past days of the same name, leaning on the kind's, then on other sites'."""
    sites = history.ratio.shape[0]
    alike = [e for e in past if e.kind == entry.kind]
    named = [e for e in alike if entry.name and e.name == entry.name]
    of_kind = _shrunk(*_changes(alike, history, day, beside), np.zeros(sites))
    return _shrunk(*_changes(named, history, day, beside), of_kind)


def _changes(past: list[ZoneEvent], history: DayHistory, day: int, beside: int) -> tuple[Floats, Floats]:
    """Sum and number of relative changes over past event days, [site] each."""
    total, count = np.zeros(history.ratio.shape[0]), np.zeros(history.ratio.shape[0])
    for entry in past:
        first, last = _days(entry, beside)
        change = history.ratio[:, max(first, 0) : min(max(last + 1, 0), day)] - 1
        seen = np.isfinite(change)
        rows = slice(None) if entry.rows is None else entry.rows
        total[rows] += np.where(seen, change, 0).sum(axis=1)[rows]
        count[rows] += seen.sum(axis=1)[rows]
    return total, count


def _shrunk(total: Floats, count: Floats, otherwise: Floats) -> Floats:
    # What all sites did leans on the wider kind, and each site on that.
    prior = (total.sum() + PRIOR_DAYS * otherwise) / (count.sum() + PRIOR_DAYS)
    shrunk: Floats = (total + PRIOR_DAYS * prior) / (count + PRIOR_DAYS)
    return shrunk


def _school_effect(
    snapshot: Snapshot, history: DayHistory, kinds: npt.NDArray[np.uint8], is_school: npt.NDArray[np.bool_], past: slice
) -> Floats:
    """Mean of school holidays over mean of term, weekday by weekday, less 1."""
    special = (kinds[:, past] & ~np.uint8(SCHOOL_HOLIDAY) > 0).any(axis=2)
    total = history.total[:, past]
    usable = np.isfinite(total) & ~special
    weekday = snapshot.grid.weekday(np.arange(past.start, past.stop))
    top, bottom, days = np.zeros(len(total)), np.zeros(len(total)), np.zeros(len(total))
    for number in range(7):
        here = weekday == number
        school, term = usable & is_school & here, usable & ~is_school & here
        n, m = school.sum(axis=1), term.sum(axis=1)
        both = (n > 0) & (m > 0)
        top += np.where(both, np.where(school, total, 0).sum(axis=1), 0)
        bottom += np.where(both, n * np.where(term, total, 0).sum(axis=1) / np.maximum(m, 1), 0)
        days += np.where(both, n, 0)
    own = np.where(bottom > 0, top / np.maximum(bottom, 1e-9) - 1, 0)
    enough = (days >= MIN_SCHOOL_DAYS) & (bottom > 0)
    typical = float(np.median(own[enough])) if enough.any() else 0.0
    effect: Floats = np.where(enough, own, typical).clip(-0.9, 3)
    return effect
