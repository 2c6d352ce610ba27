"""Errors of hourly forecasts. Hours without an observation are never scored.

WAPE and MASE follow Hyndman & Koehler (2006), "Another look at measures of forecast accuracy"; the percentage error
MAPE is absent on purpose: occupancy has zeros.
"""

from __future__ import annotations

import numpy as np

from forecasting.panel import Floats

SEASON_HOURS = 168


def wape(actual: Floats, predicted: Floats) -> float:
    """Weighted absolute percentage error: sum of absolute errors over sum of actual values, as a fraction."""
    actual, predicted = _scored(actual, predicted)
    total = float(np.abs(actual).sum())
    return float(np.abs(actual - predicted).sum()) / total if total > 0 else float("nan")


def mae(actual: Floats, predicted: Floats) -> float:
    """Mean absolute error, in the unit of the values."""
    actual, predicted = _scored(actual, predicted)
    return float(np.abs(actual - predicted).mean()) if actual.size else float("nan")


def rmse(actual: Floats, predicted: Floats) -> float:
    """Root mean squared error, in the unit of the values."""
    actual, predicted = _scored(actual, predicted)
    return float(np.sqrt(np.mean((actual - predicted) ** 2))) if actual.size else float("nan")


def bias(actual: Floats, predicted: Floats) -> float:
    """Sum of (predicted − actual) over the sum of actual values: positive when forecasts are too high."""
    actual, predicted = _scored(actual, predicted)
    total = float(np.abs(actual).sum())
    return float((predicted - actual).sum()) / total if total > 0 else float("nan")


def coverage(actual: Floats, low: Floats, high: Floats) -> float:
    """Share of observed hours within [low, high], borders included."""
    seen = np.isfinite(actual) & np.isfinite(low) & np.isfinite(high)
    inside = (actual[seen] >= low[seen]) & (actual[seen] <= high[seen])
    return float(inside.mean()) if seen.any() else float("nan")


def pinball(actual: Floats, predicted: Floats, quantile: float) -> float:
    """Mean pinball loss of a quantile forecast, in the unit of the values."""
    actual, predicted = _scored(actual, predicted)
    error = actual - predicted
    return float(np.maximum(quantile * error, (quantile - 1) * error).mean()) if actual.size else float("nan")


def seasonal_naive_mae(history: Floats, season_h: int = SEASON_HOURS) -> Floats:
    """Mean |y(t) − y(t − season)| of each site over its history, [site]: the denominator of MASE.

    Args:
        history: [site, hour], regular hours, NaN where nothing was observed.
        season_h: length of the season in hours.
    """
    steps = np.abs(history[:, season_h:] - history[:, :-season_h])
    seen = np.isfinite(steps)
    count = seen.sum(axis=1)
    return np.where(count > 0, np.where(seen, steps, 0).sum(axis=1, dtype=np.float64) / np.maximum(count, 1), np.nan)


def mase(actual: Floats, predicted: Floats, naive_mae: Floats) -> float:
    """Mean over sites of MAE / seasonal naive MAE in the history; sites whose history never moves are left out.

    Args:
        actual: [site, hour].
        predicted: [site, hour].
        naive_mae: [site], from `seasonal_naive_mae`.
    """
    error = np.abs(actual - predicted)
    seen = np.isfinite(error)
    count = seen.sum(axis=1)
    per_site = np.where(seen, error, 0).sum(axis=1) / np.maximum(count, 1)
    usable = (count > 0) & np.isfinite(naive_mae) & (naive_mae > 0)
    return float((per_site[usable] / naive_mae[usable]).mean()) if usable.any() else float("nan")


def _scored(actual: Floats, predicted: Floats) -> tuple[Floats, Floats]:
    seen = np.isfinite(actual) & np.isfinite(predicted)
    return actual[seen], predicted[seen]
