"""Is it alive, is it ready, how is every part; and the same as metrics."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client.core import GaugeMetricFamily

from ingest.gateways.gateway import Gateway
from ingest.gateways.metrics import event_counts
from serving.database import Database
from serving.health import Doctor, Report
from serving.metrics import MEDIA_TYPE, Families, RequestMetrics, exposition, gauge
from serving.schemas.system import Alive, Component, Health
from serving.snapshot import LiveState, Snapshot
from serving.tenancy import Tenant

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def alive() -> Alive:
    """The process runs. Says nothing about anything else; for a supervisor."""
    return Alive(ok=True)


@router.get("/health")
async def health(request: Request) -> Health:
    """The state of every part: database, Kafka, lander, marts, forecast. Answers 200 whatever it finds."""
    return _health(await _report(request))


@router.get("/health/ready", responses={503: {"model": Health, "description": "Not ready: see the components."}})
async def ready(request: Request) -> Response:
    """Whether requests should be sent here: 503 while the database or Kafka does not answer."""
    report = await _report(request)
    return JSONResponse(_health(report).model_dump(mode="json"), 200 if report.is_ready else 503)


@router.get("/metrics", response_class=PlainTextResponse, tags=["system"])
async def metrics(tenant_id: Tenant, live: LiveState, request: Request) -> Response:
    """Prometheus metrics: requests, the platform's parts, and the tenant's live sites."""
    report = await _report(request)
    snapshot = await live.of(tenant_id) if report.parts["database"].state == "ok" else None
    counted: RequestMetrics = request.app.state.request_metrics
    pools: dict[str, Database] = {"questions": request.app.state.database, "live": request.app.state.live_database}
    gateway: Gateway | None = getattr(request.app.state, "gateway", None)
    events = event_counts(gateway.accepted, gateway.refused) if gateway else ()
    families = [*_parts(report), _pools(pools), *_sites(snapshot), *events]
    return Response(exposition(counted, families), media_type=MEDIA_TYPE)


async def _report(request: Request) -> Report:
    doctor: Doctor = request.app.state.doctor
    return await doctor.report()


def _health(report: Report) -> Health:
    return Health(
        ok=report.status != "down",
        status=report.status,
        components={name: Component.model_validate(part.answer()) for name, part in report.parts.items()},
        checked_at=report.checked_at,
    )


def _parts(report: Report) -> Families:
    parts = report.parts
    yield gauge(
        "plimsoll_component_up",
        "1 if the part is ok, 0 if degraded or down; absent if unknown.",
        [({"component": n}, None if p.state == "unknown" else float(p.state == "ok")) for n, p in parts.items()],
    )
    lander = parts["lander"].figures
    yield gauge("plimsoll_lander_lag_messages", "Messages in Kafka, not landed.", [({}, lander.get("lag_messages"))])
    yield gauge("plimsoll_lander_last_batch_age_seconds", "Since the last landing.", [({}, lander.get("age_s"))])
    yield gauge(
        "plimsoll_newest_event_age_seconds", "Since the newest landed event.", [({}, lander.get("newest_event_age_s"))]
    )
    yield gauge(
        "plimsoll_marts_age_seconds", "Since the hourly mart changed.", [({}, parts["marts"].figures.get("age_s"))]
    )
    yield gauge(
        "plimsoll_forecast_age_seconds",
        "Since the origin of the newest forecast.",
        [({}, parts["forecast"].figures.get("age_s"))],
    )


def _pools(pools: dict[str, Database]) -> GaugeMetricFamily:
    values = [
        ({"pool": pool, "state": state}, float(value))
        for pool, database in pools.items()
        for state, value in database.statistics().items()
    ]
    return gauge("plimsoll_database_pool", "Connections of each pool, and requests waiting for one.", values)


def _sites(snapshot: Snapshot | None) -> Families:
    if snapshot is None:
        return
    counts: dict[tuple[str, str], int] = {}
    for site in snapshot.sites:
        key = (site.kind, "silent" if site.is_stale else "heard")
        counts[key] = counts.get(key, 0) + 1
    values = [({"kind": kind, "state": state}, float(count)) for (kind, state), count in sorted(counts.items())]
    yield gauge("plimsoll_sites", "Active sites of the tenant, heard lately or silent.", values)
