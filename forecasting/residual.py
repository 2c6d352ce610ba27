"""What the profile leaves: a linear stage and four gradient-boosted models, mixed in shares that depend on the horizon.

Two models serve the next day and two what lies beyond. Of each pair one learns what simpler stages leave, the other
the value itself from values as they were: their errors differ, so their mean is better than either. How many trees
each has is decided on weeks that the model had not seen.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from forecasting.features import DEVIATIONS, NAMES
from forecasting.linear import LinearStage, fit_linear
from forecasting.panel import Floats
from forecasting.training_rows import Rows

if TYPE_CHECKING:
    import xgboost

# Absolute error, because the measure (WAPE) is a median's: squared error chases the rare full hours.
PARAMETERS: dict[str, Any] = {
    "objective": "reg:absoluteerror",
    "tree_method": "hist",
    "min_child_weight": 30,
    "subsample": 0.7,
    "colsample_bynode": 0.5,
    "max_bin": 256,
    "nthread": 1,
}
NEAR_H = 24
# Rows beyond the border let each model see a little of the other's ground.
OVERLAP_H = 8
MAX_ROUNDS, PATIENCE = 300, 40
# Early stopping on four weeks is a noisy judge: where a season turns it stops at a dozen trees. Not above PATIENCE.
MIN_ROUNDS = 40


@dataclass(frozen=True)
class Trees:
    """One gradient-boosted model.

    Attributes:
        name: what its file is called.
        is_near: serves horizons up to NEAR_H; otherwise those beyond.
        learns: what the linear stage leaves, what the profile leaves, or the whole value.
        depth: of a tree.
        eta: learning rate.
    """

    name: str
    is_near: bool
    learns: Literal["rest_of_linear", "rest_of_profile", "value"]
    depth: int
    eta: float

    def rows(self, rows: Rows) -> Rows:
        """The rows to learn from; all of them if none has such a horizon."""
        horizon = rows.features[:, 0]
        mask = horizon <= NEAR_H + OVERLAP_H / 2 if self.is_near else horizon > NEAR_H - OVERLAP_H
        return rows.where(mask) if mask.any() else rows

    def start(self, features: Floats, linear: LinearStage) -> Floats | float:
        """What the model's answer is added to in order to get the rest above the profile."""
        if self.learns == "rest_of_linear":
            return linear.apply(features)
        return 0.0 if self.learns == "rest_of_profile" else -features[:, PROFILE]

    def inputs(self, features: Floats) -> Floats:
        """The feature matrix as the model sees it."""
        if self.learns != "value":
            return np.ascontiguousarray(features)
        values = np.array(features, order="C")
        values[:, DEVIATIONS] += features[:, [PROFILE]]
        return values


TREES = (
    Trees("near", True, "rest_of_linear", 7, 0.05),
    Trees("far", False, "rest_of_profile", 6, 0.05),
    Trees("near_value", True, "value", 6, 0.08),
    Trees("far_value", False, "value", 6, 0.08),
)
PROFILE = NAMES.index("profile")
# Shares of linear stage, trees on the rest and trees on the value, chosen on panels apart from the reported windows:
# within six hours the last hours' deviation is nearly all, a week ahead the trees' view of the season.
SHARE_EDGES = (1, 7, 25)  # first hour of each group
SHARES = ((0.5, 0.5, 0.0), (0.4, 0.3, 0.3), (0.2, 0.4, 0.4))
# A site that stood empty has next to no scale when it reopens: without a limit its first hours make leaves of a hundred
# times the usual, which other sites then meet.
HIGHEST = 5.0
# With so many observations trees have half their share: after six weeks of one site they were 40 % worse than linear.
HALF_TRUSTED_OBSERVATIONS = 1000
# Weeks are what a forecast for days ahead learns from; two of them weigh as much as the profile's claim to be right.
PROFILE_WEEKS = 2


