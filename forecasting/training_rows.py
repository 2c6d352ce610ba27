"""Training rows: many past origins, each seen with nothing but what was known then.

Origins are spread over the whole history, half of them at local midnight, half at other hours; horizons near the
origin are drawn more often, because the last hours say most about them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from forecasting.calendar_effects import calendar_effects
from forecasting.day_history import DayHistory, day_history
from forecasting.events import Events, ZoneEvents
from forecasting.features import NAMES, feature_matrix
from forecasting.local_grid import DAY_HOURS, LocalGrid, local_grid, local_midnight_ns
from forecasting.panel import HOUR_NS, Floats, Ints, Panel
from forecasting.snapshot import Snapshot, take
from forecasting.standstill import spells_over

MAX_ROWS = 300_000
# More rows than this for each observation only repeat what is known.
ROWS_PER_OBSERVATION = 10
ROWS_PER_SITE_AND_ORIGIN = 60
VALIDATION_DAYS, VALIDATION_ORIGINS = 28, 112
WARM_UP_DAYS = 14
SHORT_WARM_UP_DAYS = 7


@dataclass(frozen=True)
class Zone:
    """One time zone's part of a panel with everything that is computed once."""

    grid: LocalGrid
    groups: Ints
    history: DayHistory
    events: ZoneEvents
    spells: npt.NDArray[np.int32]

    def snapshot(self, origin_ns: int) -> Snapshot:
        """What is known of this zone's sites at an origin."""
        day, hour = self.grid.cells(np.array([origin_ns]))
        ordinary = self.events.ordinary(origin_ns, int(day[0]))
        return take(self.grid, int(day[0]), int(hour[0]), self.groups, self.spells, ordinary)

    def features(self, snapshot: Snapshot, origin_ns: int, site: Ints, days_ahead: Ints, hour: Ints) -> Floats:
        """Feature rows of (site, target) pairs as known at an origin; see `features.feature_matrix`."""
        furthest = int(days_ahead.max(initial=0))
        effects = calendar_effects(snapshot, self.history, self.events, origin_ns, furthest)
        return feature_matrix(snapshot, self.history, effects, site, days_ahead, hour)


@dataclass(frozen=True)
class Rows:
    """Feature rows with what they should have said.

    Attributes:
        features: [row, feature].
        actual: observed value.
        profile: the profile at the target.
        scale: the site's scale at the origin.
        spread: the profile's spread at the target.
        site: row of the site in the panel.
        origin_ns: the origin.
        target_ns: the target hour.
    """

    features: Floats
    actual: Floats
    profile: Floats
    scale: Floats
    spread: Floats
    site: Ints
    origin_ns: Ints
    target_ns: Ints

    def __len__(self) -> int:
        return len(self.actual)

    def where(self, mask: np.ndarray) -> Rows:
        """The rows for which the mask holds."""
        return Rows(*(getattr(self, name)[mask] for name in self.__dataclass_fields__))


