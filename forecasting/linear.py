"""The linear stage: least absolute deviations on the deviation features, apart for each horizon group.

Close to the origin the rest is nearly linear in what the last hours showed, which trees reproduce only in steps; on
public panels this stage alone beat the trees by 8 % of WAPE at one to six hours ahead, and lost to them beyond a day.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from forecasting.features import NAMES
from forecasting.panel import Floats, Ints

# What places a row in time or tells its size rather than how it deviates is left to the trees.
PLACING = (
    "horizon_h",
    "hour",
    "weekday",
    "hours_known_today",
    "profile",
    "profile_slope",
    "spread",
    "weeks_of_history",
    "silence_h",
    "is_holiday",
    "is_school_holiday",
    "is_event",
    "holiday_yesterday",
    "holiday_tomorrow",
)
COLUMNS = np.array([number for number, name in enumerate(NAMES) if name not in PLACING])
HORIZON_EDGES = (1, 2, 4, 7, 13, 25, 73)  # first hour of each group
# Deviations beyond four times a site's mean level are events, not habits.
CLIP = 4.0
RIDGE, RIDGE_PER_ROW = 20.0, 0.003
STEPS = 8
# Residuals smaller than this share of the scale weigh alike: keeps reweighted least squares from dividing by zero.
SMALLEST = 0.05


@dataclass(frozen=True)
class LinearStage:
    """Coefficients, [horizon group, feature of COLUMNS]."""

    coefficients: Floats

    def apply(self, features: Floats) -> Floats:
        """The linear part of the rest in units of the site's scale, for rows of `features.NAMES`."""
        group = horizon_group(features[:, 0])
        out = np.empty(len(features))
        for number in np.unique(group):
            here = group == number
            out[here] = _deviations(features[here]) @ self.coefficients[number]
        return out

    def contributions(self, features: Floats) -> Floats:
        """Each feature's share of one row's answer, in the order of `features.NAMES`."""
        shares = np.zeros(len(NAMES))
        shares[COLUMNS] = _deviations(features)[0] * self.coefficients[horizon_group(features[:1, 0])[0]]
        return shares

    def to_json(self) -> list[Any]:
        """Plain lists."""
        return list(self.coefficients.tolist())


def horizon_group(horizon: Floats | Ints) -> Ints:
    """Group number of each horizon."""
    group: Ints = np.searchsorted(np.asarray(HORIZON_EDGES), horizon, side="right") - 1
    return group


def fit_linear(features: Floats, target: Floats) -> LinearStage:
    """Fit each horizon group by iteratively reweighted ridge regression (an L1 loss with an L2 penalty)."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    groups = horizon_group(features[:, 0])
    coefficients = np.zeros((len(HORIZON_EDGES), len(COLUMNS)))
    penalty = RIDGE + RIDGE_PER_ROW * len(target) / len(HORIZON_EDGES)
    # Matrices this thin gain nothing from threads, which on a busy machine wait for each other.
    with threadpool_limits(1):
        for number in range(len(HORIZON_EDGES)):
            here = groups == number
            if here.any():
                coefficients[number] = _least_deviations(_deviations(features[here]), target[here], penalty)
    return LinearStage(coefficients)


def _deviations(features: Floats) -> Floats:
    return np.clip(np.nan_to_num(features[:, COLUMNS].astype(np.float64)), -CLIP, CLIP)


def _least_deviations(columns: Floats, target: Floats, penalty: float) -> Floats:
    weight: Floats = np.ones(len(target))
    found: Floats = np.zeros(columns.shape[1])
    for _ in range(STEPS):
        weighted = columns * weight[:, None]
        gram = columns.T @ weighted + penalty * np.eye(columns.shape[1])
        found = np.linalg.solve(gram, weighted.T @ target)
        weight = 1.0 / np.maximum(np.abs(target - columns @ found), SMALLEST)
    return found
