"""The command line: every package brings its commands, found here by entry point.

The packages' `cli` modules import only what their options need, so that `--help` stays quick.
"""

from __future__ import annotations

import sys
from importlib.metadata import entry_points, version
from typing import Annotated

import typer

from plimsoll.errors import PlimsollError


def build() -> typer.Typer:
    """The whole command line: groups (`lander`, `contracts`, …) and single commands (`migrate`, `env`, …)."""
    root = typer.Typer(
        name="plimsoll",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Plimsoll: how full is every bus, venue, road and fleet, now and for the next week.",
    )
    root.callback()(_root)
    for point in sorted(entry_points(group="plimsoll.commands"), key=lambda p: p.name):
        found = point.load()
        if isinstance(found, typer.Typer):
            root.add_typer(found, name=point.name)
        else:
            root.command(point.name)(found)
    return root


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"plimsoll {version('plimsoll')}")
        raise typer.Exit


def _root(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Set nothing: each command reads its settings when it runs."""


def main() -> None:
    """Run the command line; a `PlimsollError` becomes one sentence and exit code 1."""
    try:
        build()()
    except PlimsollError as error:
        typer.echo(f"plimsoll: {error}", err=True)
        sys.exit(1)
