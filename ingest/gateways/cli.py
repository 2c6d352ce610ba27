"""`plimsoll replay`: a file through Kafka."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from plimsoll.errors import PlimsollError

if TYPE_CHECKING:
    import pandas as pd

    from ingest.gateways.replay import Replay
    from plimsoll.settings import Settings


def replay(
    file: Annotated[Path, typer.Argument(help="A .csv, .csv.gz or .parquet file.")],
    map_: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="FIELD=COLUMN", help="Contract field and the file's column; repeat."),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="The same value for every row; repeat.")
    ] = None,
    tz: Annotated[str | None, typer.Option(help="Time zone of times that carry none, and of new sites.")] = None,
    speed: Annotated[str, typer.Option(help="Times as fast as the file's own pace, or max.")] = "max",
    stream: Annotated[str, typer.Option(help="Topic, by its contract.")] = "occupancy.events",
    tenant: Annotated[str | None, typer.Option(help="Tenant; default: PLIMSOLL_DEFAULT_TENANT.")] = None,
    kind: Annotated[
        str, typer.Option(help="Kind of sites that are not registered yet: venue, area, bus or stop.")
    ] = "venue",
    hold: Annotated[
        float | None,
        typer.Option(
            min=1,
            max=86_400,
            metavar="SECONDS",
            help="How long an observation of a new site holds; default: twice the file's usual step.",
        ),
    ] = None,
) -> None:
    """Send a file's rows to Kafka in the order of their time, as if its devices sent them.

    Sites that the registry lacks are registered. A file without a site column is one site, named after the file.

    plimsoll replay dataset.csv --map site_id=SystemCodeNumber --map occupancy=Occupancy --map capacity=Capacity
    --map ts_device=LastUpdated --tz Europe/London
    """
    import signal
    import threading

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from ingest.gateways import replay as replaying
    from plimsoll.contracts import load_contracts
    from plimsoll.settings import Settings

    settings = Settings.load()
    contracts = load_contracts(settings.contracts_dir)
    if stream not in contracts:
        raise PlimsollError(f"--stream {stream}: no such contract; there are {', '.join(contracts)}")
    mapping, constants = _pairs("--map", map_), _pairs("--set", set_)
    if stream == "occupancy.events" and "site_id" not in {*mapping, *constants}:
        constants["site_id"] = file.name.split(".")[0]
    plan = replaying.Replay(
        file, contracts[stream], mapping, constants, tz, tenant or settings.default_tenant, _speed(speed)
    )
    frame = replaying.read(plan)
    if "site_id" in frame:
        hold_s = round(hold) if hold else replaying.usual_hold_s(frame, plan.contract.event_time)
        _register(settings, plan, frame, kind, hold_s)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    columns = [TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("replay", total=len(frame))
        result = replaying.send(plan, frame, settings.require_kafka(), stop, lambda rows: progress.advance(task, rows))
        progress.update(task, completed=result.sent + result.refused)
    typer.echo(f"sent {result.sent:,} events, refused {result.refused:,}")
    for complaint in result.complaints:
        typer.echo(f"  {complaint}")
    if stop.is_set():
        raise typer.Exit(130)


def _register(settings: Settings, plan: Replay, frame: pd.DataFrame, kind: str, hold_s: int) -> None:
    """Register the file's sites that are new; without a database the lander's defaults hold until someone does."""
    from ingest.registration import register_sites
    from plimsoll.database import connect

    last = frame.drop_duplicates("site_id", keep="last")
    capacities = last["capacity"].tolist() if "capacity" in last else [None] * len(last)
    sites = [
        {
            "tenant_id": plan.tenant_id, "site_id": str(site_id), "name": str(site_id), "kind": kind,
            "capacity": int(capacity) if capacity is not None and capacity == capacity and capacity > 0 else None,
            "seats": None, "standing": None, "time_zone": plan.time_zone or "UTC", "route_id": None, "lat": None,
            "lon": None, "hold_s": hold_s,
        }
        for site_id, capacity in zip(last["site_id"], capacities, strict=True)
    ]  # fmt: skip
    with connect(settings.require_database_url(), autocommit=True) as connection:
        register_sites(connection, sites, replace=False)
    typer.echo(f"{len(sites)} sites; an observation holds {hold_s} s")


def _pairs(option: str, texts: list[str] | None) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise PlimsollError(f"{option} {text}: write FIELD=…, such as {option} site_id=SystemCodeNumber")
        pairs[name] = value
    return pairs


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
