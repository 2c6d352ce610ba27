"""`plimsoll contracts`: check, diff and migrate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.syntax import Syntax

if TYPE_CHECKING:
    from plimsoll.contracts.drift import Drift

app = typer.Typer(no_args_is_help=True, help="Check the streams' contracts, and bring all that hangs on them in step.")
console = Console()

Offline = Annotated[bool, typer.Option("--offline", help="Look at files only, not at the database and the broker.")]


@app.command()
def check(offline: Offline = False) -> None:
    """Say what is out of step with the contracts; exit 1 if anything is."""
    drift = _drift(offline)
    for finding in drift.findings:
        console.print(f"[yellow]•[/] {finding}")
    if drift.findings:
        console.print("Run `plimsoll contracts migrate`, then `plimsoll migrate` and `plimsoll topics`.")
        raise typer.Exit(1)
    console.print(
        "[green]✓[/] contracts, tables, topics and generated files are in step"
        if not offline
        else "[green]✓[/] contracts and generated files are in step"
    )


@app.command()
def diff() -> None:
    """Print the SQL and name the files and topics that would bring all in step."""
    drift = _drift(False)
    if drift.sql:
        console.print(Syntax(drift.sql, "sql", background_color="default"))
    for path in drift.files:
        console.print(f"would write {path.name}")
    for topic in drift.topics:
        console.print(f"would create topic {topic}")
    for finding in (f for f in drift.findings if "by hand" in f or "no contract" in f or "partitions" in f):
        console.print(f"[yellow]needs a person:[/] {finding}")
    if not drift.findings:
        console.print("[green]✓[/] nothing to do")


@app.command()
def migrate(
    name: Annotated[
        str, typer.Option(help="What the migration is about; becomes part of its file name.")
    ] = "contracts",
) -> None:
    """Write the migration and the generated files that the contracts ask for. `plimsoll migrate` then applies it."""
    from plimsoll.contracts.drift import write_migration
    from plimsoll.settings import Settings

    drift = _drift(False, with_broker=False)
    for path, content in drift.files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        console.print(f"wrote {path.name}")
    if drift.sql:
        file = write_migration(Settings.load().contracts_dir, drift.sql, name)
        console.print(f"wrote {file.name}: apply it with `plimsoll migrate`")
    if not drift.files and not drift.sql:
        console.print("[green]✓[/] nothing to do")


def _drift(offline: bool, *, with_broker: bool = True) -> Drift:
    from plimsoll.contracts.drift import find_drift
    from plimsoll.contracts.model import load_contracts
    from plimsoll.database import connect
    from plimsoll.settings import Settings

    settings = Settings.load()
    contracts = load_contracts(settings.contracts_dir)
    if offline:
        return find_drift(contracts, settings, None, None)
    with connect(settings.require_database_url()) as connection:
        return find_drift(contracts, settings, connection, settings.require_kafka() if with_broker else None)
