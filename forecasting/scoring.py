"""From a snapshot to forecasts: the model where history allows, the profile where it is thin, 0 where closed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecasting.baselines import baselines
from forecasting.intervals import Bands, spread_unit
from forecasting.panel import HOUR_NS, Floats, Ints
from forecasting.residual import ResidualModel
from forecasting.snapshot import Snapshot
from forecasting.standstill import SILENT_DAYS
from forecasting.training_rows import Zone

MODEL, PROFILE, GROUP_PROFILE, CLOSED = "profile+xgboost", "profile", "group_profile", "closed"
METHODS = np.array([MODEL, PROFILE, GROUP_PROFILE, CLOSED])
MIN_HISTORY_DAYS = 14
# A full site may stand a little above its nominal capacity; one that often did may again, up to half above.
CAPACITY_SLACK, CAPACITY_SLACK_MAX = 1.05, 1.5
# A band that was calibrated on sites with history is too narrow for one with little.
THIN_HISTORY_WIDTH = 1.5


@dataclass(frozen=True)
class Scores:
    """Forecasts of one zone's sites, all [site, hour].

    Attributes:
        prediction: point forecast (a median), p10 and p90 the 80 % band; all ≥ 0.
        method: index into METHODS.
        baseline: baseline forecasts by name.
    """

    prediction: Floats
    p10: Floats
    p90: Floats
    method: Ints
    baseline: dict[str, Floats]


def score(zone: Zone, origin_ns: int, horizon: int, residual: ResidualModel | None, bands: Bands) -> Scores:
    """Forecast every site of a zone for `horizon` hours from an origin on, using only what lies before it."""
    snapshot = zone.snapshot(origin_ns)
    sites = len(zone.grid.rows)
    day, hour = zone.grid.cells(origin_ns + HOUR_NS * np.arange(horizon, dtype=np.int64))
    ahead = day - snapshot.day
    position = (6 + ahead) % 7
    profile = snapshot.profile.level[:, position, hour]
    method = methods_of(zone, snapshot, residual is not None)[:, None] * np.ones(horizon, dtype=np.int64)
    prediction = profile.astype(np.float64)
    learnt = np.flatnonzero(method[:, 0] == 0)
    if residual is not None and learnt.size:
        site = np.repeat(learnt, horizon)
        features = zone.features(snapshot, origin_ns, site, np.tile(ahead, learnt.size), np.tile(hour, learnt.size))
        prediction[learnt] += residual.apply(features).reshape(learnt.size, horizon) * _column(snapshot, learnt)
    prediction = np.minimum(np.maximum(prediction, 0.0), capacity_limit(zone, snapshot)[:, None])
    spread = snapshot.profile.spread[:, position, hour]
    unit = spread_unit(spread, prediction, snapshot.profile.scale[:, None])
    unit *= np.where(method == 0, 1.0, THIN_HISTORY_WIDTH)
    steps = np.tile(np.arange(1, horizon + 1), (sites, 1))
    p10, p90 = bands.ends(prediction, unit, steps, np.tile(hour, (sites, 1)))
    p10, p90 = _widen_new_sites(snapshot, zone.groups, method, prediction, p10, p90)
    closed = snapshot.profile.closed[:, position, hour] | zone.events.closed(
        np.arange(sites)[:, None], day[None], hour[None], origin_ns
    )
    method[closed] = 3
    limit = capacity_limit(zone, snapshot)[:, None]
    open_hours = np.where(closed, 0.0, 1.0)
    return Scores(
        prediction * open_hours,
        p10 * open_hours,
        np.maximum(np.minimum(p90, limit), prediction) * open_hours,
        method,
        baselines(zone.grid, snapshot.day, snapshot.hour, ahead, hour),
    )


def _column(snapshot: Snapshot, sites: Ints) -> Floats:
    return snapshot.profile.scale[sites][:, None]


def methods_of(zone: Zone, snapshot: Snapshot, has_model: bool) -> Ints:
    """METHODS index of each site: by how long it has been observed before the origin, and whether it is silent now."""
    active = zone.grid.active[:, : max(snapshot.day, 0)]
    first = np.where(active.any(axis=1), active.argmax(axis=1), snapshot.day)
    known = snapshot.profile.weeks >= 1
    long_enough = (snapshot.day - first) >= MIN_HISTORY_DAYS
    # What the model adds to the profile follows from the last days; of a silent site it knows none.
    reports = np.isfinite(snapshot.recent[:, -SILENT_DAYS:]).any(axis=(1, 2))
    return np.where(~known, 2, np.where(long_enough & reports & has_model, 0, 1)).astype(np.int64)


def capacity_limit(zone: Zone, snapshot: Snapshot) -> Floats:
    """The highest sensible forecast of each site, [site]; infinite where no capacity is known."""
    sites = len(zone.grid.rows)
    if zone.grid.capacity is None or snapshot.day < 1:
        return np.full(sites, np.inf)
    # Capacity as it was the day before: today's entry could hold a change later than the origin.
    until = min(snapshot.day, zone.grid.days)
    window = slice(max(until - 56, 0), until)
    capacity = zone.grid.capacity[:, until - 1]
    usual = zone.grid.values[:, window] / np.maximum(zone.grid.capacity[:, window, None], 1e-9)
    daily = np.where(np.isfinite(usual), usual, 0).max(axis=2)
    # The third fullest day: one wrong count, or the day on which capacity changed, proves nothing.
    fullest = np.sort(daily, axis=1)[:, -3] if daily.shape[1] >= 3 else np.zeros(sites)
    limit = capacity * np.clip(fullest, CAPACITY_SLACK, CAPACITY_SLACK_MAX)
    return np.where(np.isfinite(limit), limit, np.inf)


def _widen_new_sites(
    snapshot: Snapshot, groups: Ints, method: Ints, prediction: Floats, p10: Floats, p90: Floats
) -> tuple[Floats, Floats]:
    """A site without history may be as small or as large as the sites of its group are."""
    new = method == 2
    if not new.any():
        return p10, p90
    low, high = np.full(len(groups), 0.3), np.full(len(groups), 2.0)
    mean = snapshot.profile.level.reshape(len(groups), -1).mean(axis=1)
    for number in np.unique(groups[new[:, 0]]):
        peers = mean[(groups == number) & (method[:, 0] != 2) & (mean > 0)]
        if len(peers) >= 5:
            ends = np.quantile(peers / np.median(peers), [0.1, 0.9])
            low[groups == number] = min(float(ends[0]), 0.7)
            high[groups == number] = max(float(ends[1]), 1.5)
    wide_low = np.minimum(p10, prediction * low[:, None])
    wide_high = np.maximum(p90, prediction * high[:, None])
    return np.where(new, wide_low, p10), np.where(new, wide_high, p90)
