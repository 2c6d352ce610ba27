"""Forecasts of well-known libraries, in their own environment: `predict.py METHOD PANEL ORIGINS OUT`.

PANEL is a parquet file `site_id, ds, y` on the sites' wall clock, ORIGINS one with `origin, horizon` (hours); OUT gets
`site_id, origin, ds, prediction`. At each origin a method sees what lies before it, no more. Global models are fitted
before the first origin and again every four weeks, local ones at every origin.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

HOUR = pd.Timedelta(hours=1)
REFIT_EVERY = pd.Timedelta(weeks=4)
# A local model's time grows with its history: six weeks hold what a weekly season can tell, two what a daily one can.
LOCAL_HISTORY = pd.Timedelta(weeks=6)
AUTO_ETS_HISTORY = pd.Timedelta(weeks=2)
# What the longest lag and the widest rolling window of the global models need.
LAG_HISTORY = pd.Timedelta(weeks=9)

Predictor = Callable[[pd.DataFrame, pd.Timestamp, int], pd.DataFrame]


def regular(history: pd.DataFrame, origin: pd.Timestamp) -> pd.DataFrame:
    """Every hour from a site's first observation to the origin: the peers know no gaps.

    An hour of the week that a site never reports is 0; any other gap takes the week before, else the hour's mean.
    """
    parts = []
    for site, rows in history.groupby("unique_id"):
        series = rows.set_index("ds")["y"]
        hours = pd.date_range(series.index.min(), origin - HOUR, freq="h")
        full = series.reindex(hours)
        week = pd.Series(hours.dayofweek * 24 + hours.hour, index=hours)
        for _ in range(8):
            full = full.fillna(full.shift(168))
        full = full.fillna(week.map(series.groupby(week.reindex(series.index)).mean())).fillna(0.0)
        never = ~week.isin(week.reindex(series.index).unique())
        parts.append(pd.DataFrame({"unique_id": site, "ds": hours, "y": full.mask(never, 0.0).to_numpy()}))
    return pd.concat(parts, ignore_index=True)


def mstl(_: pd.DataFrame) -> Predictor:
    """MSTL of statsforecast, daily and weekly season, its documented trend forecaster AutoETS."""
    from statsforecast.models import MSTL

    return _local(lambda: MSTL(season_length=[24, 168]), LOCAL_HISTORY, 336)


def auto_ets(_: pd.DataFrame) -> Predictor:
    """AutoETS of statsforecast with a daily season, the longest that it estimates."""
    from statsforecast.models import AutoETS

    return _local(lambda: AutoETS(season_length=24), AUTO_ETS_HISTORY, 48)


def _local(model: Callable[[], object], history: pd.Timedelta, shortest: int) -> Predictor:
    from statsforecast import StatsForecast
    from statsforecast.models import SeasonalNaive

    def predict(past: pd.DataFrame, origin: pd.Timestamp, horizon: int) -> pd.DataFrame:
        recent = past[past["ds"] >= origin - history]
        # A site opened yesterday has no season to decompose.
        long_enough = recent.groupby("unique_id")["y"].transform("size") > shortest
        parts = []
        for rows, chosen in ((recent[long_enough], model()), (recent[~long_enough], SeasonalNaive(24))):
            if len(rows):
                engine = StatsForecast(models=[chosen], freq="h", fallback_model=SeasonalNaive(24))
                parts.append(engine.forecast(df=rows, h=horizon).set_axis(["unique_id", "ds", "prediction"], axis=1))
        return pd.concat(parts)

    return predict


def mlforecast_lightgbm(fitted_on: pd.DataFrame) -> Predictor:
    """LightGBM through mlforecast, on absolute error."""
    import lightgbm

    return _mlforecast(
        lightgbm.LGBMRegressor(
            objective="mae", n_estimators=400, learning_rate=0.05, num_leaves=64, subsample=0.8, subsample_freq=1,
            colsample_bytree=0.8, n_jobs=1, random_state=7, verbosity=-1,
        ),
        fitted_on,
    )  # fmt: skip


def mlforecast_xgboost(fitted_on: pd.DataFrame) -> Predictor:
    """XGBoost through mlforecast, on absolute error."""
    import xgboost

    return _mlforecast(
        xgboost.XGBRegressor(
            objective="reg:absoluteerror", n_estimators=400, learning_rate=0.05, max_depth=7, subsample=0.8,
            colsample_bytree=0.8, n_jobs=1, random_state=7,
        ),
        fitted_on,
    )  # fmt: skip


def _mlforecast(model: object, fitted_on: pd.DataFrame) -> Predictor:
    from mlforecast import MLForecast
    from mlforecast.lag_transforms import ExponentiallyWeightedMean, RollingMean, SeasonalRollingMean
    from mlforecast.target_transforms import LocalStandardScaler

    def build(weekly: bool) -> MLForecast:
        lags = [1, 2, 3, 24, 48, 72, 96, 120, 144, *((168, 336) if weekly else ())]
        transforms: dict[int, list[object]] = {
            1: [RollingMean(3)],
            24: [RollingMean(24), RollingMean(72)],
            48: [ExponentiallyWeightedMean(0.3)],
        }
        if weekly:
            transforms[168] = [SeasonalRollingMean(season_length=168, window_size=4, min_samples=1)]
        return MLForecast(
            models={"prediction": model},
            freq="h",
            lags=lags,
            lag_transforms=transforms,
            date_features=["hour", "dayofweek"],
            target_transforms=[LocalStandardScaler()],
        )

    lengths = fitted_on.groupby("unique_id")["y"].size()
    engine = build(weekly=bool(lengths.median() > 24 * 21))
    # A year of hours says what there is to say; a panel of many sites then still fits into minutes.
    engine.fit(fitted_on[fitted_on["ds"] >= fitted_on["ds"].max() - pd.Timedelta(weeks=53)])

    def predict(past: pd.DataFrame, origin: pd.Timestamp, horizon: int) -> pd.DataFrame:
        return engine.predict(h=horizon, new_df=past[past["ds"] >= origin - LAG_HISTORY])

    return predict


def hist_gradient_boosting(fitted_on: pd.DataFrame) -> Predictor:
    """scikit-learn HistGradientBoosting on absolute error: one direct model, lags beyond the horizon, sites scaled."""
    from direct import fit_direct

    return fit_direct(fitted_on)


METHODS: dict[str, Callable[[pd.DataFrame], Predictor]] = {
    "mstl": mstl,
    "auto_ets": auto_ets,
    "mlforecast_lightgbm": mlforecast_lightgbm,
    "mlforecast_xgboost": mlforecast_xgboost,
    "hist_gradient_boosting": hist_gradient_boosting,
}


def predictions(method: str, panel: pd.DataFrame, origins: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The forecasts of each origin in turn."""
    predictor: Predictor | None = None
    fitted_at = pd.Timestamp.min
    started = time.monotonic()
    for origin, horizon in origins.itertuples(index=False):
        past = regular(panel[panel["ds"] < origin], origin)
        if predictor is None or origin - fitted_at >= REFIT_EVERY:
            predictor, fitted_at = METHODS[method](past), origin
        found = predictor(past, origin, int(horizon))
        yield found.rename(columns={"unique_id": "site_id"}).assign(
            origin=origin, prediction=np.maximum(found["prediction"].to_numpy(), 0)
        )
    sys.stderr.write(f"  {method}: {len(origins)} origins, {time.monotonic() - started:.0f} s\n")


if __name__ == "__main__":
    method, panel_path, origins_path, out_path = sys.argv[1:]
    tidy = pd.read_parquet(panel_path).rename(columns={"site_id": "unique_id"})
    every = list(predictions(method, tidy, pd.read_parquet(origins_path)))
    pd.concat(every)[["site_id", "origin", "ds", "prediction"]].to_parquet(out_path, index=False)
