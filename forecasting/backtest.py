"""Rolling-origin backtest: at every origin only what was known then, the champion beside the baselines.

The model is trained before the first origin and again every week, unless told otherwise; profile, levels and lags are
taken afresh at every origin, as in operation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from forecasting import baselines, metrics, scoring
from forecasting.events import Events
from forecasting.local_grid import DAY_HOURS, earlier_midnight_ns, local_midnight_ns
from forecasting.model import ForecastModel, train_panel
from forecasting.panel import HOUR_NS, Floats, Ints, Panel, PanelError, build_panel, zones

if TYPE_CHECKING:
    import pandas as pd

CHAMPION = "champion"
METHODS = (CHAMPION, *baselines.NAMES)
REFIT_EVERY_H = 168
MIN_HISTORY_H = 168
# Even a model for the next hour learns from two days ahead: more rows, and the same model as in operation.
MIN_TRAINED_H = 48


@dataclass(frozen=True)
class BacktestResult:
    """What was forecast, and how well.

    Attributes:
        predictions: `site_id, origin, hour, horizon_h, prediction, p10, p90, method, value` and one column for each
            baseline; every site × origin × hour, `value` NaN where nothing was observed.
        summary: one row for each method: `method, wape, mase, mae, rmse, bias, median_site_wape, coverage, pinball,
            hours`. WAPE, bias and coverage are fractions; coverage and pinball only for the champion.
        model_version: version of the last model trained.
    """

    predictions: pd.DataFrame
    summary: pd.DataFrame
    model_version: str


def run(
    panel: pd.DataFrame, *, tz: str | Mapping[str, str], horizon: int, origins: int, every: pd.Timedelta | None = None,
    calendar: pd.DataFrame | Events | None = None, groups: Mapping[str, str] | None = None, seed: int = 7,
    refit_every: pd.Timedelta | None = None, progress: Callable[[int, int], None] | None = None,
) -> BacktestResult:  # fmt: skip
    """Forecast from several past origins and compare with what happened.

    Args:
        panel: as for `model.train`.
        tz: IANA time zone of all sites, or of each.
        horizon: hours ahead.
        origins: how many origins; the last is the latest whose horizon ends within the data.
        every: distance between origins, whole hours, by default 24 h. A multiple of 24 h keeps origins at local
            midnight of the zone that most sites share.
        calendar: as for `model.train`.
        groups: as for `model.train`.
        seed: as for `model.train`.
        refit_every: how long a model serves before the next is trained, by default a week.
        progress: called with (origins done, origins in all).

    Raises:
        PanelError: the panel cannot be used, or is too short for so many origins.
    """
    data = build_panel(panel)
    step = _step_h(every)
    refit_ns = REFIT_EVERY_H * HOUR_NS if refit_every is None else refit_every.value
    by_zone = zones(data.sites, tz)
    main_tz = max(sorted(by_zone), key=lambda name: len(by_zone[name]))
    starts = origin_instants(data, main_tz, horizon, origins, step)
    events = Events.from_frame(calendar)
    zone_names: str | dict[str, str] = tz if isinstance(tz, str) else dict(tz)
    model: ForecastModel | None = None
    trained_at = 0
    parts = []
    for number, origin in enumerate(starts):
        # Local midnights a week apart may be an hour or two nearer: daylight saving.
        if model is None or origin - trained_at > refit_ns - 2 * HOUR_NS:
            model = train_panel(
                _before(data, origin), zone_names, dict(groups or {}), events, seed, max(horizon, MIN_TRAINED_H)
            )
            trained_at = origin
            laid_out = model.zones(data)
        for zone in laid_out:
            parts.append((origin, zone.grid.rows, scoring.score(zone, origin, horizon, model.residual, model.bands)))
        if progress is not None:
            progress(number + 1, len(starts))
    arrays = _stacked(data, parts, horizon)
    naive = metrics.seasonal_naive_mae(_before(data, starts[0]).values)
    assert model is not None
    return BacktestResult(_predictions(data, arrays), _summary(arrays, naive), model.version)


def origin_instants(panel: Panel, tz: str, horizon: int, origins: int, step_h: int) -> list[int]:
    """The origins, ascending, UTC nanoseconds.

    Raises:
        PanelError: the panel is too short.
    """
    if origins < 1 or horizon < 1:
        raise PanelError("horizon and origins must be at least 1")
    last = panel.end_ns - horizon * HOUR_NS
    daily = step_h % DAY_HOURS == 0
    if daily:
        last = local_midnight_ns(last, tz)
    starts = []
    for back in range(origins):
        at = last - back * step_h * HOUR_NS
        starts.append(earlier_midnight_ns(last, tz, back * step_h // DAY_HOURS) if daily else at)
    starts.reverse()
    need = panel.first_hour_ns + MIN_HISTORY_H * HOUR_NS
    if starts[0] < need:
        have = (panel.end_ns - panel.first_hour_ns) // (HOUR_NS * DAY_HOURS)
        wanted = (MIN_HISTORY_H + horizon + (origins - 1) * step_h) / DAY_HOURS
        raise PanelError(
            f"column 'hour' spans {have} days; {origins} origins every {step_h} h with {horizon} h ahead need "
            f"{wanted:.0f} days and more (a week of history before the first origin); ask for fewer origins"
        )
    return starts


def _step_h(every: pd.Timedelta | None) -> int:
    if every is None:
        return DAY_HOURS
    seconds = every.total_seconds()
    if seconds < 3600 or seconds % 3600:
        raise PanelError(f"every must be whole hours, not {every}")
    return int(seconds // 3600)


def _before(panel: Panel, origin_ns: int) -> Panel:
    """The panel cut at an origin."""
    width = max(panel.column(origin_ns), 0)
    capacity = None if panel.capacity is None else panel.capacity[:, :width]
    return Panel(panel.sites, panel.first_hour_ns, panel.values[:, :width], capacity)


def _stacked(panel: Panel, parts: list[tuple[int, Ints, scoring.Scores]], horizon: int) -> dict[str, Any]:
    """Everything as [site, origin × hour], origins ascending."""
    starts = sorted({origin for origin, _, _ in parts})
    place = {origin: number * horizon for number, origin in enumerate(starts)}
    width = len(starts) * horizon
    names = ("prediction", "p10", "p90", *baselines.NAMES)
    arrays: dict[str, Any] = {name: np.full((len(panel.sites), width), np.nan) for name in names}
    arrays["method"] = np.zeros((len(panel.sites), width), dtype=np.int64)
    for origin, rows, scores in parts:
        columns = slice(place[origin], place[origin] + horizon)
        for name in ("prediction", "p10", "p90", "method"):
            arrays[name][rows, columns] = getattr(scores, name)
        for name in baselines.NAMES:
            arrays[name][rows, columns] = scores.baseline[name]
    arrays["origin_ns"] = np.repeat(np.array(starts, dtype=np.int64), horizon)
    arrays["hour_ns"] = arrays["origin_ns"] + HOUR_NS * np.tile(np.arange(horizon, dtype=np.int64), len(starts))
    arrays["value"] = panel.at(arrays["hour_ns"]).astype(np.float64)
    arrays["horizon_h"] = np.tile(np.arange(1, horizon + 1), len(starts))
    return arrays


def _predictions(panel: Panel, arrays: dict[str, Any]) -> pd.DataFrame:
    import pandas as pd

    sites = len(panel.sites)

    def instants(name: str) -> pd.DatetimeIndex:
        return pd.DatetimeIndex(np.tile(arrays[name], sites).astype("datetime64[ns]")).tz_localize("UTC")

    columns: dict[str, Any] = {
        "site_id": np.repeat(np.array(panel.sites, dtype=object), len(arrays["hour_ns"])),
        "origin": instants("origin_ns"),
        "hour": instants("hour_ns"),
        "horizon_h": np.tile(arrays["horizon_h"], sites),
        **{name: arrays[name].ravel() for name in ("prediction", "p10", "p90")},
        "method": scoring.METHODS[arrays["method"].ravel()],
        "value": arrays["value"].ravel(),
        **{name: arrays[name].ravel() for name in baselines.NAMES},
    }
    return pd.DataFrame(columns)


def _summary(arrays: dict[str, Any], naive_mae: Floats) -> pd.DataFrame:
    import pandas as pd

    actual = arrays["value"]
    rows = []
    for method in METHODS:
        predicted = arrays["prediction" if method == CHAMPION else method]
        row: dict[str, Any] = {
            "method": method,
            "wape": metrics.wape(actual, predicted),
            "mase": metrics.mase(actual, predicted, naive_mae),
            "mae": metrics.mae(actual, predicted),
            "rmse": metrics.rmse(actual, predicted),
            "bias": metrics.bias(actual, predicted),
            "median_site_wape": _median_site_wape(actual, predicted),
            "coverage": float("nan"),
            "pinball": float("nan"),
            "hours": int((np.isfinite(actual) & np.isfinite(predicted)).sum()),
        }
        if method == CHAMPION:
            row["coverage"] = metrics.coverage(actual, arrays["p10"], arrays["p90"])
            ends = [metrics.pinball(actual, arrays["p10"], 0.1), metrics.pinball(actual, arrays["p90"], 0.9)]
            row["pinball"] = float(np.mean(ends))
        rows.append(row)
    return pd.DataFrame(rows)


def _median_site_wape(actual: Floats, predicted: Floats) -> float:
    per_site = [metrics.wape(actual[row], predicted[row]) for row in range(len(actual))]
    finite = [value for value in per_site if np.isfinite(value)]
    return float(np.median(finite)) if finite else float("nan")
