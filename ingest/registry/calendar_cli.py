"""`plimsoll calendar`: closures, school holidays, seasons and events that forecasts should know of."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, get_args
from uuid import UUID

import typer

from ingest.registry.console import CsvFile, Tenant, checked, importing, registry, table
from plimsoll.errors import PlimsollError

app = typer.Typer(
    no_args_is_help=True, help="The calendar: closures, school holidays, seasons, events. Public holidays are known."
)
KINDS = "holiday, school_holiday, closure, event or season."
COLUMNS = ["calendar_event_id", "site_id", "starts_at", "ends_at", "kind", "name", "known_at"]


@app.command("list")
def list_events(
    site: Annotated[str | None, typer.Option(help="Only those of a site or series, and those of all.")] = None,
    kind: Annotated[str | None, typer.Option(help=f"Only {KINDS}")] = None,
    ends_after: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M"], help="Only those that end after this, on the site's clock."
        ),
    ] = None,
    tenant: Tenant = None,
) -> None:
    """Show the calendar's events, by start; times are on the site's clock, the end is the first instant after."""
    from ingest.registry import calendar
    from ingest.registry.entries import EventKind

    if kind is not None and kind not in get_args(EventKind):
        raise PlimsollError(f"--kind {kind}: write {KINDS.removesuffix('.')}")
    with registry(tenant) as (connection, tenant_id):
        rows = calendar.list_events(connection, tenant_id, site_id=site, kind=kind, ends_after=ends_after)
    table(rows, COLUMNS)


@app.command("add")
def add_event(
    name: Annotated[str, typer.Argument(help="What people call it; equal names are the same event in other years.")],
    kind: Annotated[str, typer.Option(help=f"{KINDS} A closure makes the forecast 0.")],
    start: Annotated[str, typer.Option(metavar="YYYY-MM-DD[THH:MM]", help="On the site's clock.")],
    end: Annotated[
        str,
        typer.Option(
            metavar="YYYY-MM-DD[THH:MM]", help="If start and end have no time, the last day; else when it is over."
        ),
    ],
    site: Annotated[str, typer.Option(help="A site, a series such as route:1:0, or * for all.")] = "*",
    known_at: Annotated[
        str | None,
        typer.Option(metavar="YYYY-MM-DDTHH:MM±HH:MM", help="No forecast before it knows of the event; default: now."),
    ] = None,
    tenant: Tenant = None,
) -> None:
    """Put an event into the calendar; the next hourly forecast knows of it. Its id is shown."""
    from ingest.registry import calendar

    event = checked(
        calendar.NewCalendarEvent, site_id=site, start=start, end=end, kind=kind, name=name, known_at=known_at
    )
    with registry(tenant) as (connection, tenant_id):
        row = calendar.add_event(connection, tenant_id, event)
    typer.echo(row["calendar_event_id"])


@app.command("remove")
def remove_event(
    calendar_event_id: Annotated[UUID, typer.Argument(help="As `list` shows it.")], tenant: Tenant = None
) -> None:
    """Take an event out of the calendar: forecasts made from now on know nothing of it."""
    from ingest.registry import calendar

    with registry(tenant) as (connection, tenant_id):
        calendar.remove_event(connection, tenant_id, calendar_event_id)
    typer.echo(f"removed {calendar_event_id}")


@app.command("import")
def import_events(file: CsvFile, tenant: Tenant = None) -> None:
    """Put a file's events into the calendar, all rows or none; those that are there already are not added again.

    Columns: start, end, kind, name, optionally site_id (default: * for all) and known_at (default: now).
    """
    from ingest.registry import calendar
    from ingest.registry.csv_files import read_entries

    events = read_entries(file, calendar.NewCalendarEvent, ["site_id", "start", "end", "kind", "name"])
    with registry(tenant) as (connection, tenant_id), importing(file):
        done = calendar.import_events(connection, tenant_id, events)
    typer.echo(f"added {done.added:,}, known anew {done.changed:,}, unchanged {done.unchanged:,}")
