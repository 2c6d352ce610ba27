"""The options that say how a file is read, the same for every command that reads one, and the registry's part in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from plimsoll.errors import PlimsollError

if TYPE_CHECKING:
    import psycopg

    from ingest.columns import Plan
    from ingest.survey import SiteSurvey
    from plimsoll.settings import Settings

Map = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="FIELD=COLUMN", help="Contract field and the file's column; repeat."),
]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="The same value for every row; repeat.")
]
Zone = Annotated[str | None, typer.Option("--tz", help="Time zone of times that carry none, and of new sites.")]
Stream = Annotated[str, typer.Option(help="Topic, by its contract.")]
Tenant = Annotated[str | None, typer.Option(help="Tenant; default: PLIMSOLL_DEFAULT_TENANT.")]
Kind = Annotated[str, typer.Option(help="Kind of sites that are not registered yet: venue, area, bus or stop.")]
Hold = Annotated[
    float | None,
    typer.Option(
        min=1,
        max=86_400,
        metavar="SECONDS",
        help="How long an observation of a new site holds; default: twice the file's usual step.",
    ),
]
DEFAULT_STREAM = "occupancy.events"


def plan(
    settings: Settings,
    file: Path,
    stream: str,
    mapping: list[str] | None,
    constants: list[str] | None,
    time_zone: str | None,
    tenant: str | None,
    order_by: str | None = None,
) -> Plan:
    """What the options ask for.

    Raises:
        PlimsollError: an option is written wrongly, or names a stream that has no contract.
    """
    from ingest.columns import Plan
    from plimsoll.contracts import load_contracts

    contracts = load_contracts(settings.contracts_dir)
    if stream not in contracts:
        raise PlimsollError(f"--stream {stream}: no such contract; there are {', '.join(contracts)}")
    return Plan(
        file, contracts[stream], _pairs("--map", mapping), _pairs("--set", constants), time_zone,
        tenant or settings.default_tenant, order_by,
    )  # fmt: skip


def require_tenant(connection: psycopg.Connection, tenant_id: str) -> None:
    """Refuse a tenant that the registry does not know, before anything is sent or loaded in its name."""
    known = [name for (name,) in connection.execute("SELECT tenant_id FROM registry.tenants ORDER BY 1 LIMIT 20")]
    query = "SELECT 1 FROM registry.tenants WHERE tenant_id = %s"
    if connection.execute(query, [tenant_id]).fetchone() is None:
        raise PlimsollError(f"--tenant {tenant_id}: is not registered; there are {', '.join(known)}")


def check_kind(kind: str) -> None:
    """Refuse a kind of site that the registry does not know."""
    from ingest.registry import entries

    kinds = get_args(entries.Kind)
    if kind not in kinds:
        raise PlimsollError(f"--kind {kind}: write one of {', '.join(kinds)}")


def register(connection: psycopg.Connection, plan: Plan, kind: str, hold: float | None, survey: SiteSurvey) -> None:
    """Register the file's sites that are new."""
    from ingest.registry.rows import register_sites

    sites = survey.sites(plan, kind, round(hold) if hold else None)
    if sites:
        register_sites(connection, sites, replace=False)
        typer.echo(f"{len(sites)} sites; an observation holds {sites[0]['hold_s']} s")


def _pairs(option: str, texts: list[str] | None) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise PlimsollError(f"{option} {text}: write FIELD=…, such as {option} site_id=SystemCodeNumber")
        pairs[name] = value
    return pairs