@dataclass(frozen=True)
class ResidualModel:
    """A fitted residual model.

    Attributes:
        linear: linear stage.
        trees: boosters in the order of TREES.
        shares: of linear stage, trees on the rest and trees on the value, [horizon group, 3]; the profile has what is
            missing to 1.
    """

    linear: LinearStage
    trees: tuple[xgboost.Booster, ...]
    shares: Floats

    def apply(self, features: Floats) -> Floats:
        """What to add to the profile, in units of the site's scale, for rows of `features.NAMES`."""
        if features.shape[1] != len(NAMES):
            raise ValueError(f"{features.shape[1]} feature columns, the model was trained on {len(NAMES)}")
        shares = self._shares(features)
        answer = shares[:, 0] * self.linear.apply(features)
        for number, (trees, booster) in enumerate(zip(TREES, self.trees, strict=True)):
            share = shares[:, number + 1]
            here = share > 0
            if here.any():
                rows = features[here]
                rest = trees.start(rows, self.linear) + booster.inplace_predict(trees.inputs(rows))
                answer[here] += share[here] * rest
        return answer

    def contributions(self, features: Floats) -> Floats:
        """Each feature's share of one row's answer, in the order of `features.NAMES`, and last the constant rest."""
        import xgboost

        row = features[:1]
        shares = self._shares(row)[0]
        linear = np.append(self.linear.contributions(row), 0.0)
        total: Floats = shares[0] * linear
        for share, trees, booster in zip(shares[1:], TREES, self.trees, strict=True):
            if share > 0:
                data = xgboost.DMatrix(trees.inputs(row), feature_names=list(NAMES))
                own = booster.predict(data, pred_contribs=True)[0].astype(np.float64)
                if trees.learns == "rest_of_linear":
                    own = own + linear
                elif trees.learns == "value":
                    own[PROFILE] -= row[0, PROFILE]
                total = total + share * own
        return total

    def _shares(self, features: Floats) -> Floats:
        """Shares of the linear stage and of each of TREES, [row, 1 + trees]."""
        group = np.searchsorted(np.asarray(SHARE_EDGES), features[:, 0], side="right") - 1
        linear, rest, value = self.shares[group].T
        near = features[:, 0] <= NEAR_H
        trees = [np.where(near == each.is_near, value if each.learns == "value" else rest, 0.0) for each in TREES]
        return np.stack([linear, *trees], axis=1)


def target(rows: Rows) -> Floats:
    """What the model learns: value less profile, in units of the site's scale, at most HIGHEST."""
    return np.minimum((rows.actual - rows.profile) / rows.scale, np.float32(HIGHEST))


def fit(rows: Rows, seed: int, rounds: tuple[int, ...], shares: Floats) -> ResidualModel:
    """Fit with known numbers of trees, in the order of TREES."""
    linear = fit_linear(rows.features, target(rows))
    return ResidualModel(linear, _boost(rows, linear, seed, rounds, None), shares)


def fit_validated(rows: Rows, validation: Rows, seed: int, shares: Floats) -> tuple[ResidualModel, tuple[int, ...]]:
    """Fit, and choose the numbers of trees, also returned, on the validation rows."""
    linear = fit_linear(rows.features, target(rows))
    boosters = _boost(rows, linear, seed, (MAX_ROUNDS,) * len(TREES), validation)
    rounds = tuple(max(int(booster.best_iteration) + 1, MIN_ROUNDS) for booster in boosters)
    kept = tuple(booster[:count] for booster, count in zip(boosters, rounds, strict=True))
    return ResidualModel(linear, kept, shares), rounds


def shares_for(observations: int, weeks: int) -> Floats:
    """Shares by how much there was to learn from, [horizon group, 3] as in `ResidualModel`.

    Args:
        observations: observed hours of all sites.
        weeks: weeks with any observation.
    """
    trust = observations**2 / (observations**2 + HALF_TRUSTED_OBSERVATIONS**2)
    shares = np.asarray(SHARES) * [1.0, trust, trust]
    shares[:, 0] = 1.0 - shares[:, 1:].sum(axis=1)
    shares[1:] *= weeks / (weeks + PROFILE_WEEKS)
    return shares


def _boost(
    rows: Rows, linear: LinearStage, seed: int, rounds: tuple[int, ...], validation: Rows | None
) -> tuple[xgboost.Booster, ...]:
    # One thread each, side by side: the trees do not depend on the number of cores, and nobody waits at barriers.
    with ThreadPoolExecutor(2) as pool:
        jobs = [
            pool.submit(_train, trees, rows, linear, seed, count, validation)
            for trees, count in zip(TREES, rounds, strict=True)
        ]
        return tuple(job.result() for job in jobs)


def _train(
    trees: Trees, rows: Rows, linear: LinearStage, seed: int, rounds: int, validation: Rows | None
) -> xgboost.Booster:
    import xgboost

    data = _matrix(trees, rows, linear, None)
    watch: dict[str, Any] = {}
    if validation is not None:
        held_out = _matrix(trees, validation, linear, data)
        watch = {"evals": [(held_out, "validation")], "early_stopping_rounds": PATIENCE, "verbose_eval": False}
    parameters = PARAMETERS | {"seed": seed, "max_depth": trees.depth, "eta": trees.eta}
    return xgboost.train(parameters, data, num_boost_round=rounds, **watch)


def _matrix(
    trees: Trees, rows: Rows, linear: LinearStage, reference: xgboost.QuantileDMatrix | None
) -> xgboost.QuantileDMatrix:
    import xgboost

    mine = trees.rows(rows)
    # WAPE counts people, not sites; the root leaves small sites a say.
    weight = np.sqrt(mine.scale / mine.scale.mean())
    return xgboost.QuantileDMatrix(
        trees.inputs(mine.features), target(mine) - trees.start(mine.features, linear), weight=weight, ref=reference,
        max_bin=PARAMETERS["max_bin"], nthread=1, feature_names=list(NAMES),
    )  # fmt: skip
