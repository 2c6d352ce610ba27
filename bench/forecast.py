"""Forecast errors on public panels, one table: `python bench/forecast.py [PANEL …]`.

Protocols: 24 = daily local-midnight origins, 24 h ahead; 168 = weekly origins, 168 h ahead; 6 = an origin every 5 h,
6 h ahead. The last origin's horizon ends where the panel's scored window ends; nothing later is read.
"""

from __future__ import annotations

import sys
import time

import pandas as pd
from forecast_panels import PANELS, PanelSource
from rich.console import Console
from rich.table import Table

from forecasting import backtest

PROTOCOLS = {"6": (6, 5), "24": (24, 24), "168": (168, 168)}
MAX_SHORT_ORIGINS = 120


def main(names: list[str]) -> None:
    """Run every panel under every protocol and print WAPE, in percent, of the champion and the baselines."""
    console = Console()
    table = Table(title="WAPE in %; band: share of hours within the 80 % band")
    for column in ("panel", "hours ahead", *backtest.METHODS, "below best", "MASE", "bias", "band", "seconds"):
        table.add_column(column, justify="left" if column == "panel" else "right")
    for name in names or list(PANELS):
        source = PANELS[name]
        panel = source.load()
        panel = panel[panel["hour"] < pd.Timestamp(source.scored_to, tz=source.tz)]
        for protocol, (horizon, step) in PROTOCOLS.items():
            row = _measured(source, panel, horizon, step)
            table.add_row(name, protocol, *row)
            console.print(name, protocol, *row)
    console.print(table)


def _measured(source: PanelSource, panel: pd.DataFrame, horizon: int, step: int) -> list[str]:
    window = pd.Timestamp(source.scored_to, tz=source.tz) - pd.Timestamp(source.scored_from, tz=source.tz)
    origins = int((window / pd.Timedelta(hours=1) - horizon) // step) + 1
    if horizon == 6:
        origins = min(origins, MAX_SHORT_ORIGINS)
    started = time.monotonic()
    result = backtest.run(panel, tz=source.tz, horizon=horizon, origins=origins, every=pd.Timedelta(hours=step))
    seconds = time.monotonic() - started
    summary = result.summary.set_index("method")
    champion = summary.loc[backtest.CHAMPION]
    best = summary["wape"].drop(backtest.CHAMPION).min()
    return [
        *(f"{100 * summary.loc[method, 'wape']:.2f}" for method in backtest.METHODS),
        f"{100 * (1 - champion['wape'] / best):.1f} %",
        f"{champion['mase']:.3f}",
        f"{100 * champion['bias']:+.1f} %",
        f"{100 * champion['coverage']:.1f} %",
        f"{seconds:.0f}",
    ]


if __name__ == "__main__":
    main(sys.argv[1:])