def sample_origins(panel: Panel, tz: str, count: int, rng: np.random.Generator) -> Ints:
    """Past instants to learn from, ascending, unique: evenly spread and newest, half of them at local midnight."""
    start = panel.first_hour_ns
    span_days = (panel.end_ns - start) / (HOUR_NS * DAY_HOURS)
    warm_up = WARM_UP_DAYS if span_days >= 3 * WARM_UP_DAYS else SHORT_WARM_UP_DAYS
    first, last = start + warm_up * DAY_HOURS * HOUR_NS, panel.end_ns - HOUR_NS
    if last <= first:
        return np.empty(0, dtype=np.int64)
    edges = np.linspace(first, last, count + 1)
    drawn = edges[:-1] + rng.random(count) * np.diff(edges)
    # The newest weeks once more: they are the validation window, however long the history, and the nearest to tomorrow.
    recent = last - min(VALIDATION_DAYS * DAY_HOURS * HOUR_NS, (last - first) // 4)
    drawn = np.concatenate([drawn, recent + rng.random(min(count // 4, VALIDATION_ORIGINS)) * (last - recent)])
    hours = (drawn.astype(np.int64) - start) // HOUR_NS * HOUR_NS + start
    for at in range(0, len(hours), 2):
        hours[at] = max(local_midnight_ns(int(hours[at]), tz), first)
    return np.unique(hours)


def horizon_weights(max_horizon: int) -> Floats:
    """How often each horizon 1, 2, … is drawn, summing to 1."""
    weights = 1.0 / (np.arange(1, max_horizon + 1) + 8.0) + 1.0 / max_horizon
    normed: Floats = weights / weights.sum()
    return normed


def training_rows(panel: Panel, zones: list[Zone], max_horizon: int, rng: np.random.Generator) -> Rows:
    """Draw origins, sites and horizons, and compute their features; targets without an observation are left out."""
    sites = len(panel.sites)
    days = max(panel.values.shape[1] / DAY_HOURS, 1)
    budget = min(MAX_ROWS, ROWS_PER_OBSERVATION * int(np.isfinite(panel.values).sum()))
    count = int(
        np.clip(budget / (sites * min(ROWS_PER_SITE_AND_ORIGIN, max_horizon)), min(6 * days, 240), min(6 * days, 2000))
    )
    origins = sample_origins(panel, zones[0].grid.tz, count, rng)
    per_origin = int(min(budget / max(len(origins), 1), sites * max_horizon))
    parts: list[Rows] = []
    for zone in zones:
        share = max(per_origin * len(zone.grid.rows) // sites, 1)
        hours = panel.first_hour_ns + HOUR_NS * np.arange(panel.values.shape[1], dtype=np.int64)
        cells = zone.grid.cells(hours)
        for origin in origins:
            rows = _rows_at(zone, int(origin), hours, cells, share, max_horizon, rng)
            if rows is not None:
                parts.append(rows)
    if not parts:
        return _no_rows()
    return Rows(*(np.concatenate([getattr(part, name) for part in parts]) for name in Rows.__dataclass_fields__))


def _no_rows() -> Rows:
    number, whole = np.empty(0, dtype=np.float32), np.empty(0, dtype=np.int64)
    features = np.empty((0, len(NAMES)), dtype=np.float32)
    return Rows(features, number, number, number, number, whole, whole, whole)


def _rows_at(
    zone: Zone, origin_ns: int, hours: Ints, cells: tuple[Ints, Ints], count: int, max_horizon: int,
    rng: np.random.Generator,
) -> Rows | None:  # fmt: skip
    grid = zone.grid
    first = int((origin_ns - hours[0]) // HOUR_NS)
    ahead = min(max_horizon, len(hours) - first)
    sites = len(grid.rows)
    chance = horizon_weights(max_horizon)[:ahead]
    picked = _draw(sites, chance, count, rng)
    site, column = picked // ahead, first + picked % ahead
    day, hour = cells[0][column], cells[1][column]
    actual = grid.values[site, day, hour]
    snapshot = zone.snapshot(origin_ns)
    # A site without history has no scale to learn from; a closed hour has nothing to learn.
    keep = np.isfinite(actual) & (snapshot.profile.weeks[site] >= 1)
    keep &= ~zone.events.closed(site, day, hour, origin_ns)
    if not keep.any():
        return None
    site, day, hour, column, actual = site[keep], day[keep], hour[keep], column[keep], actual[keep]
    ahead_days = day - snapshot.day
    position = (6 + ahead_days) % 7
    return Rows(
        features=zone.features(snapshot, origin_ns, site, ahead_days, hour),
        actual=actual,
        profile=snapshot.profile.level[site, position, hour],
        scale=snapshot.profile.scale[site],
        spread=snapshot.profile.spread[site, position, hour],
        site=grid.rows[site],
        origin_ns=np.full(len(site), origin_ns, dtype=np.int64),
        target_ns=hours[column],
    )


def _draw(sites: int, chance: Floats, count: int, rng: np.random.Generator) -> Ints:
    """Numbers of distinct (site, horizon) pairs, nearer horizons more often."""
    pairs = sites * len(chance)
    if count >= pairs:
        return np.arange(pairs)
    # Gumbel keys draw without replacement in one pass.
    keys = np.tile(np.log(chance), sites) + rng.gumbel(size=pairs)
    return np.sort(np.argpartition(-keys, count)[:count])


def build_zones(panel: Panel, rows_by_tz: dict[str, list[int]], groups: Ints, calendar: Events) -> list[Zone]:
    """Lay the panel out by time zone."""
    zones = []
    for tz, rows in rows_by_tz.items():
        grid = local_grid(panel, rows, tz)
        names = [panel.sites[row] for row in rows]
        members = groups[np.asarray(rows)]
        events = calendar.for_grid(grid, names)
        zones.append(Zone(grid, members, day_history(grid), events, spells_over(grid.values)))
    return sorted(zones, key=lambda zone: -len(zone.grid.rows))
