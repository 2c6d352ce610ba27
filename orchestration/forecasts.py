"""Train, judge and predict for one tenant: `forecasting`'s parts in the order of the asset graph, without Dagster."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg

from orchestration.promotion import Decision, decide

if TYPE_CHECKING:
    import pandas as pd

    from forecasting.model import ForecastModel
    from forecasting.store import Panel, StoredModel

# XGBoost's threads wait for each other by spinning, which on a machine that also runs a broker and a database made
# training ten times as long. Read when the library loads, and only where nobody has set it.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

log = logging.getLogger(__name__)

HORIZON_H = 168
BACKTEST_ORIGINS = 7
# Two weeks to learn from before the first origin, one week ahead of the last.
MIN_BACKTEST_DAYS = 21
# Who has been silent for longer is closed or gone, and nobody waits for its forecast.
ACTIVE_WITHIN = timedelta(days=28)
# A champion that learnt from nothing newer than this no longer speaks; the profile does.
CHAMPION_MAX_AGE = timedelta(days=90)
# What a model looks back on when it predicts: 80 weeks and a margin.
LOOK_BACK = timedelta(weeks=84)
PROFILE_VERSION = "profile"


@dataclass(frozen=True)
class Backtest:
    """A backtest and what followed from it.

    Attributes:
        model_version: the model that was judged.
        decision: whether it was promoted, and why.
        summary: measures by method, as `forecasting.backtest` gives them; None where the history is too short.
        window_from: first origin.
        window_to: end of the last horizon.
        origins: how many.
    """

    model_version: str
    decision: Decision
    summary: pd.DataFrame | None = None
    window_from: datetime | None = None
    window_to: datetime | None = None
    origins: int = 0


@dataclass(frozen=True)
class Scored:
    """What was predicted for a tenant.

    Attributes:
        model_version: the champion's, or that of the profile standing in for it.
        predictions: as `ForecastModel.predict` gives them.
        recent: the observed hours of the last two days, `site_id, hour, value`.
        rows_added: how many were new in `forecast.occupancy_hourly`.
    """

    model_version: str
    predictions: pd.DataFrame
    recent: pd.DataFrame
    rows_added: int


def this_hour() -> datetime:
    """The start of the present hour: what lies before is known, what begins here is forecast."""
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


def train_challenger(connection: psycopg.Connection, tenant_id: str, panel: Panel) -> tuple[str, ForecastModel, bool]:
    """Train on the panel and register the model; return its version, the model, and whether it is a new one."""
    from forecasting.model import train
    from forecasting.store import save_model

    model = train(panel.hours, tz=panel.tz, groups=panel.groups)
    is_new = save_model(
        connection,
        tenant_id,
        model_version=model.version,
        artefact=model.to_bytes(),
        trained_from=datetime.fromisoformat(model.metadata["trained_from"]),
        trained_to=datetime.fromisoformat(model.metadata["trained_to"]),
        metadata=model.metadata,
    )
    return model.version, model, is_new


def needs_training(connection: psycopg.Connection, tenant_id: str, now: datetime, max_age: timedelta) -> bool:
    """Whether the tenant has no champion that can be read, or one that learnt from nothing newer than `max_age`."""
    from forecasting.store import champion_or_none

    return _readable(champion_or_none(connection, tenant_id, now=now, max_age=max_age)) is None


def judge(connection: psycopg.Connection, tenant_id: str, panel: Panel, model_version: str, now: datetime) -> Backtest:
    """Backtest a registered model's recipe, compare it with the champion, promote or reject it and record why."""
    from forecasting.store import load_champion, promote, reject, save_backtests

    champion = load_champion(connection, tenant_id)
    model = _readable(champion)
    age = panel.hours["hour"].max().to_pydatetime() - champion.trained_to if champion and model else None
    backtest = _backtest(panel, model, age, model_version)
    if backtest.summary is not None:
        save_backtests(connection, tenant_id, model_version, _rows(backtest))
    if champion is None or champion.model_version != model_version:
        settle = promote if backtest.decision.promoted else reject
        settle(connection, tenant_id, model_version, decision=backtest.decision.record(), now=now)
    return backtest


