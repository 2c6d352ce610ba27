"""`plimsoll forecast list`, `promote`, `rollback`, `explain`: the models in operation, from the shell."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from plimsoll.errors import PlimsollError

if TYPE_CHECKING:
    import psycopg

    from forecasting.store import StoredModel

console = Console()

Tenant = Annotated[str | None, typer.Option(help="Owner; default: PLIMSOLL_DEFAULT_TENANT.")]
Group = Annotated[
    str | None, typer.Option(help="Group of series: venue, area or route. Needed where the tenant has several.")
]
Reason = Annotated[str, typer.Option(help="Why; kept with the decision.")]


def list_models(tenant: Tenant = None, group: Group = None) -> None:
    """Show the models, champions first: what they learnt from, how they did, and why they were promoted or not."""
    from rich.table import Table

    from forecasting.store import list_models

    with _store(tenant) as (connection, tenant_id):
        models = [model for model in list_models(connection, tenant_id) if group in (None, model.series_group)]
    if not models:
        console.print(f"tenant {tenant_id!r} has no model yet; the Dagster job train_forecasts makes the first")
        return
    table = Table(title=f"models of tenant {tenant_id}")
    for name in ("group", "version", "status", "learnt until", "WAPE", "80 % band covers", "decided", "because"):
        table.add_column(name, overflow="fold")
    for model in sorted(models, key=lambda one: (one.series_group, one.status != "champion")):
        table.add_row(*_cells(model), style="bold" if model.status == "champion" else None)
    console.print(table)


def promote(
    model_version: Annotated[str, typer.Argument(help="Which model; `plimsoll forecast list` shows them.")],
    reason: Reason = "by hand",
    tenant: Tenant = None,
) -> None:
    """Make a model the champion of its group, whatever its trial said. The next hourly scoring uses it."""
    from forecasting.store import promote

    decision = {"promoted": True, "reason": reason, "by": getpass.getuser()}
    with _store(tenant) as (connection, tenant_id):
        version = _version(connection, tenant_id, model_version)
        replaced = promote(connection, tenant_id, version, decision=decision, now=datetime.now(UTC))
    said = f"in place of {replaced}" if replaced else "nothing was replaced"
    console.print(f"{version} is the champion, {said}; `plimsoll forecast rollback` takes it back")


def rollback(reason: Reason = "by hand", tenant: Tenant = None, group: Group = None) -> None:
    """Give the champion's place back to the model that it replaced. The next hourly scoring uses that one."""
    from forecasting.store import rollback

    with _store(tenant) as (connection, tenant_id):
        chosen = group or _only_group(connection, tenant_id)
        version = rollback(connection, tenant_id, chosen, actor=getpass.getuser(), reason=reason, now=datetime.now(UTC))
    console.print(f"{version} is the champion of group {chosen} again")


def explain(
    series: Annotated[str, typer.Argument(help="A venue, an area, or a route as route:<route>:<direction>.")],
    hour: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%dT%H:%M%z", "%Y-%m-%dT%H:%M:%S%z"], metavar="YYYY-MM-DDTHH:MM±HHMM",
            help="Which hour; default: the present one.", show_default=False,
        ),
    ] = None,
    tenant: Tenant = None,
) -> None:  # fmt: skip
    """Say in words why a forecast is what it is."""
    from forecasting.operation.explanations import explain
    from plimsoll.settings import Settings

    with _store(tenant) as (connection, tenant_id):
        found = explain(connection, tenant_id, series, hour or datetime.now(UTC), Settings.load().country)
    said = found.prediction
    console.print(f"{found.series_id}, {found.local_hour:%A %Y-%m-%d %H:%M}", style="bold", highlight=False)
    console.print(found.summary, highlight=False)
    console.print(
        f"model {said.model_version}, {said.method}, made at {said.origin_at:%Y-%m-%d %H:%M} UTC; the weekly pattern "
        f"explains {found.profile_share:.0%}",
        style="dim", highlight=False,
    )  # fmt: skip


@contextmanager
def _store(tenant: str | None) -> Iterator[tuple[psycopg.Connection, str]]:
    from plimsoll.database import connect
    from plimsoll.settings import Settings

    settings = Settings.load()
    with connect(settings.require_database_url()) as connection:
        yield connection, tenant or settings.default_tenant


def _cells(model: StoredModel) -> list[str]:
    def percent(name: str) -> str:
        value = model.decision.get(name)
        return "" if value is None else f"{100 * value:.1f} %"

    decided = "" if model.decided_at is None else f"{model.decided_at:%Y-%m-%d %H:%M}"
    why = str(model.decision.get("reason", ""))
    if undone := model.decision.get("rollback"):
        why = f"{why} Back in place of {undone['rolled_back_from']}: {undone['reason']}."
    return [
        model.series_group, model.model_version, model.status, f"{model.trained_to:%Y-%m-%d %H:%M}",
        percent("wape"), percent("coverage"), decided, why,
    ]  # fmt: skip


def _version(connection: psycopg.Connection, tenant_id: str, start: str) -> str:
    """The version that begins so; unknown ones are left to the store, whose error says what to do."""
    from forecasting.store import list_models

    found = [model.model_version for model in list_models(connection, tenant_id)]
    matching = [version for version in found if version.startswith(start)]
    if len(matching) > 1 and start not in matching:
        raise PlimsollError(f"{start!r} could be {', '.join(matching)}; write more of it")
    return matching[0] if len(matching) == 1 else start


def _only_group(connection: psycopg.Connection, tenant_id: str) -> str:
    from forecasting.store import list_models

    groups = sorted({m.series_group for m in list_models(connection, tenant_id) if m.status == "champion"})
    if len(groups) > 1:
        raise PlimsollError(f"tenant {tenant_id!r} has champions for {', '.join(groups)}; choose one with --group")
    if not groups:
        raise PlimsollError(f"tenant {tenant_id!r} has no champion; `plimsoll forecast list` shows its models")
    return groups[0]
