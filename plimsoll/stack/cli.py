"""The commands of the local stack: `demo`, `up`, `down` and `forget`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from plimsoll.stack.demo import Platform


def demo(
    once: Annotated[bool, typer.Option("--once", help="Stop after the table; exit 0 if every step worked.")] = False,
    buses: Annotated[int, typer.Option(min=28, max=5000, envvar="PLIMSOLL_DEMO_BUSES", help="Size of the fleet.")] = 90,
    weeks: Annotated[float, typer.Option(min=1, max=104, envvar="PLIMSOLL_DEMO_WEEKS", help="Weeks of history.")] = 8,
) -> None:
    """Run the whole platform here with a simulated city, from events to forecasts, until Ctrl-C."""
    import time

    from rich.console import Console

    from plimsoll.stack import demo as platform_demo

    console = Console()
    started = time.monotonic()
    with platform_demo.running_platform(console) as platform:
        platform_demo.feed(platform, buses, weeks)
        with platform.step("dbt models, forecasts, hotspots, recommendations (a Dagster run)"):
            platform.run_job(platform_demo.MAIN_JOB)
        _show(platform, time.monotonic() - started)
        if not once:
            _stay(platform)


def up() -> None:
    """Start PostgreSQL, Kafka, lander, API and Dagster, and feed nothing; until Ctrl-C."""
    from rich.console import Console

    from plimsoll.stack.demo import running_platform

    with running_platform(Console()) as platform:
        _addresses(platform)
        _stay(platform)


def down() -> None:
    """Stop what `demo` or `up` started for this checkout."""
    from plimsoll.settings import Settings
    from plimsoll.stack.lock import stop_owner

    typer.echo("stopped" if stop_owner(Settings.load().home) else "nothing is running")


def forget() -> None:
    """Delete the local stack's data: database, topics, Dagster's history, models."""
    from plimsoll.settings import Settings
    from plimsoll.stack.demo import forget_state

    home = Settings.load().home
    foreign = forget_state(home)
    typer.echo("forgotten")
    if foreign:
        typer.echo(f"left alone in {home}, as it is not the stack's: {', '.join(foreign)}")


def _show(platform: Platform, seconds: float) -> None:
    from rich.table import Table

    from plimsoll.stack.demo import counts

    table = Table(title=f"Plimsoll after {seconds:.0f} s", show_header=False)
    for what, how_much in counts(platform):
        table.add_row(what, how_much, style="bold" if "champion" in what else None)
    platform.console.print(table)
    _addresses(platform)


def _addresses(platform: Platform) -> None:
    from plimsoll.stack.demo import NO_LIVE_INGEST, api_url, dagster_url

    api, say = api_url(platform.settings), platform.console.print
    if platform.settings.kafka_bootstrap_servers is None:
        say(f"[yellow]![/] {NO_LIVE_INGEST}")
    say(f"page       {api}/")
    say(f"API        {api}/docs")
    say(f"Dagster    {dagster_url(platform.settings)}/asset-groups")
    say('dbt, psql  eval "$(.venv/bin/plimsoll env)"')


def _stay(platform: Platform) -> None:
    platform.console.print("Ctrl-C stops everything; the data stay for the next time.")
    try:
        platform.supervisor.wait()
    except KeyboardInterrupt:
        platform.console.print("stopping …")
