"""Sites and devices: who and what exists."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import psycopg
from fastapi import APIRouter, Path, Query, Response

from ingest.registry import devices as device_registry
from ingest.registry import sites as site_registry
from ingest.registry.entries import DeviceChange, Kind, NewDevice, NewSecret, NewSite, SiteChange
from serving.cursors import Cursor, decode_cursor, encode_cursor
from serving.database import Db
from serving.names import SITE
from serving.problems import ProblemError, problem_responses
from serving.registry import Limit, Registry
from serving.schemas.registry import Device, DevicePage, DeviceWithSecret, RegisteredSite, RegisteredSitePage
from serving.tenancy import Tenant

router = APIRouter(prefix="/api", tags=["registry"])

_PRINTABLE = r"^[^\x00-\x1f\x7f]+$"
SiteId = Annotated[str, Path(max_length=200, pattern=_PRINTABLE, description="The site's id.", examples=["TJ-0345"])]
DeviceId = Annotated[
    str, Path(max_length=200, pattern=_PRINTABLE, description="The device's id.", examples=["EDGE-A1B2"])
]


@router.get("/sites", responses=problem_responses(422))
async def sites(
    tenant_id: Tenant,
    database: Db,
    kind: Annotated[Kind | None, Query(description="Only of this kind.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> RegisteredSitePage:
    """The registered sites, retired ones included, by id."""
    after = decode_cursor(cursor, str) if cursor else None
    query = {"tenant_id": tenant_id, "site_id": None, "kind": kind, "after": after, "limit": limit + 1}
    rows = await database.rows(site_registry.SITES, query)
    items = [RegisteredSite(**row) for row in rows[:limit]]
    next_cursor = encode_cursor(items[-1].site_id) if len(rows) > limit else None
    return RegisteredSitePage(items=items, next_cursor=next_cursor, generated_at=datetime.now(UTC))


@router.post("/sites", status_code=201, responses=problem_responses(409, 422))
async def add_site(site: NewSite, tenant_id: Tenant, registry: Registry) -> RegisteredSite:
    """Register a site. Its events may have come before: they count for it."""
    return RegisteredSite(**await registry.write(lambda c: site_registry.add_site(c, tenant_id, site)))


@router.get(f"/sites/{SITE}", responses=problem_responses(404))
async def site(site_id: SiteId, tenant_id: Tenant, database: Db) -> RegisteredSite:
    """One registered site."""
    query = {"tenant_id": tenant_id, "site_id": site_id, "kind": None, "after": None, "limit": 1}
    row = await database.row(site_registry.SITES, query)
    if row is None:
        raise ProblemError(404, "unknown_site", f"No site '{site_id}' is registered.", "site_id")
    return RegisteredSite(**row)


@router.patch(f"/sites/{SITE}", responses=problem_responses(404, 422))
async def change_site(site_id: SiteId, change: SiteChange, tenant_id: Tenant, registry: Registry) -> RegisteredSite:
    """Change what is given; the rest stays."""
    return RegisteredSite(**await registry.write(lambda c: site_registry.change_site(c, tenant_id, site_id, change)))


@router.delete(f"/sites/{SITE}", status_code=204, responses=problem_responses(404))
async def retire_site(site_id: SiteId, tenant_id: Tenant, registry: Registry) -> Response:
    """Retire a site: it is not shown and not forecast any more. Its history stays; PATCH brings it back."""
    retired = SiteChange(is_active=False)
    await registry.write(lambda c: site_registry.change_site(c, tenant_id, site_id, retired))
    return Response(status_code=204)


@router.get("/devices", responses=problem_responses(422))
async def devices(
    tenant_id: Tenant,
    database: Db,
    site_id: Annotated[
        str | None, Query(max_length=200, pattern=_PRINTABLE, description="Only those that count for this site.")
    ] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> DevicePage:
    """The registered devices, revoked ones included, by id. Secrets are never told."""
    after = decode_cursor(cursor, str) if cursor else None
    query = {"tenant_id": tenant_id, "device_id": None, "site_id": site_id, "after": after, "limit": limit + 1}
    rows = await database.rows(device_registry.DEVICES, query)
    items = [Device(**row) for row in rows[:limit]]
    next_cursor = encode_cursor(items[-1].device_id) if len(rows) > limit else None
    return DevicePage(items=items, next_cursor=next_cursor, generated_at=datetime.now(UTC))


@router.post("/devices", status_code=201, responses=problem_responses(409, 422))
async def add_device(device: NewDevice, tenant_id: Tenant, registry: Registry, response: Response) -> DeviceWithSecret:
    """Register a device. The answer tells the secret that it has to sign with, this once."""

    def add(connection: psycopg.Connection) -> dict[str, Any]:
        secret = device_registry.add_device(connection, tenant_id, device)
        return {**device_registry.find_device(connection, tenant_id, device.device_id), "secret": secret}

    response.headers["Cache-Control"] = "no-store"
    return DeviceWithSecret(**await registry.write(add))


@router.get("/devices/{device_id}", responses=problem_responses(404))
async def device(device_id: DeviceId, tenant_id: Tenant, database: Db) -> Device:
    """One registered device."""
    query = {"tenant_id": tenant_id, "device_id": device_id, "site_id": None, "after": None, "limit": 1}
    row = await database.row(device_registry.DEVICES, query)
    if row is None:
        raise ProblemError(404, "unknown_device", f"No device '{device_id}' is registered.", "device_id")
    return Device(**row)


@router.patch("/devices/{device_id}", responses=problem_responses(404, 409, 422))
async def move_device(device_id: DeviceId, change: DeviceChange, tenant_id: Tenant, registry: Registry) -> Device:
    """Let a device count for another site from now on; its past stays where it was."""
    return Device(
        **await registry.write(lambda c: device_registry.move_device(c, tenant_id, device_id, change.site_id))
    )


@router.post("/devices/{device_id}/secret", status_code=201, responses=problem_responses(404, 409, 422))
async def exchange_secret(
    device_id: DeviceId, exchange: NewSecret, tenant_id: Tenant, registry: Registry, response: Response
) -> DeviceWithSecret:
    """Give a device a new secret, told this once; the old one counts for some hours beside it."""

    def renew(connection: psycopg.Connection) -> dict[str, Any]:
        overlap = timedelta(hours=exchange.overlap_hours)
        exchanged = device_registry.exchange_secret(connection, tenant_id, device_id, overlap)
        return {**device_registry.find_device(connection, tenant_id, device_id), "secret": exchanged.secret}

    response.headers["Cache-Control"] = "no-store"
    return DeviceWithSecret(**await registry.write(renew))


@router.delete("/devices/{device_id}", status_code=204, responses=problem_responses(404))
async def revoke_device(device_id: DeviceId, tenant_id: Tenant, registry: Registry) -> Response:
    """Refuse a device from now on; gateways notice within half a minute."""
    await registry.write(lambda c: device_registry.revoke_device(c, tenant_id, device_id))
    return Response(status_code=204)
