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
from forecasting.local_grid import earlier_midnight_ns, local_midnight_ns
from forecasting.metrics import bias, coverage, wape
from forecasting.operation.champion import of_today, readable
from forecasting.panel import HOUR_NS, Floats, Ints

if TYPE_CHECKING:
    import pandas as pd

    from forecasting.model import ForecastModel
    from forecasting.panel import Panel as GridPanel
    from forecasting.store import DriftRow, Panel
    from forecasting.training_rows import Zone

WINDOW_DAYS, REFERENCE_DAYS = 7, 28
DAY_H = 24
MIN_HISTORY_DAYS = 14
MAD_TO_SIGMA = 1.4826
# Fewer scored hours prove nothing.
MIN_HOURS = 72
# By how much the band's coverage may miss: more where few series prove little, two cases a day each.
COVERAGE, COVERAGE_SLACK, CASES_PER_DAY = 0.8, 0.10, 2
# A week is short: only a champion this much worse than the baseline is called worse.
MIN_LOSS = 0.05
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


def measure(connection: psycopg.Connection, tenant_id: str, group: str, panel: Panel, now: datetime) -> Health | None:
    """Measure a group's champion and store it; None where there is no champion or too little to measure it by."""
    from forecasting.store import load_champion, save_drift

    stored = load_champion(connection, tenant_id, group)
    model = readable(stored)
    if stored is None or model is None:
        return None
    health = examine(of_today(model, panel), stored.model_version, group, panel, now)
    if health is not None:
        save_drift(connection, tenant_id, health.row)
    return health


def examine(model: ForecastModel, model_version: str, group: str, panel: Panel, now: datetime) -> Health | None:
    """`measure` without a database."""
    from forecasting.store import DriftRow

    replay = _replay(model, panel, now)
    week = replay.days[-WINDOW_DAYS:]
    actual, said, low, high, baseline, profile = (
        np.concatenate([getattr(day, name) for day in week] or [np.empty(0)])
        for name in ("actual", "prediction", "p10", "p90", "baseline", "profile")
    )
    hours = int(np.isfinite(actual).sum())
    if hours < MIN_HOURS or not np.nansum(actual) > 0:
        return None
    errors = wape(actual, said), wape(actual, baseline), wape(actual, profile)
    covered, shift, moved = coverage(actual, low, high), _shift(replay.days), _moved(replay)
    is_worse = errors[0] > (1 + MIN_LOSS) * errors[1] and errors[0] > errors[2]
    row = DriftRow(
        series_group=group, model_version=model_version, measured_at=now,
        window_from=now - timedelta(days=WINDOW_DAYS), window_to=now, hours=hours, wape=errors[0],
        baseline_wape=errors[1], profile_wape=errors[2], bias=bias(actual, said), coverage_80=covered, cusum=shift,
        psi_max=moved.largest, psi_feature=moved.feature, psi_share=moved.share, is_worse_than_baseline=is_worse,
        reasons=_reasons(errors, is_worse, covered, replay.series, shift, moved),
    )  # fmt: skip
    return Health(row, _daily(replay.days))


@dataclass(frozen=True)
class _Day:
    """What was said from one local midnight about the day that followed, beside what happened; all flat."""

    origin_ns: int
    actual: Floats
    prediction: Floats
    p10: Floats
    p90: Floats
    baseline: Floats
    profile: Floats
    features: Floats

    @property
    def bias(self) -> float:
        """Relative residual of the day's total."""
        return bias(self.actual, self.prediction)


@dataclass(frozen=True)
class _Replay:
    """The days replayed, oldest first, and the number of series."""

    days: list[_Day]
    series: int


@dataclass(frozen=True)
class _Moved:
    largest: float
    feature: str | None
    share: float


def _replay(model: ForecastModel, panel: Panel, now: datetime) -> _Replay:
    """Ask champion, baseline and profile again, a day ahead from the last local midnights."""
    import pandas as pd

    from forecasting.panel import build_panel

    data = build_panel(panel.hours, until=pd.Timestamp(now))
    zones = model.zones(data)
    first = data.first_hour_ns + MIN_HISTORY_DAYS * DAY_H * HOUR_NS
    origins = [origin for origin in local_midnights(zones[0].grid.tz, now) if origin >= first]
    return _Replay([_day(model, data, zones, origin) for origin in origins], len(data.sites))


