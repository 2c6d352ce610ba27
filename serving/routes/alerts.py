"""Alerts: what is wrong, with places, devices, data or the platform itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

import psycopg
from fastapi import APIRouter, Body, Path, Query

from forecasting.alerts import acknowledge
from serving.cursors import Cursor, decode_cursor, encode_cursor
from serving.database import Db
from serving.decisions import carried_out
from serving.problems import problem_responses
from serving.queries.operations import ALERTS
from serving.schemas.actions import Decision
from serving.schemas.alerts import AcknowledgedAlert, Alert, AlertPage
from serving.tenancy import Tenant

router = APIRouter(prefix="/api", tags=["alerts"])

StateFilter = Literal["open", "pending", "firing", "acknowledged", "resolved", "expired", "all"]
_STATES = {
    "open": ["firing", "acknowledged"],
    "all": ["pending", "firing", "acknowledged", "resolved", "expired"],
}


@router.get("/alerts", responses=problem_responses(422))
async def alerts(
    tenant_id: Tenant,
    database: Db,
    state: Annotated[StateFilter, Query(description="`open`: firing or acknowledged.")] = "open",
    rule: Annotated[str | None, Query(max_length=100, description="Only of this rule, such as data_late.")] = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Alerts per page.")] = 50,
    cursor: Cursor = None,
) -> AlertPage:
    """What a person should know of, and what became of it: the newest first."""
    after_at, after_id = decode_cursor(cursor, tuple[datetime, UUID]) if cursor else (None, None)
    rows = await database.rows(
        ALERTS,
        {
            "tenant_id": tenant_id,
            "states": _STATES.get(state, [state]),
            "rule": rule,
            "after_at": after_at,
            "after_id": after_id,
            "limit": limit + 1,
        },
    )
    items = [Alert(**row) for row in rows[:limit]]
    more = len(rows) > limit
    next_cursor = encode_cursor((items[-1].first_seen_at, items[-1].alert_id)) if more else None
    return AlertPage(items=items, next_cursor=next_cursor, generated_at=datetime.now(UTC))


@router.post("/alerts/{alert_id}/acknowledge", responses=problem_responses(404, 409, 422))
async def acknowledge_alert(
    alert_id: Annotated[UUID, Path(description="The alert's id.")],
    tenant_id: Tenant,
    database: Db,
    body: Annotated[Decision | None, Body(description="Who looks after it and why; may be left out.")] = None,
) -> AcknowledgedAlert:
    """Say that somebody looks after a firing alert. Saying so again changes nothing."""
    said = body or Decision()
    now = datetime.now(UTC)

    def work(connection: psycopg.Connection) -> str:
        return acknowledge(connection, tenant_id, alert_id, actor=said.actor, reason=said.reason, now=now).state

    state = await carried_out(database, work, "unknown_alert")
    return AcknowledgedAlert.model_validate({"alert_id": alert_id, "state": state, "generated_at": now})
