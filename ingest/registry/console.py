"""What the registry's commands share: the connection, options, entries checked, tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from plimsoll.errors import PlimsollError

if TYPE_CHECKING:
    import psycopg
    from pydantic import BaseModel

Entry = TypeVar("Entry", bound="BaseModel")

Tenant = Annotated[str | None, typer.Option(help="Owner; default: PLIMSOLL_DEFAULT_TENANT.")]
CsvFile = Annotated[Path, typer.Argument(help="A CSV file whose columns are named like the fields.")]


@contextmanager
def registry(tenant: str | None) -> Iterator[tuple[psycopg.Connection, str]]:
    """A connection to the registry, and the tenant: the one named, or the default one."""
    from plimsoll.database import connect, migrated
    from plimsoll.settings import Settings

    settings = Settings.load()
    with connect(settings.require_database_url(), autocommit=True) as connection, migrated():
        yield connection, tenant or settings.default_tenant


@contextmanager
def importing(file: Path) -> Iterator[None]:
    """Let what the registry refuses name the file, of which nothing counts then."""
    from ingest.registry.entries import RegistryError

    try:
        yield
    except RegistryError as error:
        raise PlimsollError(f"{file}: {error}; nothing was imported") from error


def checked(entry: type[Entry], /, **values: Any) -> Entry:
    """What was typed, as an entry; options that were left out keep the entry's defaults.

    Raises:
        PlimsollError: it is wrong; the message names the field.
    """
    from pydantic import ValidationError

    from ingest.registry.sites import first_error

    try:
        return entry.model_validate({name: value for name, value in values.items() if value is not None})
    except ValidationError as error:
        field, reason = first_error(error)
        raise PlimsollError(f"{field}: {reason}" if field else reason) from error


def table(rows: list[dict[str, Any]], columns: list[str]) -> None:
    """Show rows, or say that there are none."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    if not rows:
        typer.echo("none")
        return
    shown = Table(*columns)
    for row in rows:
        shown.add_row(*(escape(_cell(row[name])) for name in columns))
    console = Console()
    # In a pipe there is no width to keep to, and folded names would be of no use.
    (console if console.is_terminal else Console(width=400)).print(shown)


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%SZ}" if value.tzinfo else f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
