"""The gradient-boosted model on what the profile leaves: its objective, its size, how it is fitted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from forecasting.features import NAMES
from forecasting.panel import Floats
from forecasting.training_rows import Rows

if TYPE_CHECKING:
    import xgboost

# Absolute error, because the measure (WAPE) is a median's: about a tenth better than squared error on public panels.
PARAMETERS: dict[str, Any] = {
    "objective": "reg:absoluteerror",
    "tree_method": "hist",
    "max_depth": 7,
    "eta": 0.05,
    "min_child_weight": 30,
    "subsample": 0.7,
    "colsample_bynode": 0.5,
    "max_bin": 256,
}
MAX_ROUNDS = 400
PATIENCE = 40
# Errors of large sites count more, by the root of their size: between "every person" and "every site" alike.
SIZE_WEIGHT = 0.5


def fit(rows: Rows, seed: int, rounds: int, validation: Rows | None = None) -> xgboost.Booster:
    """Fit the residual model; with validation rows, stop where they no longer improve."""
    import xgboost

    data = _matrix(rows)
    watch: dict[str, Any] = {}
    if validation is not None and len(validation):
        held_out = _matrix(validation, data)
        watch = {"evals": [(held_out, "validation")], "early_stopping_rounds": PATIENCE, "verbose_eval": False}
    return xgboost.train(PARAMETERS | {"seed": seed}, data, num_boost_round=rounds, **watch)


def _matrix(rows: Rows, reference: xgboost.QuantileDMatrix | None = None) -> xgboost.QuantileDMatrix:
    import xgboost

    target = (rows.actual - rows.profile) / rows.scale
    return xgboost.QuantileDMatrix(
        rows.features, target, weight=_weights(rows.scale), ref=reference, max_bin=PARAMETERS["max_bin"],
        feature_names=list(NAMES),
    )  # fmt: skip


def _weights(scale: Floats) -> Floats:
    return (scale / np.mean(scale)) ** SIZE_WEIGHT
