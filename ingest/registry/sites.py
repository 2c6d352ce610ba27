"""Sites: register, change, retire."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg.rows import dict_row
from pydantic import ValidationError

from ingest.registry.entries import HOLD_S, NewSite, RegistryError, SiteChange
from ingest.registry.rows import register_sites
from ingest.registry.tenants import put_tenant

SITES = """
    SELECT site_id, name, kind, capacity, seats, standing, time_zone, country, route_id, lat, lon, hold_s, is_active,
        created_at, updated_at
    FROM registry.sites
    WHERE tenant_id = %(tenant_id)s
        AND (%(site_id)s::text IS NULL OR site_id = %(site_id)s)
        AND (%(kind)s::text IS NULL OR kind = %(kind)s)
        AND (%(after)s::text IS NULL OR site_id > %(after)s)
    ORDER BY site_id
    LIMIT %(limit)s
"""

Row = dict[str, Any]


def list_sites(
    connection: psycopg.Connection,
    tenant_id: str,
    *,
    site_id: str | None = None,
    kind: str | None = None,
    after: str | None = None,
    limit: int | None = None,
) -> list[Row]:
    """A tenant's sites in the order of their ids, those after `after`."""
    parameters = {"tenant_id": tenant_id, "site_id": site_id, "kind": kind, "after": after, "limit": limit}
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(SITES, parameters).fetchall()


def find_site(connection: psycopg.Connection, tenant_id: str, site_id: str) -> Row:
    """One site.

    Raises:
        RegistryError: unknown_site.
    """
    found = list_sites(connection, tenant_id, site_id=site_id)
    if not found:
        raise RegistryError("unknown_site", f"no site '{site_id}' is registered", "site_id")
    return found[0]


def add_site(connection: psycopg.Connection, tenant_id: str, site: NewSite) -> Row:
    """Register a site and return it.

    Raises:
        RegistryError: already_registered.
    """
    with connection.transaction():
        put_tenant(connection, tenant_id)
        if list_sites(connection, tenant_id, site_id=site.site_id):
            raise RegistryError("already_registered", f"the site '{site.site_id}' is registered already", "site_id")
        register_sites(connection, [_row(tenant_id, site)])
        return find_site(connection, tenant_id, site.site_id)


def put_sites(connection: psycopg.Connection, tenant_id: str, sites: Iterable[NewSite]) -> int:
    """Register sites, or change what is given of those that are registered; all or none. Returns how many.

    Raises:
        RegistryError: invalid_site when what comes out is no site.
    """
    new = {site.site_id: site for site in sites}
    with connection.transaction():
        put_tenant(connection, tenant_id)
        known = _locked(connection, tenant_id, list(new))
        for site_id, row in known.items():
            new[site_id] = _changed(row, new[site_id].model_dump(exclude_unset=True))
        register_sites(connection, [_row(tenant_id, site) for site in new.values()])
    return len(new)


def change_site(connection: psycopg.Connection, tenant_id: str, site_id: str, change: SiteChange) -> Row:
    """Change what is given and return the site.

    Raises:
        RegistryError: unknown_site, or invalid_site when what comes out is no site.
    """
    changes = change.model_dump(exclude_unset=True)
    is_active = changes.pop("is_active", None)
    with connection.transaction():
        find_site(connection, tenant_id, site_id)
        site = _changed(_locked(connection, tenant_id, [site_id])[site_id], changes)
        register_sites(connection, [_row(tenant_id, site)])
        if changes.get("country", "") is None:
            # A row without a country leaves it alone: imports and simulators know none.
            connection.execute(
                "UPDATE registry.sites SET country = NULL WHERE tenant_id = %s AND site_id = %s", [tenant_id, site_id]
            )
        if is_active is not None:
            connection.execute(
                "UPDATE registry.sites SET is_active = %s WHERE tenant_id = %s AND site_id = %s",
                [is_active, tenant_id, site_id],
            )
        return find_site(connection, tenant_id, site_id)


def first_error(error: ValidationError) -> tuple[str | None, str]:
    """Field and reason of the first thing that is wrong."""
    found = error.errors()[0]
    reason = found["msg"].removeprefix("Value error, ")
    return ".".join(str(part) for part in found["loc"]) or None, reason[:1].lower() + reason[1:]


def _locked(connection: psycopg.Connection, tenant_id: str, site_ids: list[str]) -> dict[str, Row]:
    """Those of the sites that are registered; nobody else changes them until the end of the transaction."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            "SELECT * FROM registry.sites WHERE tenant_id = %s AND site_id = ANY(%s) ORDER BY site_id FOR UPDATE",
            [tenant_id, site_ids],
        )
        return {row["site_id"]: row for row in rows}


def _changed(known: Row, changes: Row) -> NewSite:
    """A registered site with changes; what followed from its other fields follows them on."""
    values = {name: known[name] for name in NewSite.model_fields}
    followed = {name: None for name, value in _derived(values).items() if value == values[name]}
    try:
        return NewSite.model_validate(values | followed | changes)
    except ValidationError as error:
        field, reason = first_error(error)
        raise RegistryError("invalid_site", f"{field}: {reason}" if field else reason, field) from error


def _row(tenant_id: str, site: NewSite) -> Row:
    values = site.model_dump()
    followed = {name: value for name, value in _derived(values).items() if values[name] is None}
    return {"tenant_id": tenant_id} | values | followed


def _derived(site: Row) -> Row:
    """What follows from a site's other fields where it is left out."""
    places = (site["seats"] or 0) + (site["standing"] or 0)
    return {"name": site["site_id"], "capacity": places or None, "hold_s": HOLD_S[site["kind"]]}
