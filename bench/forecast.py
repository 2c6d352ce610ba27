"""Forecast errors beside well-known libraries, one table: `make bench-forecast ARGS="--panel gym --protocol 24"`.

Every method forecasts the same hours from the same origins and is scored by the same code. The champion runs as
`plimsoll forecast backtest` runs it; the libraries run in their own environment (`peers/`).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from forecast_panels import PANELS, PanelSource
from forecast_peers import METHODS as PEERS
from forecast_peers import peer_forecasts
from rich.console import Console
from rich.table import Table

from forecasting import backtest, baselines, metrics

HOUR = pd.Timedelta(hours=1)
# As the peers do: a weekly refit of each of them would take a day.
REFIT_EVERY = pd.Timedelta(weeks=4)
BASELINES = ("seasonal_naive_24", *baselines.NAMES)
SHORT = {
    "champion": "champion", "seasonal_naive_24": "naive 24", "seasonal_naive_168": "naive 168",
    "dow_hour_mean": "dow × hour mean", "four_week_mean": "4-week mean", "mstl": "MSTL", "auto_ets": "AutoETS",
    "mlforecast_lightgbm": "mlforecast LightGBM", "mlforecast_xgboost": "mlforecast XGBoost",
    "hist_gradient_boosting": "HistGradientBoosting",
}  # fmt: skip


@dataclass(frozen=True)
class Protocol:
    """Where the origins lie and which hours are scored.

    Attributes:
        horizon: hours forecast from each origin.
        scored: rows of the table: hours ahead up to which errors count.
        step_h: hours between origins, before thinning.
        most: origins at most.
    """

    horizon: int
    scored: tuple[int, ...]
    step_h: int
    most: int


# Hourly origins are thinned to every seventh hour: that visits each hour of the day and each day of the week.
PROTOCOLS = {
    "24": Protocol(24, (24,), 24, 56),
    "168": Protocol(168, (168,), 24, 1),
    "hourly": Protocol(6, (1, 3, 6), 7, 60),
}
# The local models fit every site at every origin; thinning a row of many sites keeps the whole table within an hour.
SITE_ORIGINS = 120
FEWEST = {"24": 5, "168": 1, "hourly": 8}


def main() -> None:
    """Run what was asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--panel", action="append", choices=list(PANELS), help="default: all; may be repeated")
    parser.add_argument("--protocol", action="append", choices=list(PROTOCOLS), help="default: all; may be repeated")
    parser.add_argument("--peer", action="append", choices=[*PEERS, "none"], help="default: all; may be repeated")
    parser.add_argument("--markdown", type=Path, help="write the tables there as well")
    parser.add_argument("--csv", type=Path, help="write every figure of every method there")
    asked = parser.parse_args()
    console = Console(stderr=True)
    peers = [name for name in asked.peer or PEERS if name != "none"]
    parts = []
    for panel in asked.panel or PANELS:
        for protocol in asked.protocol or PROTOCOLS:
            console.print(f"{panel}, {protocol} …")
            parts.append(measured(PANELS[panel], protocol, peers))
            console.print(parts[-1].pivot(index="ahead", columns="method", values="wape").mul(100).round(2).to_string())
    figures = pd.concat(parts, ignore_index=True)
    if asked.csv:
        figures.to_csv(asked.csv, index=False)
    tables = [wape_table(figures), champion_table(figures)]
    for title, table in tables:
        _print(title, table)
    if asked.markdown:
        asked.markdown.write_text(_document(tables))


