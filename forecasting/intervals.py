"""The 80 % band: split-conformal residuals by horizon and hour of the day.

Residuals come from a validation window that the model they belong to had not seen (Lei et al. 2018, "Distribution-free
predictive inference for regression"), each divided by how much its site usually varies at that hour, so that one table
serves busy and quiet sites. Lower and upper ends are calibrated apart: occupancy errors are skewed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from forecasting.panel import Floats, Ints

HIGH = 0.9  # the upper end; the lower is its mirror image
# What is forecast lies after the weeks that the residuals come from and is less like them than they are like each
# other: on nine windows of seven panels, apart from the reported ones, nominal bands covered 79 % within six hours of
# the origin and 76 % beyond. Half of that is made good beyond; all of it would be too wide where weeks are alike.
DRIFT_H, DRIFT = 7, 0.01
HORIZON_EDGES = (1, 2, 4, 7, 25, 73)  # first hour of each horizon group
HOURS_PER_GROUP = 6
# A cell with fewer residuals than this takes its horizon group's.
MIN_RESIDUALS = 60
FAR_H, DRAWS_PER_DAY = 25, 24 // HOURS_PER_GROUP
# Without any validation residual: typical ends of a skewed band, in units of the spread.
UNCALIBRATED = (-1.6, 2.0)


@dataclass(frozen=True)
class Bands:
    """Ends of the band in units of the local spread, [horizon group, hour group]."""

    low: Floats
    high: Floats

    def ends(self, prediction: Floats, unit: Floats, horizon: Ints, hour: Ints) -> tuple[Floats, Floats]:
        """The band around predictions; never below 0, and the prediction always within.

        Args:
            prediction: point forecast.
            unit: local spread, as `spread_unit` gives it.
            horizon: hours ahead, from 1.
            hour: local hour of the target.
        """
        group = (horizon_group(horizon), hour // HOURS_PER_GROUP)
        low = np.minimum(prediction + self.low[group] * unit, prediction)
        high = np.maximum(prediction + self.high[group] * unit, prediction)
        return np.maximum(low, 0.0), np.maximum(high, 0.0)

    def to_json(self) -> dict[str, Any]:
        """Plain lists."""
        return {"low": self.low.tolist(), "high": self.high.tolist()}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Bands:
        """The bands that `to_json` wrote."""
        return cls(np.asarray(stored["low"]), np.asarray(stored["high"]))


def spread_unit(spread: Floats, prediction: Floats, scale: Floats) -> Floats:
    """How far a value usually lies from its profile; small shares of level and scale keep it from vanishing."""
    return spread + 0.1 * np.maximum(prediction, 0) + 0.02 * scale


def horizon_group(horizon: Ints) -> Ints:
    """Group number of each horizon."""
    return np.searchsorted(np.asarray(HORIZON_EDGES), horizon, side="right") - 1


def calibrate(
    actual: Floats, prediction: Floats, unit: Floats, horizon: Ints, hour: Ints, days: int | None = None
) -> Bands:
    """Conformal ends of the band from residuals of a model that had not seen them.

    Args:
        actual: observed values.
        prediction: their forecasts.
        unit: local spread, as `spread_unit` gives it.
        horizon: hours ahead, from 1.
        hour: local hour of the target.
        days: how many days the residuals come from, where they are few and their hours alike.
    """
    scores = (actual - prediction) / unit
    rows, columns = len(HORIZON_EDGES), 24 // HOURS_PER_GROUP
    low, high = np.empty((rows, columns)), np.empty((rows, columns))
    at_row, at_column = horizon_group(horizon), hour // HOURS_PER_GROUP
    overall = _ends(scores, UNCALIBRATED, len(scores), HIGH)
    for row in range(rows):
        in_row = at_row == row
        # Days ahead, a good or bad week moves all its hours together: hours are no independent witnesses.
        far = days is not None and HORIZON_EDGES[row] >= FAR_H
        independent = DRAWS_PER_DAY * days if far and days else len(scores)
        high_end = HIGH + DRIFT * (HORIZON_EDGES[row] >= DRIFT_H)
        row_ends = _ends(scores[in_row], overall, independent, high_end)
        for column in range(columns):
            cell = in_row & (at_column == column)
            low[row, column], high[row, column] = _ends(scores[cell], row_ends, independent, high_end)
    return Bands(low, high)


def _ends(scores: Floats, otherwise: tuple[float, float], independent: int, high_end: float) -> tuple[float, float]:
    n = len(scores)
    if n < MIN_RESIDUALS:
        return otherwise
    # The finite-sample rank of split-conformal prediction, ceil((m + 1) q) of m, with m independent residuals of n.
    m = min(n, independent)
    inner = min((m + 1) * high_end / m, 1.0)
    ordered = np.sort(scores)
    high = int(np.ceil(n * inner)) - 1
    low = int(np.floor(n * (1.0 - inner)))
    return float(ordered[max(low, 0)]), float(ordered[min(high, n - 1)])
