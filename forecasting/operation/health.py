"""How a champion would have done over the last week: its error beside baseline and profile, its band, its drift.

The champion is asked again from every local midnight of the last weeks, a day ahead, with what was known then. So it is
measured whoever spoke at the time, also while the profile stands in for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import psycopg

from forecasting.drift import CUSUM_LIMIT, cusum, population_stability, psi_limit
from forecasting.metrics import bias, coverage, wape
from forecasting.operation.champion import of_today, profile_model, readable

if TYPE_CHECKING:
    import pandas as pd

    from forecasting.model import ForecastModel
    from forecasting.panel import Floats
    from forecasting.store import DriftRow, Panel, StoredModel

WINDOW_DAYS, REFERENCE_DAYS = 7, 28
DAY_H = 24
# Fewer scored hours prove nothing.
MIN_HOURS = 72
LOWEST_COVERAGE, HIGHEST_COVERAGE = 0.70, 0.90
# Of the features, this share must have moved before it is called a drift: single ones always do.
MAX_PSI_SHARE = 0.2
# A day's total is never forecast better than to a few percent; less would make every small slip an alarm.
MIN_SIGMA = 0.03


@dataclass(frozen=True)
class Health:
    """One group's measurement and what it rests on.

    Attributes:
        row: what is stored.
        daily: by day, oldest first: `day, wape, baseline_wape, bias`.
    """

    row: DriftRow
    daily: pd.DataFrame


def measure(
    connection: psycopg.Connection, tenant_id: str, group: str, panel: Panel, now: datetime
) -> Health | None:
    """Measure a group's champion and store it; None where there is no champion or too little to measure it by."""
    from forecasting.store import load_champion, save_drift

    stored = load_champion(connection, tenant_id, group)
    model = readable(stored)
    if stored is None or model is None:
        return None
    health = examine(of_today(model, panel), stored, group, panel, now)
    if health is not None:
        save_drift(connection, tenant_id, health.row)
    return health


def examine(
    model: ForecastModel, stored: StoredModel, group: str, panel: Panel, now: datetime
) -> Health | None:
    """`measure` without a database."""
    from forecasting.store import DriftRow

    told = _told(model, panel, now)
    scored = told[told["value"].notna()]
    week = scored[scored["hour"] >= now - timedelta(days=WINDOW_DAYS)]
    if len(week) < MIN_HOURS or not week["value"].sum() > 0:
        return None
    actual = week["value"].to_numpy()
    ours, baseline, profile = (wape(actual, week[name].to_numpy()) for name in ("prediction", "baseline", "profile"))
    covered = coverage(actual, week["p10"].to_numpy(), week["p90"].to_numpy())
    daily = _daily(scored)
    shift = _shift(daily)
    moved = _moved(model, panel, now)
    is_worse = ours > baseline and ours > profile
    reasons = _reasons(ours, baseline, is_worse, covered, shift, moved)
    row = DriftRow(
        series_group=group, model_version=stored.model_version, measured_at=now,
        window_from=week["hour"].min().to_pydatetime(), window_to=now, hours=len(week), wape=ours,
        baseline_wape=baseline, profile_wape=profile, bias=bias(actual, week["prediction"].to_numpy()),
        coverage_80=covered, cusum=shift, psi_max=moved.largest, psi_feature=moved.feature, psi_share=moved.share,
        is_worse_than_baseline=is_worse, reasons=reasons,
    )  # fmt: skip
    return Health(row, daily)


@dataclass(frozen=True)
class _Moved:
    largest: float
    feature: str | None
    share: float


def _origins(panel: Panel, now: datetime, days: int) -> list[pd.Timestamp]:
    """The last local midnights, oldest first, on the clock that most series share."""
    import pandas as pd

    zones = list(panel.tz.values())
    zone = max(sorted(set(zones)), key=zones.count)
    today = pd.Timestamp(now).tz_convert(zone).normalize()
    return [(today - pd.DateOffset(days=back)).tz_convert("UTC") for back in range(days, 0, -1)]