def measured(source: PanelSource, protocol: str, peers: list[str]) -> pd.DataFrame:
    """Every figure of every method, one row for each method and number of hours ahead."""
    panel = source.load()
    panel = panel[panel["hour"] < pd.Timestamp(source.scored_to, tz=source.tz)]
    chosen = PROTOCOLS[protocol]
    count, step = _spread(source, panel, protocol)
    result = backtest.run(
        panel, tz=source.tz, horizon=chosen.horizon, origins=count, every=step * HOUR, refit_every=REFIT_EVERY
    )
    frame = result.predictions.rename(columns={"prediction": backtest.CHAMPION, "method": "how"})
    frame["seasonal_naive_24"] = _daily_naive(panel, frame)
    origins = sorted(frame["origin"].unique())
    keys = pd.MultiIndex.from_frame(frame[["site_id", "origin", "hour"]])
    for peer in peers:
        frame[peer] = peer_forecasts(peer, panel, source.tz, origins, chosen.horizon).reindex(keys).to_numpy()
    # A site that opened after an origin is unknown to the libraries; what not all can forecast is scored for none.
    frame = frame.dropna(subset=["value", *peers])
    history = panel[panel["hour"] < origins[0]]
    return pd.concat(
        [_figures(source.name, ahead, frame[frame["horizon_h"] <= ahead], history, peers) for ahead in chosen.scored]
    )