def local_midnights(tz: str, now: datetime) -> list[int]:
    """The local midnights from which a whole day is over, oldest first."""
    today = local_midnight_ns(int(now.timestamp()) // 3600 * HOUR_NS, tz)
    return [earlier_midnight_ns(today, tz, back) for back in range(WINDOW_DAYS + REFERENCE_DAYS, 0, -1)]


def _day(model: ForecastModel, data: GridPanel, zones: list[Zone], origin_ns: int) -> _Day:
    from forecasting import scoring
    from forecasting.model import BASELINE

    hours = origin_ns + HOUR_NS * np.arange(DAY_H, dtype=np.int64)
    happened = data.at(hours).astype(np.float64)
    parts: list[tuple[Floats, ...]] = []
    for zone in zones:
        ours = scoring.score(zone, origin_ns, DAY_H, model.residual, model.bands)
        plain = scoring.score(zone, origin_ns, DAY_H, None, model.bands)
        table = (happened[zone.grid.rows], ours.prediction, ours.p10, ours.p90, ours.baseline[BASELINE])
        parts.append((*(part.ravel() for part in (*table, plain.prediction)), _features(zone, origin_ns, hours)))
    return _Day(origin_ns, *(np.concatenate(column) for column in zip(*parts, strict=True)))


def _features(zone: Zone, origin_ns: int, hours_ns: Ints) -> Floats:
    """The feature rows of a day ahead, every site."""
    snapshot = zone.snapshot(origin_ns)
    day, hour = zone.grid.cells(hours_ns)
    sites = len(zone.grid.rows)
    ahead, local = np.tile(day - snapshot.day, sites), np.tile(hour, sites)
    return zone.features(snapshot, origin_ns, np.repeat(np.arange(sites), DAY_H), ahead, local)


def _daily(days: list[_Day]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        {
            "day": pd.to_datetime([day.origin_ns for day in days], utc=True),
            "wape": [wape(day.actual, day.prediction) for day in days],
            "baseline_wape": [wape(day.actual, day.baseline) for day in days],
            "bias": [day.bias for day in days],
        }
    )


def _shift(days: list[_Day]) -> float:
    """CUSUM of the last week's daily residuals, against how they swung in the weeks before."""
    residual = np.array([day.bias for day in days])
    before, week = residual[:-WINDOW_DAYS], residual[-WINDOW_DAYS:]
    before, week = before[np.isfinite(before)], week[np.isfinite(week)]
    if len(before) < WINDOW_DAYS:
        return float("nan")
    # The median of absolute deviations, so that one holiday does not hide a shift.
    return cusum(week, max(MAD_TO_SIGMA * float(np.median(np.abs(before))), MIN_SIGMA))


def _moved(replay: _Replay) -> _Moved:
    """How the features of the last week stand against those of the four weeks before."""
    from forecasting.features import NAMES

    before, week = replay.days[:-WINDOW_DAYS], replay.days[-WINDOW_DAYS:]
    if len(before) < WINDOW_DAYS:
        return _Moved(float("nan"), None, float("nan"))
    index = population_stability(*(np.concatenate([day.features for day in days]) for days in (before, week)))
    # Hours of one day and site say the same thing over and over: a case is a site's day.
    limit = psi_limit(len(before) * replay.series, len(week) * replay.series)
    largest = int(index.argmax())
    return _Moved(float(index[largest]), NAMES[largest], float((index > limit).mean()))


def _reasons(
    errors: tuple[float, float, float], is_worse: bool, covered: float, series: int, shift: float, moved: _Moved
) -> list[str]:
    reasons = []
    if is_worse:
        reasons.append(f"worse than the baseline: WAPE {errors[0]:.1%} against {errors[1]:.1%} over the last week")
    chance = 2 * float(np.sqrt(COVERAGE * (1 - COVERAGE) / (CASES_PER_DAY * WINDOW_DAYS * series)))
    if abs(covered - COVERAGE) > max(COVERAGE_SLACK, chance):
        reasons.append(f"the 80 % band covers {covered:.0%}")
    if shift > CUSUM_LIMIT:
        reasons.append(f"forecasts lean to one side: CUSUM {shift:.1f}, at most {CUSUM_LIMIT:.0f} is chance")
    if moved.share > MAX_PSI_SHARE:
        reasons.append(f"the input has moved: {moved.share:.0%} of the features, most of all {moved.feature}")
    return reasons
