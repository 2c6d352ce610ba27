"""Hotspots: where it is too full."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import psycopg
from fastapi import APIRouter, Body, Path, Query

from forecasting.hotspots import acknowledge
from forecasting.hotspots.areas import boundary
from serving.cursors import Cursor, decode_cursor, encode_cursor
from serving.database import Db
from serving.decisions import carried_out
from serving.problems import problem_responses
from serving.queries.operations import HOTSPOTS
from serving.schemas.actions import Acknowledged, Decision, EntityKind, Hotspot, HotspotPage
from serving.tenancy import Tenant

router = APIRouter(prefix="/api", tags=["hotspots and recommendations"])

StateFilter = Literal["open", "pending", "firing", "acknowledged", "resolved", "expired", "all"]
_STATES = {
    "open": ["firing", "acknowledged"],
    "all": ["pending", "firing", "acknowledged", "resolved", "expired"],
}


@router.get("/hotspots", responses=problem_responses(422))
async def hotspots(
    tenant_id: Tenant,
    database: Db,
    state: Annotated[StateFilter, Query(description="`open`: firing or acknowledged.")] = "open",
    source: Annotated[Literal["live", "forecast"] | None, Query(description="Seen now, or expected.")] = None,
    kind: Annotated[EntityKind | None, Query(description="Only sites, routes, or areas (H3 cells).")] = None,
    entity_id: Annotated[str | None, Query(max_length=200, description="Only of this site, area or route.")] = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Hotspots per page.")] = 50,
    cursor: Cursor = None,
) -> HotspotPage:
    """Where it is, or will be, too full: the most crowded passenger-minutes first."""
    after_minutes, after_id = decode_cursor(cursor, tuple[float, UUID]) if cursor else (None, None)
    rows = await database.rows(
        HOTSPOTS,
        {
            "tenant_id": tenant_id,
            "states": _STATES.get(state, [state]),
            "source": source,
            "kind": kind,
            "entity_id": entity_id,
            "after_minutes": after_minutes,
            "after_id": after_id,
            "limit": limit + 1,
        },
    )
    now = datetime.now(UTC)
    items = [_hotspot(row, now) for row in rows[:limit]]
    more = len(rows) > limit
    last = items[-1] if items else None
    next_cursor = encode_cursor((last.crowded_passenger_minutes, last.hotspot_id)) if more and last else None
    return HotspotPage(items=items, next_cursor=next_cursor, generated_at=now)


@router.post("/hotspots/{hotspot_id}/acknowledge", responses=problem_responses(404, 409, 422))
async def acknowledge_hotspot(
    hotspot_id: Annotated[UUID, Path(description="The hotspot's id.")],
    tenant_id: Tenant,
    database: Db,
    body: Annotated[Decision | None, Body(description="Who looks after it and why; may be left out.")] = None,
) -> Acknowledged:
    """Say that somebody looks after a firing hotspot. Saying so again changes nothing."""
    said = body or Decision()
    now = datetime.now(UTC)

    def work(connection: psycopg.Connection) -> str:
        found = acknowledge(connection, tenant_id, hotspot_id, actor=said.actor, reason=said.reason, now=now)
        return found.state

    state = await carried_out(database, work, "unknown_hotspot")
    return Acknowledged.model_validate({"hotspot_id": hotspot_id, "state": state, "generated_at": now})


def _hotspot(row: dict[str, Any], now: datetime) -> Hotspot:
    outline = boundary(row["entity_id"]) if row["entity_kind"] == "area" else None
    age_s = max(0.0, round((now - row["observed_at"]).total_seconds(), 1))
    return Hotspot(**row, boundary=outline, age_s=age_s)
