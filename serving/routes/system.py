"""The platform in detail, for operators."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from importlib.metadata import version

from fastapi import APIRouter, Request

from plimsoll.settings import Settings
from serving.database import Db
from serving.health import Doctor
from serving.queries.system import CHAMPIONS, DEVICES, STREAMS
from serving.schemas.system import Component, ModelStatus, SitesByKind, StreamStatus, SystemStatus
from serving.snapshot import LiveState
from serving.tenancy import Tenant

router = APIRouter(prefix="/api", tags=["system"])


@router.get("/system/status")
async def system_status(tenant_id: Tenant, live: LiveState, database: Db, request: Request) -> SystemStatus:
    """The state of every part, the tenant's sites and devices, the streams, and the forecasting models in use."""
    settings: Settings = request.app.state.settings
    doctor: Doctor = request.app.state.doctor
    report = await doctor.report()
    snapshot = await live.of(tenant_id)
    sites = Counter(site.kind for site in snapshot.sites)
    heard = Counter(site.kind for site in snapshot.sites if not site.is_stale)
    devices = await database.rows(DEVICES, {"tenant_id": tenant_id})
    champions = await database.rows(CHAMPIONS, {"tenant_id": tenant_id})
    now = datetime.now(UTC)
    started_at: datetime = request.app.state.started_at
    return SystemStatus(
        version=version("plimsoll"),
        mode=settings.mode,
        started_at=started_at,
        uptime_s=round((now - started_at).total_seconds(), 1),
        status=report.status,
        components={name: Component.model_validate(part.answer()) for name, part in report.parts.items()},
        sites={kind: SitesByKind(sites=number, heard=heard[kind]) for kind, number in sorted(sites.items())},
        devices={row["status"]: row["devices"] for row in devices},
        streams=[StreamStatus(**row) for row in await database.rows(STREAMS)],
        models=[ModelStatus(**champion) for champion in champions],
        generated_at=now,
    )
