"""What the profile leaves: the linear stage and two gradient-boosted models, one for the next day, one for beyond.

Within a day the trees learn what the linear stage leaves, beyond it what the profile leaves; the answer is a fixed mean
of trees and linear stage. How many trees is decided on weeks that the model had not seen.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from forecasting.features import NAMES
from forecasting.linear import LinearStage, fit_linear
from forecasting.panel import Floats
from forecasting.training_rows import Rows

if TYPE_CHECKING:
    import xgboost

# Absolute error, because the measure (WAPE) is a median's: squared error chases the rare full hours.
PARAMETERS: dict[str, Any] = {
    "objective": "reg:absoluteerror",
    "tree_method": "hist",
    "eta": 0.05,
    "min_child_weight": 30,
    "subsample": 0.7,
    "colsample_bynode": 0.5,
    "max_bin": 256,
    "nthread": 1,
}
NEAR_DEPTH, FAR_DEPTH = 7, 6
NEAR_H = 24
# Rows beyond the border let each model see a little of the other's ground.
OVERLAP_H = 8
MAX_ROUNDS, PATIENCE = 300, 40
# Early stopping on four weeks is a noisy judge: where a season turns it stops at a dozen trees.
MIN_ROUNDS = 40
# Shares of 0.25 to 0.5 were best and alike on four public panels; none at all cost 1 to 2 % of WAPE a week ahead.
LINEAR_SHARE = 0.4


@dataclass(frozen=True)
class ResidualModel:
    """A fitted residual model.

    Attributes:
        linear: linear stage.
        near: trees for horizons up to NEAR_H, on top of the linear stage.
        far: trees for longer horizons, on top of the profile.
    """

    linear: LinearStage
    near: xgboost.Booster
    far: xgboost.Booster

    def apply(self, features: Floats) -> Floats:
        """What to add to the profile, in units of the site's scale, for rows of `features.NAMES`."""
        if features.shape[1] != len(NAMES):
            raise ValueError(f"{features.shape[1]} feature columns, the model was trained on {len(NAMES)}")
        linear = self.linear.apply(features)
        near = features[:, 0] <= NEAR_H
        trees = np.empty(len(features))
        if near.any():
            trees[near] = linear[near] + self.near.inplace_predict(np.ascontiguousarray(features[near]))
        if not near.all():
            trees[~near] = self.far.inplace_predict(np.ascontiguousarray(features[~near]))
        return LINEAR_SHARE * linear + (1 - LINEAR_SHARE) * trees

    def contributions(self, features: Floats) -> Floats:
        """Each feature's share of one row's answer, in the order of `features.NAMES`, and last the constant rest."""
        import xgboost

        near = bool(features[0, 0] <= NEAR_H)
        data = xgboost.DMatrix(features[:1], feature_names=list(NAMES))
        trees = (self.near if near else self.far).predict(data, pred_contribs=True)[0].astype(np.float64)
        linear = np.append(self.linear.contributions(features), 0.0)
        total: Floats = LINEAR_SHARE * linear + (1 - LINEAR_SHARE) * (trees + (linear if near else 0.0))
        return total


def target(rows: Rows) -> Floats:
    """What the model learns: value less profile, in units of the site's scale."""
    return (rows.actual - rows.profile) / rows.scale


def fit(rows: Rows, seed: int, rounds: tuple[int, int]) -> ResidualModel:
    """Fit with known numbers of trees (near, far)."""
    linear = fit_linear(rows.features, target(rows))
    return ResidualModel(linear, *_boost(rows, linear, seed, rounds, None))


def fit_validated(rows: Rows, validation: Rows, seed: int) -> tuple[ResidualModel, tuple[int, int]]:
    """Fit, and choose the numbers of trees (near, far), also returned, on the validation rows."""
    linear = fit_linear(rows.features, target(rows))
    near, far = _boost(rows, linear, seed, (MAX_ROUNDS, MAX_ROUNDS), validation)
    rounds = (max(int(near.best_iteration) + 1, MIN_ROUNDS), max(int(far.best_iteration) + 1, MIN_ROUNDS))
    return ResidualModel(linear, near[: rounds[0]], far[: rounds[1]]), rounds


def _boost(
    rows: Rows, linear: LinearStage, seed: int, rounds: tuple[int, int], validation: Rows | None
) -> tuple[xgboost.Booster, xgboost.Booster]:
    # One thread each, side by side: the trees do not depend on the number of cores, and nobody waits at barriers.
    with ThreadPoolExecutor(2) as pool:
        near = pool.submit(_train, _near(rows), linear, NEAR_DEPTH, seed, rounds[0], _near(validation))
        far = pool.submit(_train, _far(rows), None, FAR_DEPTH, seed, rounds[1], _far(validation))
        return near.result(), far.result()


def _near(rows: Rows | None) -> Rows | None:
    return None if rows is None else _some(rows, rows.features[:, 0] <= NEAR_H + OVERLAP_H / 2)


def _far(rows: Rows | None) -> Rows | None:
    return None if rows is None else _some(rows, rows.features[:, 0] > NEAR_H - OVERLAP_H)


def _some(rows: Rows, mask: np.ndarray[Any, Any]) -> Rows:
    """The chosen rows; all of them if there are none (a model for horizons that never occur)."""
    return rows.where(mask) if mask.any() else rows


def _train(
    rows: Rows | None, linear: LinearStage | None, depth: int, seed: int, rounds: int, validation: Rows | None
) -> xgboost.Booster:
    import xgboost

    assert rows is not None
    data = _matrix(rows, linear, None)
    watch: dict[str, Any] = {}
    if validation is not None:
        held_out = _matrix(validation, linear, data)
        watch = {"evals": [(held_out, "validation")], "early_stopping_rounds": PATIENCE, "verbose_eval": False}
    return xgboost.train(PARAMETERS | {"seed": seed, "max_depth": depth}, data, num_boost_round=rounds, **watch)


def _matrix(
    rows: Rows, linear: LinearStage | None, reference: xgboost.QuantileDMatrix | None
) -> xgboost.QuantileDMatrix:
    import xgboost

    rest = target(rows) - (linear.apply(rows.features) if linear is not None else 0.0)
    return xgboost.QuantileDMatrix(
        rows.features, rest, ref=reference, max_bin=PARAMETERS["max_bin"], nthread=1, feature_names=list(NAMES)
    )
