"""`plimsoll forecast`: measure the forecasts on a panel of one's own, and look after the models in operation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from forecasting.operation import cli as operation
from plimsoll.errors import PlimsollError

if TYPE_CHECKING:
    import pandas as pd

    from forecasting.backtest import BacktestResult

app = typer.Typer(no_args_is_help=True, help="Measure hourly forecasts, and look after the models that make them.")
console = Console()
app.command("list")(operation.list_models)
app.command("promote")(operation.promote)
app.command("rollback")(operation.rollback)
app.command("explain")(operation.explain)


@app.command()
def backtest(
    panel: Annotated[
        Path, typer.Argument(help="Tidy CSV or Parquet file: site_id, hour, value[, capacity].", show_default=False)
    ],
    horizon: Annotated[int, typer.Option(min=1, help="Hours ahead to forecast from each origin.")] = 24,
    origins: Annotated[int, typer.Option(min=1, help="How many past origins to forecast from.")] = 14,
    every: Annotated[
        str, typer.Option(help="Distance between origins: 24h, 6h, 7d … Whole days keep to local midnight.")
    ] = "24h",
    tz: Annotated[
        str, typer.Option(help="IANA time zone of the sites; hours without an offset are on its clock.")
    ] = "UTC",
    calendar: Annotated[
        Path | None,
        typer.Option(
            help="Events (CSV or Parquet): site_id or *, start, end, kind (holiday, school_holiday, closure, event, "
            "season), name, known_at. None counts before it was known.",
            show_default=False,
        ),
    ] = None,
    country: Annotated[
        str | None,
        typer.Option(
            help="Whose public holidays, and Ramadan where it is kept, count at all sites: ID, US-CA, AU-VIC."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write site_id, origin, hour, prediction, p10, p90 here (.csv or .parquet).", show_default=False
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of sampling and trees; the same seed gives the same forecasts.")] = 7,
) -> None:
    """Forecast from past origins with what was known then, and compare with what happened."""
    from forecasting import backtest as backtesting
    from forecasting.calendar_file import read_calendar
    from forecasting.events import EVERY_SITE
    from forecasting.panel_file import read_panel, write_predictions

    read = read_panel(panel, tz)
    for note in read.notes:
        console.print(f"[yellow]•[/] {note}")
    events = read_calendar(calendar, country, read.frame["hour"])
    strange = sorted({event.site_id for event in events.entries} - {EVERY_SITE, *read.frame["site_id"]})
    if strange:
        console.print(f"[yellow]•[/] the calendar names sites that the panel has not: {', '.join(strange[:5])}")
    with console.status("training") as status:
        result = backtesting.run(
            read.frame, tz=tz, horizon=horizon, origins=origins, every=_interval(every), calendar=events, seed=seed,
            progress=lambda done, total: status.update(f"origin {done} of {total}"),
        )  # fmt: skip
    _show(result, horizon, origins)
    if out is not None:
        write_predictions(result.predictions, out, tz, read.is_local)
        clock = f"on the clock of {tz}" if read.is_local else "in UTC"
        console.print(f"{len(result.predictions)} predictions written to {out}, hours {clock}")


def _interval(text: str) -> pd.Timedelta:
    import pandas as pd

    try:
        return pd.Timedelta(text)
    except ValueError as error:
        raise PlimsollError(f"--every {text!r} is not a duration; write 24h, 6h or 7d") from error


def _show(result: BacktestResult, horizon: int, origins: int) -> None:
    from rich.table import Table

    predictions = result.predictions
    first, last = predictions["origin"].min(), predictions["origin"].max()
    table = Table(
        title=f"{predictions['site_id'].nunique()} sites, {origins} origins {first:%Y-%m-%d %H:%M} … "
        f"{last:%Y-%m-%d %H:%M} UTC, {horizon} h ahead"
    )
    table.add_column("method")
    for name in ("WAPE", "MASE(168)", "MAE", "bias", "median site WAPE", "80 % band covers"):
        table.add_column(name, justify="right")
    for row in result.summary.to_dict("records"):
        table.add_row(
            row["method"], _percent(row["wape"]), f"{row['mase']:.3f}", f"{row['mae']:.3g}", _percent(row["bias"]),
            _percent(row["median_site_wape"]), _percent(row["coverage"]),
            style="bold" if row["method"] == "champion" else None,
        )  # fmt: skip
    console.print(table)
    console.print(
        f"{int(result.summary['hours'].iloc[0])} observed hours scored; model {result.model_version}, "
        "trained anew every week"
    )


def _percent(fraction: float) -> str:
    return "" if fraction != fraction else f"{100 * fraction:.2f} %"
