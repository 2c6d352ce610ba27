"""Small pictures for the asset pages, as PNGs inside Markdown metadata."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_BLUE, _GREY, _DARK = "#2563eb", "#94a3b8", "#0f172a"
_SERIES = 4


def forecast_plot(predictions: pd.DataFrame, recent: pd.DataFrame) -> str:
    """The busiest series: what was seen, what is forecast with its 80 % band, and the baseline.

    Args:
        predictions: `site_id, hour, prediction, p10, p90, baseline`.
        recent: observed hours, `site_id, hour, value`.
    """
    from matplotlib.figure import Figure

    means = predictions.groupby("site_id", observed=True)["prediction"].mean()
    busiest = list(means.sort_values(ascending=False).index[:_SERIES])
    figure = Figure(figsize=(9, 1.7 * len(busiest)), layout="constrained")
    panes = figure.subplots(len(busiest), 1, sharex=True, squeeze=False)[:, 0]
    for pane, site in zip(panes, busiest, strict=True):
        ahead = predictions[predictions["site_id"] == site]
        # Hours without an observation are a gap in the line, not a slope.
        behind = recent[recent["site_id"] == site].set_index("hour")["value"].resample("h").mean()
        pane.fill_between(ahead["hour"], ahead["p10"], ahead["p90"], color=_BLUE, alpha=0.18, lw=0, label="80 % band")
        pane.plot(ahead["hour"], ahead["baseline"], color=_GREY, lw=0.9, label="four-week mean")
        pane.plot(ahead["hour"], ahead["prediction"], color=_BLUE, lw=1.3, label="forecast")
        pane.plot(behind.index, behind, color=_DARK, lw=1.3, label="observed")
        pane.set_title(site, fontsize=8, loc="left")
        _plain(pane)
    panes[0].legend(fontsize=7, ncols=4, frameon=False, loc="upper right")
    return _markdown(figure, "Forecast of the busiest series")


def backtest_plot(summary: pd.DataFrame) -> str:
    """WAPE of the model beside the baselines; shorter is better.

    Args:
        summary: `method, wape`.
    """
    from matplotlib.figure import Figure

    rows = summary.sort_values("wape", ascending=False)
    figure = Figure(figsize=(6, 0.45 * len(rows) + 0.5), layout="constrained")
    pane = figure.subplots()
    colours = [_BLUE if method == "champion" else _GREY for method in rows["method"]]
    names = ["this model" if method == "champion" else method.replace("_", " ") for method in rows["method"]]
    bars = pane.barh(names, rows["wape"] * 100, color=colours)
    pane.bar_label(bars, fmt="%.1f %%", fontsize=8, padding=3)
    pane.set_title("WAPE, a week ahead (shorter is better)", fontsize=9, loc="left")
    pane.margins(x=0.15)
    _plain(pane)
    return _markdown(figure, "WAPE against the baselines")


def gain_plot(numbers: Mapping[str, Any]) -> str:
    """What a new model gains over the champion, on the whole with its interval and by segment; right is better.

    Args:
        numbers: of a decision: `gain, gain_low, gain_high`, `segments` by name, `rule`.
    """
    from matplotlib.figure import Figure

    segments = dict(sorted(numbers["segments"].items(), key=lambda item: item[1]))
    figure = Figure(figsize=(7, 0.3 * len(segments) + 1.2), layout="constrained")
    pane = figure.subplots()
    pane.barh(list(segments), [gain * 100 for gain in segments.values()], color=_GREY, height=0.6)
    low, gain, high = (numbers[name] * 100 for name in ("gain_low", "gain", "gain_high"))
    pane.errorbar([gain], ["all hours"], xerr=[[gain - low], [high - gain]], fmt="o", color=_BLUE, capsize=4)
    pane.axvline(0, color=_DARK, lw=0.8)
    for edge in (numbers["rule"]["min_gain"], -numbers["rule"]["max_segment_loss"]):
        pane.axvline(edge * 100, color=_DARK, lw=0.8, ls=":")
    pane.set_title("WAPE saved against the champion, % (dotted: what is asked)", fontsize=9, loc="left")
    _plain(pane)
    return _markdown(figure, "Gain over the champion")


def drift_plot(daily: pd.DataFrame) -> str:
    """Error of the champion beside the baseline, day by day, and how far its totals were off.

    Args:
        daily: `day, wape, baseline_wape, bias`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.4), layout="constrained")
    errors, totals = figure.subplots(2, 1, sharex=True)
    errors.plot(daily["day"], daily["baseline_wape"] * 100, color=_GREY, lw=1.0, label="four-week mean")
    errors.plot(daily["day"], daily["wape"] * 100, color=_BLUE, lw=1.4, label="champion")
    errors.set_title("WAPE, a day ahead, %", fontsize=8, loc="left")
    errors.legend(fontsize=7, ncols=2, frameon=False, loc="upper right")
    totals.bar(daily["day"], daily["bias"] * 100, color=_BLUE, width=0.7)
    totals.axhline(0, color=_DARK, lw=0.8)
    totals.set_title("the day's total forecast too high (+) or too low (−), %", fontsize=8, loc="left")
    for pane in (errors, totals):
        _plain(pane)
    return _markdown(figure, "The champion day by day")


def _plain(pane: object) -> None:
    pane.tick_params(labelsize=7)  # type: ignore[attr-defined]
    pane.spines[["top", "right"]].set_visible(False)  # type: ignore[attr-defined]


def _markdown(figure: Figure, title: str) -> str:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=90)
    return f"![{title}](data:image/png;base64,{base64.b64encode(picture.getvalue()).decode()})"
