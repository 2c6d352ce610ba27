"""A direct scikit-learn model as careful users build it: the horizon is a feature, every lag lies before the origin."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor

TRAINING_ORIGINS, MAX_ROWS, MAX_HORIZON = 400, 150_000, 168
SETTINGS = {
    "loss": "absolute_error", "learning_rate": 0.06, "max_iter": 300, "max_leaf_nodes": 63, "min_samples_leaf": 30,
    "l2_regularization": 1.0, "random_state": 7,
}  # fmt: skip


def fit_direct(fitted_on: pd.DataFrame) -> Callable[[pd.DataFrame, pd.Timestamp, int], pd.DataFrame]:
    """Learn from many past origins of a regular panel; returns a forecast for any later origin."""
    rng = np.random.default_rng(7)
    values, first, sites = _matrix(fitted_on)
    known = values.shape[1]
    closed = _closed(values)
    warm_up = min(24 * 28, known // 3)
    origins = np.unique(rng.integers(warm_up, known - 1, TRAINING_ORIGINS))
    per_origin = max(MAX_ROWS // (len(origins) * len(sites)), 4)
    rows, targets = [], []
    for origin in origins:
        # Near hours more often: the last observations say most about them.
        near = rng.integers(1, 25, per_origin // 2 + 1)
        horizons = np.unique(np.concatenate([near, rng.integers(1, MAX_HORIZON + 1, per_origin // 2 + 1)]))
        horizons = horizons[origin + horizons <= known]
        scale = _scale(values, origin)
        rows.append(_features(values, first, origin, horizons, scale))
        open_hours = np.where(
            closed[:, (origin + horizons - 1 - known) % 168], np.nan, values[:, origin + horizons - 1]
        )
        targets.append((open_hours / scale[:, None]).ravel())
    features, target = np.concatenate(rows), np.concatenate(targets)
    usable = np.isfinite(target)
    model = HistGradientBoostingRegressor(**SETTINGS).fit(features[usable], target[usable])

    def predict(past: pd.DataFrame, origin: pd.Timestamp, horizon: int) -> pd.DataFrame:
        values, first, sites = _matrix(past)
        scale = _scale(values, values.shape[1])
        shut = _closed(values)[:, np.arange(horizon) % 168]
        found = model.predict(_features(values, first, values.shape[1], np.arange(1, horizon + 1), scale))
        return pd.DataFrame(
            {
                "unique_id": np.repeat(sites, horizon),
                "ds": np.tile(pd.date_range(origin, periods=horizon, freq="h"), len(sites)),
                "prediction": np.where(shut, 0.0, found.reshape(len(sites), horizon) * scale[:, None]).ravel(),
            }
        )

    return predict


def _matrix(panel: pd.DataFrame) -> tuple[np.ndarray, pd.Timestamp, np.ndarray]:
    wide = panel.pivot(index="unique_id", columns="ds", values="y")
    return wide.to_numpy(dtype=np.float64), wide.columns[0], wide.index.to_numpy()


def _scale(values: np.ndarray, origin: int) -> np.ndarray:
    """Each site's mean of four weeks, NaN before its first observation; a floor keeps a nearly empty site finite."""
    recent = values[:, max(origin - 24 * 28, 0) : origin]
    seen = np.isfinite(recent)
    mean = np.where(seen, recent, 0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
    positive = mean[mean > 0]
    floor = 0.05 * float(np.median(positive)) if positive.size else 1.0
    return np.where(seen.any(axis=1), np.maximum(mean, floor), np.nan)


def _closed(values: np.ndarray) -> np.ndarray:
    """[site, hour of the week]: always zero. Half of all hours at zero would stall a fit on absolute error."""
    weeks = values.shape[1] // 168
    if weeks == 0:
        return np.zeros((len(values), 168), dtype=bool)
    return (np.nan_to_num(values[:, -168 * weeks :]).reshape(len(values), weeks, 168) == 0).all(axis=1)


def _features(
    values: np.ndarray, first: pd.Timestamp, origin: int, horizons: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    """[site × horizon, feature]: the clock, same hours of known weeks and days, the last hours before the origin."""
    sites = len(values)
    target = origin + horizons - 1
    when = first + pd.to_timedelta(target, unit="h")

    def at(columns: np.ndarray) -> np.ndarray:
        found = values[:, np.maximum(columns, 0)]
        return np.where(columns >= 0, found, np.nan) / scale[:, None]

    week_back = target - 168 * (-(-horizons // 168))
    day_back = target - 24 * (-(-horizons // 24))
    weeks = [at(week_back - 168 * back) for back in range(4)]
    days = [at(day_back - 24 * back) for back in range(3)]
    stack = np.stack(weeks)
    counted = np.isfinite(stack).sum(axis=0)
    month = np.where(counted > 0, np.nansum(stack, axis=0) / np.maximum(counted, 1), np.nan)
    last = [at(np.full(len(horizons), origin - back)) for back in (1, 2, 3)]
    day_ago = [at(np.full(len(horizons), origin - back - 168)) for back in (1, 2, 3)]
    level = [
        np.broadcast_to(np.nan_to_num(values[:, max(origin - hours, 0) : origin]).mean(axis=1)[:, None], month.shape)
        / scale[:, None]
        for hours in (24, 168)
    ]
    clock = [np.broadcast_to(column, month.shape) for column in (horizons, when.hour, when.dayofweek)]
    numbers = np.broadcast_to(np.arange(sites)[:, None], month.shape)
    turn = [now - then for now, then in zip(last, day_ago, strict=True)]
    columns = [*clock, numbers, month, *weeks, *days, *last, *turn, *level]
    return np.stack([np.asarray(column, dtype=np.float64).ravel() for column in columns], axis=1)
