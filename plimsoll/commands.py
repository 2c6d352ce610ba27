"""The ground floor's own commands: `migrate`, `topics` and `env`."""

from __future__ import annotations

import shlex

import typer
from rich.console import Console

console = Console()


def migrate() -> None:
    """Apply the pending migrations to the database, each in its own transaction."""
    from plimsoll.database import migrate as apply
    from plimsoll.settings import Settings

    settings = Settings.load()
    applied = apply(settings.require_database_url(), settings.contracts_dir)
    for name in applied:
        console.print(f"applied {name}")
    console.print(f"[green]✓[/] {len(applied)} applied" if applied else "[green]✓[/] the database is up to date")


def topics(
    replication: int = typer.Option(1, min=1, help="Replication factor of topics that are created."),
) -> None:
    """Create the Kafka topics that the contracts name and the broker lacks."""
    from plimsoll.contracts.model import load_contracts
    from plimsoll.contracts.topics import create_topics
    from plimsoll.settings import Settings

    settings = Settings.load()
    created = create_topics(settings.require_kafka(), load_contracts(settings.contracts_dir).values(), replication)
    for name in created:
        console.print(f"created {name}")
    console.print("[green]✓[/] every topic is there")


def env() -> None:
    """Print the environment for dbt, psql and Dagster against the running stack: eval "$(plimsoll env)"."""
    from plimsoll.environment import client_environment
    from plimsoll.settings import Settings

    for name, value in client_environment(Settings.load()).items():
        typer.echo(f"export {name}={shlex.quote(value)}")
