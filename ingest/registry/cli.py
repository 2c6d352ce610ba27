"""`plimsoll tenants`, `plimsoll sites`, `plimsoll devices`, `plimsoll gtfs`: who and what exists."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from ingest.registry.console import CsvFile, Tenant, checked, importing, registry, table
from plimsoll.errors import PlimsollError

tenants = typer.Typer(no_args_is_help=True, help="The tenants: whose sites, devices and events they are.")
sites = typer.Typer(no_args_is_help=True, help="The sites: buses, venues, road areas, stops.")
devices = typer.Typer(no_args_is_help=True, help="The devices, their sites and secrets.")
gtfs = typer.Typer(no_args_is_help=True, help="Routes, stops and timetables.")

Instant = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%dT%H:%M:%S%z"], metavar="YYYY-MM-DDTHH:MM:SS±HHMM")]


@tenants.command("add")
def add_tenant(
    tenant_id: Annotated[str, typer.Argument(help="As --tenant and PLIMSOLL_API_KEYS name it.")],
    name: Annotated[str | None, typer.Option(help="What people call it.")] = None,
) -> None:
    """Register a tenant, or name one anew."""
    from pydantic import TypeAdapter, ValidationError

    from ingest.registry.entries import Name
    from ingest.registry.sites import first_error
    from ingest.registry.tenants import put_tenant

    try:
        TypeAdapter(Name).validate_python(tenant_id)
    except ValidationError as error:
        raise PlimsollError(f"TENANT_ID: {first_error(error)[1]}") from error
    with registry(tenant_id) as (connection, _):
        put_tenant(connection, tenant_id, name)
    typer.echo(f"registered {tenant_id}")


@tenants.command("list")
def list_tenants() -> None:
    """Show the tenants."""
    from ingest.registry.tenants import list_tenants

    with registry(None) as (connection, _):
        rows = list_tenants(connection)
    table(rows, ["tenant_id", "name", "sites", "devices"])


@sites.command("add")
def add_site(
    site_id: Annotated[str, typer.Argument(help="What its events call it.")],
    kind: Annotated[str, typer.Option(help="bus, venue, area or stop.")],
    name: Annotated[str | None, typer.Option(help="What people call it.")] = None,
    capacity: Annotated[int | None, typer.Option(help="People that fit; default: seats and standing.")] = None,
    seats: Annotated[int | None, typer.Option()] = None,
    standing: Annotated[int | None, typer.Option(help="Places to stand.")] = None,
    time_zone: Annotated[str, typer.Option("--tz", help="IANA name, such as Asia/Jakarta.")] = "UTC",
    country: Annotated[
        str | None, typer.Option(help="Whose public holidays count, such as ID or US-CA; default: by time zone.")
    ] = None,
    route: Annotated[str | None, typer.Option(help="The route it serves, if always the same.")] = None,
    lat: Annotated[float | None, typer.Option()] = None,
    lon: Annotated[float | None, typer.Option()] = None,
    hold: Annotated[
        int | None, typer.Option(metavar="SECONDS", help="How long a count holds; default by kind.")
    ] = None,
    tenant: Tenant = None,
) -> None:
    """Register a site."""
    from ingest.registry.entries import NewSite
    from ingest.registry.sites import add_site

    entry = checked(
        NewSite, site_id=site_id, name=name, kind=kind, capacity=capacity, seats=seats, standing=standing,
        time_zone=time_zone, country=country, route_id=route, lat=lat, lon=lon, hold_s=hold,
    )  # fmt: skip
    with registry(tenant) as (connection, tenant_id):
        add_site(connection, tenant_id, entry)
    typer.echo(f"registered {site_id}")


@sites.command("list")
def list_sites(
    kind: Annotated[str | None, typer.Option(help="Only bus, venue, area or stop.")] = None, tenant: Tenant = None
) -> None:
    """Show the sites."""
    from ingest.options import check_kind
    from ingest.registry.sites import list_sites

    if kind is not None:
        check_kind(kind)
    with registry(tenant) as (connection, tenant_id):
        rows = list_sites(connection, tenant_id, kind=kind)
    table(
        rows,
        ["site_id", "name", "kind", "capacity", "seats", "standing", "time_zone", "country", "route_id", "is_active"],
    )


@sites.command("import")
def import_sites(file: CsvFile, tenant: Tenant = None) -> None:
    """Register a file's sites, or change those that are registered; all rows or none.

    What the file leaves out of a registered site, as a column or as an empty cell, stays as it is.
    """
    from ingest.registry.csv_files import read_entries
    from ingest.registry.entries import NewSite
    from ingest.registry.sites import put_sites

    entries = read_entries(file, NewSite, ["site_id"]).values()
    with registry(tenant) as (connection, tenant_id):
        put_sites(connection, tenant_id, entries)
    typer.echo(f"{len(entries):,} sites are registered")


@devices.command("add")
def add_device(
    device_id: Annotated[str, typer.Argument(help="What it calls itself.")],
    site: Annotated[str | None, typer.Option(help="The site that it counts for.")] = None,
    unsigned: Annotated[bool, typer.Option("--unsigned", help="It need not sign its events.")] = False,
    secret_file: Annotated[
        Path | None, typer.Option(help="A file with the secret that it has already; otherwise one is made.")
    ] = None,
    valid_from: Instant = None,
    valid_to: Instant = None,
    tenant: Tenant = None,
) -> None:
    """Register a device. Its secret is shown once, on the standard output, and never again."""
    from ingest.registry.devices import add_device
    from ingest.registry.entries import NewDevice

    entry = checked(
        NewDevice, device_id=device_id, site_id=site, signs=not unsigned, secret=_secret_in(secret_file),
        valid_from=valid_from, valid_to=valid_to,
    )  # fmt: skip
    with registry(tenant) as (connection, tenant_id):
        secret = add_device(connection, tenant_id, entry)
    typer.echo(f"registered {device_id}", err=True)
    if secret and not secret_file:
        typer.echo(secret)


@devices.command("list")
def list_devices(
    site: Annotated[str | None, typer.Option(help="Only those of a site.")] = None, tenant: Tenant = None
) -> None:
    """Show the devices; never their secrets."""
    from ingest.registry.devices import list_devices

    with registry(tenant) as (connection, tenant_id):
        rows = list_devices(connection, tenant_id, site_id=site)
    table(rows, ["device_id", "site_id", "signs", "state", "valid_from", "valid_to"])


@devices.command("import")
def import_devices(
    file: CsvFile,
    secrets_to: Annotated[
        Path | None,
        typer.Option(help="Make secrets for devices without one, and write them to this new CSV file (mode 0600)."),
    ] = None,
    tenant: Tenant = None,
) -> None:
    """Register a file's devices; all rows or none.

    One that is registered already is moved if the row names another site, now or at the row's valid_from, ends at the
    row's valid_to, and keeps its secret; one that was revoked is refused. A row without a secret is a device that need
    not sign, unless --secrets-to is given.
    """
    from ingest.registry.csv_files import read_entries
    from ingest.registry.entries import NewDevice
    from ingest.registry.imports import import_devices

    entries = read_entries(file, NewDevice, ["device_id"])
    if secrets_to is not None and secrets_to.exists():
        raise PlimsollError(f"--secrets-to {secrets_to}: the file exists; name a new one")
    with registry(tenant) as (connection, tenant_id), importing(file):
        done = import_devices(connection, tenant_id, entries, secrets_to)
    typer.echo(f"registered {done.added:,}, changed {done.changed:,}, unchanged {done.unchanged:,}")


@devices.command("move")
def move_device(
    device_id: Annotated[str, typer.Argument()],
    site: Annotated[str, typer.Option(help="The site that it counts for from now on.")],
    tenant: Tenant = None,
) -> None:
    """Let a device count for another site from now on."""
    from ingest.registry.devices import move_device

    with registry(tenant) as (connection, tenant_id):
        move_device(connection, tenant_id, device_id, site)
    typer.echo(f"{device_id} counts for {site}")


@devices.command("rotate")
def rotate_secret(
    device_id: Annotated[str, typer.Argument()],
    overlap_hours: Annotated[
        float, typer.Option(min=0, max=24 * 90, help="How long the old secret still counts beside the new one.")
    ] = 24,
    tenant: Tenant = None,
) -> None:
    """Give a device a new secret, shown once on the standard output."""
    from datetime import timedelta

    from ingest.registry.devices import exchange_secret

    with registry(tenant) as (connection, tenant_id):
        exchanged = exchange_secret(connection, tenant_id, device_id, timedelta(hours=overlap_hours))
    if exchanged.old_until is not None:
        typer.echo(f"the old secret of {device_id} counts until {exchanged.old_until:%Y-%m-%d %H:%M:%SZ}", err=True)
    else:
        typer.echo(f"from now on only the new secret of {device_id} counts", err=True)
    typer.echo(exchanged.secret)


@devices.command("revoke")
def revoke_device(device_id: Annotated[str, typer.Argument()], tenant: Tenant = None) -> None:
    """Refuse a device from now on; gateways notice within half a minute."""
    from ingest.registry.devices import revoke_device

    with registry(tenant) as (connection, tenant_id):
        revoke_device(connection, tenant_id, device_id)
    typer.echo(f"{device_id} is refused from now on")


@gtfs.callback()
def _group() -> None:
    """Keep `import` a command of its own while it is the only one."""


@gtfs.command("import")
def import_gtfs(
    feed: Annotated[Path, typer.Argument(help="A folder or .zip with routes.txt, stops.txt, trips.txt, …")],
    spare: Annotated[int, typer.Option(min=0, help="Vehicles that stand by for each new route.")] = 0,
    tenant: Tenant = None,
) -> None:
    """Take a GTFS feed's routes, stops, trips, frequencies and shapes; they replace those of the feed before."""
    from rich.console import Console

    from ingest.registry.gtfs import read_feed, store_feed

    console = Console(stderr=True)
    with console.status("reading the feed"):
        timetable = read_feed(feed)
    with console.status("writing the registry"), registry(tenant) as (connection, tenant_id):
        counts = store_feed(connection, tenant_id, timetable, spare)
    for warning in timetable.warnings:
        console.print(f"[yellow]![/] {warning}", highlight=False)
    typer.echo(", ".join(f"{count:,} {what}" for what, count in counts.items()))


def _secret_in(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise PlimsollError(f"--secret-file {file} cannot be read: {error}") from error