def _told(model: ForecastModel, panel: Panel, now: datetime) -> pd.DataFrame:
    """What champion, baseline and profile said a day ahead, beside what happened."""
    import pandas as pd

    plain = profile_model(panel)
    hours = panel.hours.astype({"site_id": str})
    observed = hours.loc[~hours["is_imputed"], ["site_id", "hour", "value"]]
    parts = []
    for origin in _origins(panel, now, WINDOW_DAYS + REFERENCE_DAYS):
        if origin <= hours["hour"].min() + pd.Timedelta(days=7):
            continue
        said = model.predict(hours, origin=origin, horizon=DAY_H)
        said["profile"] = plain.predict(hours, origin=origin, horizon=DAY_H)["prediction"]
        parts.append(said.merge(observed, on=["site_id", "hour"], how="left"))
    return pd.concat(parts, ignore_index=True) if parts else observed.iloc[:0].assign(prediction=0.0)


def _daily(scored: pd.DataFrame) -> pd.DataFrame:
    """One row for each origin's day: relative residual of the day's total, and both errors."""
    import pandas as pd

    rows = [
        {
            "day": origin,
            "wape": wape(day["value"].to_numpy(), day["prediction"].to_numpy()),
            "baseline_wape": wape(day["value"].to_numpy(), day["baseline"].to_numpy()),
            "bias": bias(day["value"].to_numpy(), day["prediction"].to_numpy()),
        }
        for origin, day in scored.groupby("origin")
        if day["value"].sum() > 0
    ]
    return pd.DataFrame(rows, columns=["day", "wape", "baseline_wape", "bias"])


def _shift(daily: pd.DataFrame) -> float:
    """CUSUM of the last week's daily residuals, against how they swung in the weeks before."""
    residual = daily["bias"].to_numpy()
    before, week = residual[:-WINDOW_DAYS], residual[-WINDOW_DAYS:]
    if len(before) < WINDOW_DAYS:
        return float("nan")
    # The median of absolute deviations, so that one holiday does not hide a shift.
    sigma = 1.4826 * float(np.median(np.abs(before)))
    return cusum(week, max(sigma, MIN_SIGMA))


def _moved(model: ForecastModel, panel: Panel, now: datetime) -> _Moved:
    """How the features of the last week stand against those of the four weeks before."""
    from forecasting.features import NAMES

    origins = _origins(panel, now, WINDOW_DAYS + REFERENCE_DAYS)
    reference = _features(model, panel, origins[:REFERENCE_DAYS])
    current = _features(model, panel, origins[REFERENCE_DAYS:])
    if not len(reference) or not len(current):
        return _Moved(float("nan"), None, float("nan"))
    index = population_stability(reference, current)
    # Hours of one day and site say the same thing over and over: a case is a site's day.
    limit = psi_limit(len(reference) // DAY_H, len(current) // DAY_H)
    largest = int(index.argmax())
    return _Moved(float(index[largest]), NAMES[largest], float((index > limit).mean()))


def _features(model: ForecastModel, panel: Panel, origins: list[pd.Timestamp]) -> Floats:
    """The feature rows of a day ahead from each origin, all sites."""
    from forecasting.features import NAMES
    from forecasting.panel import build_panel

    parts: list[Floats] = []
    for origin in origins:
        data = build_panel(panel.hours, until=origin)
        if data.values.shape[1] < WINDOW_DAYS * DAY_H:
            continue
        for zone in model.zones(data):
            hours = origin.value + 3_600_000_000_000 * np.arange(DAY_H, dtype=np.int64)
            snapshot = zone.snapshot(origin.value)
            day, hour = zone.grid.cells(hours)
            site = np.repeat(np.arange(len(zone.grid.rows)), DAY_H)
            ahead, local = np.tile(day - snapshot.day, len(zone.grid.rows)), np.tile(hour, len(zone.grid.rows))
            parts.append(zone.features(snapshot, origin.value, site, ahead, local))
    return np.concatenate(parts) if parts else np.empty((0, len(NAMES)), dtype=np.float32)


def _reasons(
    ours: float, baseline: float, is_worse: bool, covered: float, shift: float, moved: _Moved
) -> list[str]:
    reasons = []
    if is_worse:
        reasons.append(f"worse than the baseline: WAPE {ours:.1%} against {baseline:.1%} over the last week")
    if not LOWEST_COVERAGE <= covered <= HIGHEST_COVERAGE:
        reasons.append(f"the 80 % band covers {covered:.0%}")
    if shift > CUSUM_LIMIT:
        reasons.append(f"forecasts lean to one side: CUSUM {shift:.1f}, at most {CUSUM_LIMIT:.0f} is chance")
    if moved.share > MAX_PSI_SHARE:
        reasons.append(f"the input has moved: {moved.share:.0%} of the features, most of all {moved.feature}")
    return reasons
