"""Who speaks for a group of series: its champion, or the weekly profile where there is none that can be trusted."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from forecasting.model import ForecastModel
    from forecasting.store import Panel, StoredModel

log = logging.getLogger(__name__)

# A champion that learnt from nothing newer than this no longer speaks; the profile does.
CHAMPION_MAX_AGE = timedelta(days=90)
# What was measured longer ago says nothing about the champion of today.
DRIFT_MAX_AGE = timedelta(days=3)
PROFILE_VERSION = "profile"


@dataclass(frozen=True)
class Speaker:
    """The model that forecasts a group now.

    Attributes:
        model_version: the champion's, or PROFILE_VERSION.
        model: the model, with the calendar of today.
        fallback: why the profile stands in for a champion, in words; None where the champion speaks.
    """

    model_version: str
    model: ForecastModel
    fallback: str | None = None


def speaker(connection: psycopg.Connection, tenant_id: str, group: str, panel: Panel, now: datetime) -> Speaker:
    """The champion, unless it is missing, too old, unreadable, or found worse than the baseline."""
    from forecasting.store import latest_drift, load_champion

    champion = load_champion(connection, tenant_id, group)
    if champion is None:
        return _profile(panel, "no model has been trained yet")
    age = now - champion.trained_to
    if age > CHAMPION_MAX_AGE:
        return _profile(panel, f"the champion {champion.model_version} learnt from nothing newer than "
                        f"{age.days} days ago")  # fmt: skip
    model = readable(champion)
    if model is None:
        return _profile(panel, f"the champion {champion.model_version} was made by another version")
    drift = latest_drift(connection, tenant_id, group, champion.model_version, since=now - DRIFT_MAX_AGE)
    if drift is not None and drift.is_worse_than_baseline:
        return _profile(panel, f"the champion {champion.model_version} was worse than the baseline over the "
                        f"last week (WAPE {drift.wape:.1%} against {drift.baseline_wape:.1%})")  # fmt: skip
    return Speaker(champion.model_version, of_today(model, panel))


def readable(stored: StoredModel | None) -> ForecastModel | None:
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


def profile_model(panel: Panel) -> ForecastModel:
    """The weekly profile alone, as a model: nothing is learnt, the band is a typical one."""
    import numpy as np

    from forecasting.intervals import calibrate
    from forecasting.model import ForecastModel

    nothing = np.empty(0)
    no_hours = nothing.astype(np.int64)
    bands = calibrate(nothing, nothing, nothing, no_hours, no_hours)
    return ForecastModel(None, bands, dict(panel.tz), dict(panel.groups), panel.events)


def _profile(panel: Panel, why: str) -> Speaker:
    log.warning("the weekly profile speaks: %s", why)
    return Speaker(PROFILE_VERSION, profile_model(panel), why)


def of_today(model: ForecastModel, panel: Panel) -> ForecastModel:
    """The model with what is known now of calendar, time zones and groups; what it learnt stays."""
    tz = model.tz if isinstance(model.tz, str) else {**model.tz, **panel.tz}
    return replace(model, events=panel.events, tz=tz, groups={**model.groups, **panel.groups})