def score(connection: psycopg.Connection, tenant_id: str, origin: datetime) -> Scored | None:
    """Predict a week ahead for every series that is alive, and append it; None where there is none.

    The champion speaks; where there is none, or one too old or unreadable, the weekly profile does and says so.
    """
    import pandas as pd

    from forecasting.store import append_predictions, read_panel

    panel = read_panel(connection, tenant_id, since=origin - LOOK_BACK, until=origin)
    alive = panel.hours.loc[panel.hours["hour"] >= origin - ACTIVE_WITHIN, "site_id"].unique()
    if not len(alive):
        return None
    version, model = _speaker(connection, tenant_id, panel, origin)
    predictions = model.predict(
        panel.hours, origin=pd.Timestamp(origin), horizon=HORIZON_H, sites=sorted(str(site) for site in alive)
    )
    added = append_predictions(connection, tenant_id, version, predictions)
    recent = panel.hours.loc[panel.hours["hour"] >= origin - timedelta(hours=48), ["site_id", "hour", "value"]]
    return Scored(version, predictions, recent, added)


def _speaker(connection: psycopg.Connection, tenant_id: str, panel: Panel, now: datetime) -> tuple[str, ForecastModel]:
    from forecasting.store import champion_or_none

    champion = champion_or_none(connection, tenant_id, now=now, max_age=CHAMPION_MAX_AGE)
    model = _readable(champion)
    if champion is None or model is None:
        return PROFILE_VERSION, _profile_only(panel)
    return champion.model_version, model


def _readable(stored: StoredModel | None) -> ForecastModel | None:
    """The stored model, unless there is none or another version of the software made it."""
    from forecasting.artefact import ArtefactError
    from forecasting.model import ForecastModel

    if stored is None:
        return None
    try:
        return ForecastModel.from_bytes(stored.artefact)
    except ArtefactError as error:
        log.warning("model %s is of no use any more: %s", stored.model_version, error)
        return None


def _profile_only(panel: Panel) -> ForecastModel:
    import numpy as np

    from forecasting.events import Events
    from forecasting.intervals import calibrate
    from forecasting.model import ForecastModel

    nothing = np.empty(0)
    no_hours = nothing.astype(np.int64)
    bands = calibrate(nothing, nothing, nothing, no_hours, no_hours)
    return ForecastModel(None, bands, dict(panel.tz), dict(panel.groups), Events.from_frame(None))


def _backtest(panel: Panel, champion: ForecastModel | None, age: timedelta | None, model_version: str) -> Backtest:
    import pandas as pd

    from forecasting import backtest

    hours = panel.hours["hour"]
    days = int((hours.max() - hours.min()) / pd.Timedelta(days=1)) if len(hours) else 0
    origins = min(BACKTEST_ORIGINS, days - MIN_BACKTEST_DAYS)
    if origins < 1:
        return Backtest(model_version, decide(None, None, age))
    result = backtest.run(panel.hours, tz=panel.tz, groups=panel.groups, horizon=HORIZON_H, origins=origins)
    errors = dict(zip(result.summary["method"], result.summary["wape"].astype(float), strict=True))
    decision = decide(errors[backtest.CHAMPION], _wape_of(champion, panel, result.predictions), age)
    starts = result.predictions["origin"]
    return Backtest(
        model_version,
        decision,
        result.summary,
        starts.min().to_pydatetime(),
        (starts.max() + pd.Timedelta(hours=HORIZON_H)).to_pydatetime(),
        origins,
    )


def _wape_of(champion: ForecastModel | None, panel: Panel, told: pd.DataFrame) -> float | None:
    """The champion's WAPE over the hours of another backtest. It may have learnt from some, which favours it."""
    import pandas as pd

    from forecasting.metrics import wape

    if champion is None:
        return None
    parts = []
    for origin in told["origin"].unique():
        rows = told[told["origin"] == origin]
        said = champion.predict(
            panel.hours, origin=pd.Timestamp(origin), horizon=HORIZON_H, sites=sorted(rows["site_id"].unique())
        )
        parts.append(rows[["site_id", "hour", "value"]].merge(said, on=["site_id", "hour"]))
    both = pd.concat(parts)
    return wape(both["value"].to_numpy(), both["prediction"].to_numpy())


def _rows(backtest: Backtest) -> list[dict[str, object]]:
    assert backtest.summary is not None
    window = {
        "horizon_h": HORIZON_H,
        "origins": backtest.origins,
        "window_from": backtest.window_from,
        "window_to": backtest.window_to,
    }
    return [
        {**window, **{name: row[name] for name in ("method", "wape", "mase", "bias")}, "coverage_80": row["coverage"]}
        for row in backtest.summary.to_dict("records")
    ]
