"""`plimsoll simulate`: a city's history and life as input."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from ingest.simulator.config import MIN_BUSES

if TYPE_CHECKING:
    from ingest.simulator.city import City
    from plimsoll.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Feed a simulated city: buses, venues and roads with their faults.")

Seed = Annotated[int, typer.Option(help="The same seed gives the same city and the same days.")]
Buses = Annotated[int, typer.Option(min=MIN_BUSES, max=5000, help="Size of the fleet.")]


@app.command()
def history(
    weeks: Annotated[float, typer.Option(min=0.1, max=104, help="How much history, counted back from now.")] = 8,
    buses: Buses = 90,
    seed: Seed = 7,
    lead_minutes: Annotated[float, typer.Option(min=0, help="Leave out the last minutes; `live` sends them.")] = 0,
) -> None:
    """Register the city and bulk-load its history; a second call goes on where the first ended."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from ingest.simulator.feed import load_history, register
    from plimsoll.contracts import load_contracts
    from plimsoll.database import connect
    from plimsoll.settings import Settings

    settings = Settings.load()
    city = _city(seed, buses, settings.default_tenant)
    end_at = datetime.now(UTC) - timedelta(minutes=lead_minutes)
    contracts = load_contracts(settings.contracts_dir)
    columns = [TextColumn("history, days"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    with (
        connect(settings.require_database_url(), autocommit=True) as connection,
        Progress(*columns, console=Console(stderr=True)) as progress,
    ):
        register(connection, city)
        task = progress.add_task("history", total=None)
        start_at = end_at - timedelta(weeks=weeks)
        rows, rejected = load_history(
            connection, contracts, city, start_at, end_at, settings.home / "simulator" / "truth",
            lambda _: progress.advance(task),
            lambda days: progress.update(task, total=days),
        )  # fmt: skip
        connection.execute("ANALYZE")
    typer.echo(f"loaded {rows:,} rows, rejected {rejected:,}")


@app.command()
def live(
    speed: Annotated[float, typer.Option(min=0.01, help="How many times as fast as the clock, until caught up.")] = 1,
    back_minutes: Annotated[
        float | None, typer.Option(min=0, help="Start this long ago; default: where the loaded history ends.")
    ] = None,
    until_now: Annotated[bool, typer.Option("--until-now", help="Stop when the city has caught up.")] = False,
    buses: Buses = 90,
    seed: Seed = 7,
) -> None:
    """Send what the city delivers to the API's gateway, until Ctrl-C."""
    import signal
    import threading

    from ingest.simulator.feed import send_live
    from plimsoll.logging import configure
    from plimsoll.settings import Settings

    settings = Settings.load()
    configure(settings.log_level)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    now = datetime.now(UTC)
    sent, refused = send_live(
        _city(seed, buses, settings.default_tenant),
        f"http://{settings.host}:{settings.api_port}",
        now - timedelta(minutes=back_minutes) if back_minutes is not None else _history_end(settings),
        stop,
        until=now if until_now else None,
        speed=speed,
    )
    typer.echo(f"sent {sent:,} events, refused {refused:,}")
    if refused > sent:
        raise typer.Exit(1)


def _history_end(settings: Settings) -> datetime:
    from ingest.simulator.feed import history_end
    from plimsoll.database import connect

    with connect(settings.require_database_url(), autocommit=True) as connection:
        return history_end(connection) or datetime.now(UTC)


def _city(seed: int, buses: int, tenant_id: str) -> City:
    from ingest.simulator.city import City
    from ingest.simulator.config import CityConfig

    return City.build(CityConfig(seed=seed, buses=buses, tenant_id=tenant_id))
