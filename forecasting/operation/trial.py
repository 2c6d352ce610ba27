"""The trial of a new model: its recipe's backtest, the champion over the same hours, and what followed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import psycopg

from forecasting.operation.champion import DRIFT_MAX_AGE, readable
from forecasting.operation.comparison import compare
from forecasting.operation.promotion import Decision, decide, first
from forecasting.operation.training import HORIZON_H

if TYPE_CHECKING:
    import pandas as pd

    from forecasting.model import ForecastModel
    from forecasting.store import Panel, StoredModel

# Eight weekly origins, each with a training of its own, where a champion's place is at stake. The first model only has
# its errors measured, from seven midnights of one week with one training.
ORIGINS, EVERY_H = 8, 168
FIRST_ORIGINS, FIRST_EVERY_H = 7, 24
# Two weeks to learn from before the first origin.
WARM_UP_DAYS = 14
# Hours that the champion had learnt from favour it; with this many origins after them, only those count.
MIN_UNKNOWN_ORIGINS = 2


@dataclass(frozen=True)
class Trial:
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
class _Champion:
    stored: StoredModel
    model: ForecastModel
    drifts: bool


def judge(
    connection: psycopg.Connection, tenant_id: str, group: str, panel: Panel, model_version: str, now: datetime
) -> Trial:
    """Backtest a registered model's recipe, compare it with the champion, promote or reject it and record why."""
    from forecasting.store import promote, reject, save_backtests

    champion = _champion(connection, tenant_id, group, now)
    trial = _try(panel, champion, model_version)
    if trial.summary is not None:
        save_backtests(connection, tenant_id, model_version, _rows(trial))
    if champion is None or champion.stored.model_version != model_version:
        settle = promote if trial.decision.promoted else reject
        settle(connection, tenant_id, model_version, decision=trial.decision.record(), now=now)
    return trial


def _champion(connection: psycopg.Connection, tenant_id: str, group: str, now: datetime) -> _Champion | None:
    from forecasting.store import latest_drift, load_champion

    stored = load_champion(connection, tenant_id, group)
    model = readable(stored)
    if stored is None or model is None:
        return None
    drift = latest_drift(connection, tenant_id, group, stored.model_version, since=now - DRIFT_MAX_AGE)
    return _Champion(stored, model, drift is not None and bool(drift.reasons))


def _try(panel: Panel, champion: _Champion | None, model_version: str) -> Trial:
    import pandas as pd

    from forecasting import backtest

    hours = panel.hours["hour"]
    days = int((hours.max() - hours.min()) / pd.Timedelta(days=1)) if len(hours) else 0
    wanted, every_h = (FIRST_ORIGINS, FIRST_EVERY_H) if champion is None else (ORIGINS, EVERY_H)
    origins = min(wanted, (24 * (days - WARM_UP_DAYS) - HORIZON_H) // every_h + 1)
    if origins < 1:
        return Trial(model_version, _decision(panel, champion, None, None))
    result = backtest.run(
        panel.hours, tz=panel.tz, groups=panel.groups, calendar=panel.events, horizon=HORIZON_H, origins=origins,
        every=pd.Timedelta(hours=every_h),
    )  # fmt: skip
    starts = result.predictions["origin"]
    return Trial(
        model_version,
        _decision(panel, champion, result.predictions, result.summary),
        result.summary,
        starts.min().to_pydatetime(),
        (starts.max() + pd.Timedelta(hours=HORIZON_H)).to_pydatetime(),
        origins,
    )


def _decision(
    panel: Panel, champion: _Champion | None, told: pd.DataFrame | None, summary: pd.DataFrame | None
) -> Decision:
    import pandas as pd

    if champion is None:
        rows = [] if summary is None else summary[summary["method"] == "champion"].to_dict("records")
        measured = {name: row[name] for row in rows for name in ("wape", "coverage")}
        return first("There is no champion to compare it with.", measured)
    trained_to = pd.Timestamp(champion.stored.trained_to)
    age = panel.hours["hour"].max().to_pydatetime() - champion.stored.trained_to
    comparison = None if told is None else compare(_beside(champion, panel, told), panel.tz, trained_to)
    return decide(comparison, age, champion_drifts=champion.drifts)


def _beside(champion: _Champion, panel: Panel, told: pd.DataFrame) -> pd.DataFrame:
    """What the new model told, and what the champion would have from the same origins."""
    import pandas as pd

    origins = told["origin"].unique()
    unknown = [origin for origin in origins if origin >= pd.Timestamp(champion.stored.trained_to)]
    parts = []
    for origin in unknown if len(unknown) >= MIN_UNKNOWN_ORIGINS else origins:
        rows = told[told["origin"] == origin]
        said = champion.model.predict(
            panel.hours, origin=pd.Timestamp(origin), horizon=HORIZON_H, sites=sorted(rows["site_id"].unique())
        )
        answers = {name: f"champion_{name}" for name in ("prediction", "p10", "p90")}
        parts.append(rows.merge(said[["site_id", "hour", *answers]].rename(columns=answers), on=["site_id", "hour"]))
    beside: pd.DataFrame = pd.concat(parts, ignore_index=True)
    return beside


def _rows(trial: Trial) -> list[dict[str, object]]:
    assert trial.summary is not None
    window = {
        "horizon_h": HORIZON_H,
        "origins": trial.origins,
        "window_from": trial.window_from,
        "window_to": trial.window_to,
    }
    return [
        {**window, **{name: row[name] for name in ("method", "wape", "mase", "bias")}, "coverage_80": row["coverage"]}
        for row in trial.summary.to_dict("records")
    ]