def _spread(source: PanelSource, panel: pd.DataFrame, protocol: str) -> tuple[int, int]:
    """Number of origins and hours between them: all of the window, thinned evenly where there are many."""
    chosen = PROTOCOLS[protocol]
    end = panel["hour"].max() + HOUR
    window_h = int((end - pd.Timestamp(source.scored_from, tz=source.tz)) / HOUR) - chosen.horizon
    most = max(min(chosen.most, SITE_ORIGINS // panel["site_id"].nunique()), FEWEST[protocol])
    every = max(1, window_h // chosen.step_h // most)
    # Origins on one weekday only would measure that day.
    every += every % 7 == 0
    step = every * chosen.step_h
    return min(most, window_h // step + 1), step


def _daily_naive(panel: pd.DataFrame, frame: pd.DataFrame) -> np.ndarray:
    """The same hour of the newest day known at the origin, up to a week back; else the weekly naive forecast."""
    known = panel.set_index(["site_id", "hour"])["value"]
    back = -(-frame["horizon_h"] // 24)
    found = pd.Series(np.nan, index=frame.index)
    for more in range(7):
        when = frame["hour"] - pd.to_timedelta(24 * (back + more), unit="h")
        at = pd.MultiIndex.from_arrays([frame["site_id"], when])
        found = found.fillna(pd.Series(known.reindex(at).to_numpy(), index=frame.index))
    return found.fillna(frame["seasonal_naive_168"]).to_numpy()


def _figures(panel: str, ahead: int, frame: pd.DataFrame, history: pd.DataFrame, peers: list[str]) -> pd.DataFrame:
    naive = _weekly_naive_mae(history)
    day = frame["hour"].dt.floor("D")
    champion_errors = (frame["value"] - frame[backtest.CHAMPION]).abs().groupby(day).sum()
    rows = []
    for method in (backtest.CHAMPION, *BASELINES, *peers):
        actual, predicted = frame["value"].to_numpy(), frame[method].to_numpy()
        by_site = frame.assign(error=np.abs(actual - predicted)).groupby("site_id")
        sums = by_site[["error", "value"]].sum()
        scaled = (by_site["error"].mean() / naive).replace(np.inf, np.nan)
        errors = (frame["value"] - frame[method]).abs().groupby(day).sum()
        row = {
            "panel": panel, "ahead": ahead, "origins": frame["origin"].nunique(), "sites": len(sums),
            "hours": len(frame), "method": method,
            "wape": metrics.wape(actual, predicted), "mase": float(scaled.mean()),
            "champion_ratio_error": _ratio_error(champion_errors, errors),
            "bias": metrics.bias(actual, predicted),
            "median_site_wape": float((sums["error"] / sums["value"])[sums["value"] > 0].median()),
        }  # fmt: skip
        if method == backtest.CHAMPION:
            low, high = frame["p10"].to_numpy(), frame["p90"].to_numpy()
            row["coverage"] = metrics.coverage(actual, low, high)
            inside = pd.Series((low <= actual) & (actual <= high), index=frame.index).groupby(day)
            row["coverage_error"] = _ratio_error(inside.sum(), inside.count())
            row["pinball"] = (metrics.pinball(actual, low, 0.1) + metrics.pinball(actual, high, 0.9)) / 2
        rows.append(row)
    return pd.DataFrame(rows)


def _ratio_error(part: pd.Series, whole: pd.Series) -> float:
    """Standard error of Σ part / Σ whole, both by day: hours of one day, of all sites, are no independent witnesses.

    The linearised error of a ratio estimate with days as clusters (Cochran 1977, "Sampling Techniques", 6.3).
    """
    days = len(part)
    if days < 2:
        return float("nan")
    rest = part - part.sum() / whole.sum() * whole
    return float(np.sqrt(days / (days - 1) * (rest**2).sum()) / whole.sum())


def _weekly_naive_mae(history: pd.DataFrame) -> pd.Series:
    wide = history.pivot(index="hour", columns="site_id", values="value")
    wide = wide.reindex(pd.date_range(wide.index.min(), wide.index.max(), freq="h"))
    naive = pd.Series(metrics.seasonal_naive_mae(wide.to_numpy().T), index=wide.columns.astype(str))
    return naive.replace(0, np.nan)


def wape_table(figures: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    """WAPE of every method, one row for each panel and number of hours ahead."""
    keys = ["panel", "ahead"]
    wide = figures.pivot_table(index=keys, columns="method", values="wape", sort=False)
    uncertain = figures.pivot_table(index=keys, columns="method", values="champion_ratio_error", sort=False)
    methods = [name for name in SHORT if name in wide.columns]
    lines = []
    for (panel, ahead), row in wide.iterrows():
        best_name = row.drop(backtest.CHAMPION).idxmin()
        low_baseline = row[[name for name in BASELINES if name in row]].min()
        cells = {SHORT[name]: _cell(row[name], row.min()) for name in methods}
        here = figures[(figures["panel"] == panel) & (figures["ahead"] == ahead)].iloc[0]
        lines.append(
            {"panel": panel, "hours ahead": ahead, "origins × sites": f"{here['origins']} × {here['sites']}"}
            | cells
            | {
                "against best other": f"{100 * (row[backtest.CHAMPION] / row[best_name] - 1):+.1f} %",
                "± one s.e.": f"{100 * uncertain.loc[(panel, ahead), best_name]:.1f}",
                "against best baseline": f"{100 * (row[backtest.CHAMPION] / low_baseline - 1):+.1f} %",
            }
        )
    return "WAPE in %", pd.DataFrame(lines)


def champion_table(figures: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    """The champion's other figures."""
    champion = figures[figures["method"] == backtest.CHAMPION]
    return "The champion's other figures", pd.DataFrame(
        {
            "panel": champion["panel"],
            "hours ahead": champion["ahead"],
            "hours scored": champion["hours"],
            "MASE(168)": champion["mase"].map("{:.3f}".format),
            "bias": champion["bias"].map("{:+.1%}".format),
            "median site WAPE": champion["median_site_wape"].map("{:.1%}".format),
            "80 % band covers": champion["coverage"].map("{:.1%}".format),
            "± one s.e.": champion["coverage_error"].map("{:.1%}".format),
            "pinball": champion["pinball"].map("{:.3g}".format),
        }
    )


def _cell(value: float, best: float) -> str:
    if np.isnan(value):
        return "—"
    text = f"{100 * value:.2f}"
    return f"**{text}**" if value <= best * 1.0001 else text


def _print(title: str, rows: pd.DataFrame) -> None:
    table = Table(title=title)
    for column in rows.columns:
        table.add_column(column, justify="left" if column == "panel" else "right")
    for row in rows.astype(str).itertuples(index=False):
        table.add_row(*(cell.replace("**", "") for cell in row))
    Console(width=220).print(table)


def _document(tables: list[tuple[str, pd.DataFrame]]) -> str:
    text = '# Forecast benchmark\n\nRows of `make bench-forecast` (`ARGS="--markdown FILE"` writes them); '
    text += "`forecasting.md` says how to read them.\n"
    for title, rows in tables:
        lines = [list(rows.columns), ["---"] * len(rows.columns), *rows.astype(str).values.tolist()]
        text += f"\n## {title}\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
    return text


if __name__ == "__main__":
    main()
