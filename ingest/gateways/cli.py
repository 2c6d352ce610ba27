"""`plimsoll replay`: a file through Kafka."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ingest import options
from plimsoll.errors import PlimsollError


def replay(
    file: Annotated[Path, typer.Argument(help="A .csv, .parquet, .ndjson or .jsonl file, or one of text as .gz.")],
    map_: options.Map = None,
    set_: options.Set = None,
    tz: options.Zone = None,
    speed: Annotated[str, typer.Option(help="Times as fast as the file's own pace, or max.")] = "max",
    order_by: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="The column with the time at which a row was sent; default: the event's time."
        ),
    ] = None,
    stream: options.Stream = options.DEFAULT_STREAM,
    tenant: options.Tenant = None,
    kind: options.Kind = "venue",
    hold: options.Hold = None,
) -> None:
    """Send a file's rows to Kafka in the order of their time, as if its devices sent them.

    With --order-by, late rows come as late as they did.
    Sites that the registry lacks are registered. A file without a site column is one site, named after the file.

    plimsoll replay dataset.csv --map site_id=SystemCodeNumber --map occupancy=Occupancy --map capacity=Capacity
    --map ts_device=LastUpdated --tz Europe/London
    """
    import signal
    import threading

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from ingest.gateways import replay as replaying
    from plimsoll.database import connect
    from plimsoll.settings import Settings

    settings, pace = Settings.load(), _speed(speed)
    options.check_kind(kind)
    plan = options.plan(settings, file, stream, map_, set_, tz, tenant, order_by)
    with connect(settings.require_database_url(), autocommit=True) as connection:
        options.require_tenant(connection, plan.tenant_id)
        messages, survey = replaying.read(plan)
        options.register(connection, plan, kind, hold, survey)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    columns = [TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("replay", total=len(messages))
        result = replaying.send(
            plan.contract, messages, settings.require_kafka(), stop,
            speed=pace, on_sent=lambda rows: progress.advance(task, rows),
        )  # fmt: skip
        progress.update(task, completed=result.sent + result.refused)
    typer.echo(f"sent {result.sent:,} events, refused {result.refused:,}")
    for complaint in result.complaints:
        typer.echo(f"  {complaint}")
    if stop.is_set():
        raise typer.Exit(130)


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        speed = float(text.removesuffix("x"))
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise PlimsollError(f"--speed {text}: write a number above 0, such as 60, or max")
    return speed
