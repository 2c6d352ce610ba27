"""The application: what it is made of, and what it opens and closes with its life."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI

from ingest.gateways.devices import REGISTRATIONS, Devices, Find
from ingest.gateways.gateway import Gateway
from ingest.gateways.http import RequestRefused, create_router, refused_response
from plimsoll.contracts import load_contracts
from plimsoll.settings import Settings
from serving import problems
from serving.broker import Broker
from serving.database import Database, Row
from serving.explanations import Explainer
from serving.health import Doctor
from serving.levels import load_levels
from serving.metrics import CountRequests, RequestMetrics
from serving.routes import (
    alerts,
    calendar,
    forecast,
    health,
    hotspots,
    map,
    occupancy,
    pages,
    recommendations,
    registry,
    system,
)
from serving.security import BodyLimit, HeadAsGet, SecurityHeaders
from serving.snapshot import Snapshots
from serving.tenancy import TenantFinder, require_tenant

log = logging.getLogger(__name__)

_DESCRIPTION = """
How full is every bus, venue, road and fleet, now and for the next week, and what should be done about it.

**Times** are UTC, ISO 8601. **Load factor** is people ÷ capacity: 1 is full, more is possible. A site that is not heard
any more is unknown, never empty. Lists come in pages: pass `next_cursor` back as `cursor`. Errors are
`application/problem+json` (RFC 9457) and name the field that is wrong. In production every request but the health
checks, the page and this documentation carries an API key, as `X-API-Key` or as bearer token.
"""
_TAGS = [
    {"name": "occupancy", "description": "How full sites are now, and were."},
    {"name": "forecast", "description": "How full they will be, with an 80 % band."},
    {"name": "hotspots and recommendations", "description": "Where it is too full, and what to do about it."},
    {"name": "alerts", "description": "What a person should know of: crowds, silent devices, late data, failed jobs."},
    {"name": "map and routes", "description": "The same by position and by route."},
    {
        "name": "ingest",
        "description": "What devices send, answered only when Kafka has acknowledged. Traffic counts also come over "
        "the WebSocket `/ws`: one JSON message each, as for /api/traffic/ingest, each answered with "
        '`{"status": "ok"}` or an error that names the field.',
    },
    {"name": "registry", "description": "The sites and devices that exist, and their calendar."},
    {"name": "health", "description": "For supervisors and balancers; no key needed."},
    {"name": "system", "description": "For operators."},
]


def create_app(settings: Settings) -> FastAPI:
    """The application; nothing is opened before it starts.

    Raises:
        PlimsollError: production without API keys, or no database known.
    """
    database_url = settings.require_database_url()
    tenants = TenantFinder.from_environment(settings)
    app = FastAPI(
        title="Plimsoll",
        version=version("plimsoll"),
        summary="Occupancy, forecasts and recommendations.",
        description=_DESCRIPTION,
        openapi_tags=_TAGS,
        docs_url=None,  # the stock page loads its parts from elsewhere; ours is in routes/pages.py
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.settings = settings
    app.state.tenants = tenants
    app.state.levels = load_levels()
    app.state.request_metrics = RequestMetrics()
    app.state.database = Database(database_url)
    app.state.live_database = Database.for_live_state(database_url)
    app.state.snapshots = Snapshots(app.state.live_database, app.state.levels)
    app.state.broker = Broker(settings.kafka_bootstrap_servers) if settings.kafka_bootstrap_servers else None
    app.state.explainer = Explainer(app.state.database, settings.country)
    app.state.doctor = Doctor(app.state.live_database, app.state.broker)
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(CountRequests, metrics=app.state.request_metrics)
    app.add_middleware(HeadAsGet)
    problems.install(app)
    app.add_exception_handler(RequestRefused, refused_response)
    _include_routes(app, settings)
    _complete_documentation(app)
    return app


def _include_routes(app: FastAPI, settings: Settings) -> None:
    needs_key = problems.problem_responses(401, 503)
    # First, because routes are tried in their order and most requests are events.
    app.include_router(
        create_router(
            require_tenant,
            max_body_bytes=settings.max_body_bytes,
            max_events_per_minute=settings.max_events_per_minute,
            unregistered_devices=settings.mode == "development",
        ),
        responses=needs_key,
    )
    for module in (occupancy, forecast, hotspots, recommendations, alerts, map, registry, calendar, system):
        app.include_router(module.router, responses=needs_key)
    app.include_router(health.router)
    app.include_router(pages.router)
    app.mount("/static", pages.static_files)


def _complete_documentation(app: FastAPI) -> None:
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            document["components"]["schemas"] |= problems.problem_schemas()
            for operations in document["paths"].values():
                for operation in operations.values():
                    # A docstring begins with what the operation does, which says more than the function's name.
                    operation["summary"] = operation.get("description", "").split(":")[0].split(".")[0]
        return generate()

    app.openapi = openapi  # type: ignore[method-assign]


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    databases: list[Database] = [app.state.database, app.state.live_database]
    app.state.started_at = datetime.now(UTC)
    for database in databases:
        await database.open()
    gateway = Gateway(settings.kafka_bootstrap_servers, load_contracts(settings.contracts_dir))
    app.state.gateway = gateway
    app.state.devices = Devices(_find_devices(app.state.live_database))
    if settings.kafka_bootstrap_servers is None:
        log.warning("no Kafka is configured: this service answers questions and takes no events")
    try:
        yield
    finally:
        await gateway.close()
        if app.state.broker is not None:
            await app.state.broker.close()
        for database in databases:
            await database.close()


def _find_devices(database: Database) -> Find:
    async def find(tenant_id: str, device_ids: list[str]) -> list[Row]:
        return await database.rows(REGISTRATIONS, {"tenant_id": tenant_id, "device_ids": device_ids})

    return find
