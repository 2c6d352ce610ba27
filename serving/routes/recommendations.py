"""Recommendations: what to do about it, and what was decided."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import psycopg
from fastapi import APIRouter, Body, Path, Query, Request

from forecasting.recommendations import Decision as Choice
from forecasting.recommendations import Recommendation as Proposal
from forecasting.recommendations import decide, recommend_for_site
from serving.cursors import Cursor, decode_cursor, encode_cursor
from serving.database import Database, Db
from serving.decisions import carried_out
from serving.problems import problem_responses
from serving.queries.operations import RECOMMENDATIONS
from serving.schemas.actions import Decision, OnDemand, Recommendation, RecommendationPage
from serving.sites import SiteInQuery, find_site, site_or_default
from serving.snapshot import LiveState
from serving.tenancy import Tenant

router = APIRouter(prefix="/api", tags=["hotspots and recommendations"])

StateFilter = Literal["open", "proposed", "accepted", "dismissed", "executed", "expired", "all"]
_STATES = {
    "open": ["proposed", "accepted"],
    "all": ["proposed", "accepted", "dismissed", "executed", "expired"],
}
RecommendationId = Annotated[UUID, Path(description="The recommendation's id.")]
DecisionBody = Annotated[Decision | None, Body(description="Who decides and why; may be left out.")]


@router.get("/recommendations", responses=problem_responses(422))
async def recommendations(
    tenant_id: Tenant,
    database: Db,
    state: Annotated[StateFilter, Query(description="`open`: proposed and not expired, or accepted.")] = "open",
    entity_id: Annotated[str | None, Query(max_length=200, description="Only for this site, area or route.")] = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Recommendations per page.")] = 50,
    cursor: Cursor = None,
) -> RecommendationPage:
    """What is recommended, and what became of it: the newest first."""
    after_at, after_id = decode_cursor(cursor, tuple[datetime, UUID]) if cursor else (None, None)
    rows = await database.rows(
        RECOMMENDATIONS,
        {
            "tenant_id": tenant_id,
            "states": _STATES.get(state, [state]),
            "only_open": state == "open",
            "entity_id": entity_id,
            "after_at": after_at,
            "after_id": after_id,
            "limit": limit + 1,
        },
    )
    now = datetime.now(UTC)
    items = [_recommendation(row, now) for row in rows[:limit]]
    more = len(rows) > limit
    last = items[-1] if items else None
    next_cursor = encode_cursor((last.created_at, last.recommendation_id)) if more and last else None
    return RecommendationPage(items=items, next_cursor=next_cursor, generated_at=now)


@router.post("/recommendations/{recommendation_id}/accept", responses=problem_responses(404, 409, 422))
async def accept(
    recommendation_id: RecommendationId, tenant_id: Tenant, database: Db, body: DecisionBody = None
) -> Recommendation:
    """Accept a proposed recommendation: it will be done. Accepting it again changes nothing."""
    return await _decided(database, tenant_id, recommendation_id, "accept", body)


@router.post("/recommendations/{recommendation_id}/dismiss", responses=problem_responses(404, 409, 422))
async def dismiss(
    recommendation_id: RecommendationId, tenant_id: Tenant, database: Db, body: DecisionBody = None
) -> Recommendation:
    """Dismiss a recommendation: it will not be done, and is not proposed again for a while."""
    return await _decided(database, tenant_id, recommendation_id, "dismiss", body)


@router.post("/recommendations/{recommendation_id}/execute", responses=problem_responses(404, 409, 422))
async def execute(
    recommendation_id: RecommendationId, tenant_id: Tenant, database: Db, body: DecisionBody = None
) -> Recommendation:
    """Say that a recommendation was carried out."""
    return await _decided(database, tenant_id, recommendation_id, "execute", body)


@router.get("/recommendation", responses=problem_responses(404, 422))
async def recommendation(
    tenant_id: Tenant, live: LiveState, database: Db, request: Request, site_id: SiteInQuery = None
) -> OnDemand:
    """What could be done about one site at this moment; asking records nothing.

    For a bus in service this is about its route. What is recorded already has its `recommendation_id`.
    """
    snapshot = await live.of(tenant_id)
    site = find_site(snapshot, site_or_default(snapshot, site_id, request.app.state.settings))
    now = datetime.now(UTC)

    def work(connection: psycopg.Connection) -> list[Proposal]:
        return recommend_for_site(connection, tenant_id, site.site_id, now)

    found = await carried_out(database, work, "unknown_site")
    return OnDemand(site_id=site.site_id, items=[_of_proposal(one, now) for one in found], generated_at=now)


async def _decided(
    database: Database, tenant_id: str, recommendation_id: UUID, choice: Choice, body: Decision | None
) -> Recommendation:
    said = body or Decision()
    now = datetime.now(UTC)

    def work(connection: psycopg.Connection) -> Proposal:
        return decide(connection, tenant_id, recommendation_id, choice, actor=said.actor, reason=said.reason, now=now)

    return _of_proposal(await carried_out(database, work, "unknown_recommendation"), now)


def _of_proposal(proposal: Proposal, now: datetime) -> Recommendation:
    return _recommendation(vars(proposal), now)


def _recommendation(row: Mapping[str, Any], now: datetime) -> Recommendation:
    age_s = max(0.0, round((now - row["created_at"]).total_seconds(), 1))
    return Recommendation.model_validate({**row, "age_s": age_s})
