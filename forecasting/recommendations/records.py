"""Recommendations in PostgreSQL: recorded once each, kept up to date while open, decided upon; all with audit."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Literal

import psycopg
from psycopg.rows import class_row

from forecasting.audit import RECOMMENDATIONS, Change, stored
from forecasting.hotspots.model import Entity
from forecasting.hotspots.policy import HotspotPolicy
from forecasting.lifecycle import RECOMMENDATION, RecordExpired, UnknownRecord
from forecasting.plain import plain
from forecasting.recommendations.proposals import Recommendation, propose, ranked
from forecasting.recommendations.reading import read_situations

Decision = Literal["accept", "dismiss", "execute"]

RECOMMENDER = "recommender"
# What a person has dismissed or done is not said again for at least so long.
LEFT_ALONE = timedelta(minutes=30)
_LOCK_SPACE = 7_305_806  # first half of the advisory locks, one per tenant
_STATES: dict[Decision, str] = {"accept": "accepted", "dismiss": "dismissed", "execute": "executed"}
_COLUMNS = ", ".join(field.name for field in fields(Recommendation))
_SELECT = f"SELECT {_COLUMNS} FROM ops.recommendations "  # noqa: S608
_FRESH = ("summary", "preconditions", "evidence", "expected_effect", "confidence", "expires_at", "hotspot_id")


def recommend(
    connection: psycopg.Connection, tenant_id: str, now: datetime, policy: HotspotPolicy | None = None
) -> list[Recommendation]:
    """Record what should be done, and return what is open: proposed and accepted, what saves most first.

    An open proposal is brought up to date, an accepted one is left as it was accepted. What has run out, or whose
    hotspot has ended, expires. Run again at the same `now`, nothing changes. One transaction.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [_LOCK_SPACE, tenant_id])
        _expire(connection, tenant_id, now)
        situations = read_situations(connection, tenant_id, now, policy or HotspotPolicy())
        proposals = [proposal for situation in situations for proposal in propose(situation)]
        known = {one.fingerprint: one for one in _read_open(connection, tenant_id)}
        resting = _read_resting(connection, tenant_id, now)
        new = [one for one in proposals if one.fingerprint not in known and one.fingerprint not in resting]
        _insert(connection, tenant_id, new, now)
        _refresh(connection, tenant_id, [one for one in proposals if _is_news(known.get(one.fingerprint), one)])
        return ranked(_read_open(connection, tenant_id))


def recommend_for_site(
    connection: psycopg.Connection,
    tenant_id: str,
    site_id: str,
    now: datetime,
    policy: HotspotPolicy | None = None,
) -> list[Recommendation]:
    """What could be done for one site now, without recording it; what saves most first.

    For a vehicle in service that is what could be done for its route and direction. What is recorded already keeps
    its id and state, so that it can be decided upon.

    Raises:
        UnknownRecord: the tenant has no such site.
    """
    entity = _entity_of(connection, tenant_id, site_id)
    [situation] = read_situations(connection, tenant_id, now, policy or HotspotPolicy(), entity)
    recorded = {one.fingerprint: one for one in _read_open(connection, tenant_id, entity) if one.expires_at > now}
    resting = _read_resting(connection, tenant_id, now)
    proposals = [one for one in propose(situation) if one.fingerprint not in resting]
    return ranked(_with_identity(one, recorded.get(one.fingerprint)) for one in proposals)


def _with_identity(proposal: Recommendation, recorded: Recommendation | None) -> Recommendation:
    if recorded is None:
        return proposal
    if recorded.state == "accepted":
        return recorded
    return replace(proposal, recommendation_id=recorded.recommendation_id, created_at=recorded.created_at)


def _entity_of(connection: psycopg.Connection, tenant_id: str, site_id: str) -> Entity:
    row = connection.execute(
        """
        SELECT coalesce(live.route_id, sites.route_id), live.direction_id
        FROM (SELECT %(tenant)s::text AS tenant_id, %(site)s::text AS site_id) AS asked
        LEFT JOIN live.occupancy AS live USING (tenant_id, site_id)
        LEFT JOIN registry.sites USING (tenant_id, site_id)
        WHERE live.site_id IS NOT NULL OR sites.site_id IS NOT NULL
        UNION ALL
        SELECT NULL, NULL FROM live.traffic WHERE tenant_id = %(tenant)s AND stream_id::text = %(site)s
        LIMIT 1
        """,
        {"tenant": tenant_id, "site": site_id},
    ).fetchone()
    if row is None:
        raise UnknownRecord(f"there is no site {site_id!r}: GET /api/occupancy/now lists them")
    route_id, direction = row
    return Entity("route", route_id, direction) if route_id is not None else Entity("site", site_id)


def decide(
    connection: psycopg.Connection,
    tenant_id: str,
    recommendation_id: uuid.UUID,
    decision: Decision,
    *,
    actor: str,
    reason: str = "",
    now: datetime,
) -> Recommendation:
    """Record a person's decision and return the recommendation as it is now. Deciding the same again changes nothing.

    Raises:
        UnknownRecord: the tenant has no such recommendation.
        RecordExpired: it has run out.
        WrongState: it was decided otherwise already.
    """
    to_state = _STATES[decision]
    with connection.transaction():
        known = _read_one(connection, tenant_id, recommendation_id)
        if known.state == to_state:
            return known
        if known.state in ("proposed", "accepted") and known.expires_at <= now:
            raise RecordExpired(
                f"this recommendation ran out at {known.expires_at:%Y-%m-%d %H:%M} UTC and can no longer be {to_state}",
                "expired",
            )
        RECOMMENDATION.require(known.state, to_state)
        until = _stands_until(known, to_state)
        connection.execute(
            """
            UPDATE ops.recommendations
            SET state = %s, decided_at = %s, decided_by = %s, reason = %s, updated_at = %s, expires_at = %s
            WHERE tenant_id = %s AND recommendation_id = %s
            """,
            [to_state, now, actor, reason or None, now, until, tenant_id, recommendation_id],
        )
        change = Change(recommendation_id, known.state, to_state, reason or decision)
        RECOMMENDATIONS.append(connection, tenant_id, [change], now, actor)
        return replace(
            known, state=to_state, decided_at=now, decided_by=actor, reason=reason or None, updated_at=now,
            expires_at=until,
        )  # fmt: skip


def _stands_until(known: Recommendation, to_state: str) -> datetime:
    """A proposal is for acting in time; what is accepted stands, and keeps its vehicle, until its window is over."""
    window_to = known.evidence.get("window_to")
    if to_state != "accepted" or window_to is None:
        return known.expires_at
    return max(known.expires_at, datetime.fromisoformat(window_to))


def _read_one(connection: psycopg.Connection, tenant_id: str, recommendation_id: uuid.UUID) -> Recommendation:
    with connection.cursor(row_factory=class_row(Recommendation)) as cursor:
        query = _SELECT + "WHERE tenant_id = %s AND recommendation_id = %s FOR UPDATE"
        found = cursor.execute(query.encode(), [tenant_id, recommendation_id]).fetchone()
    if found is None:
        raise UnknownRecord(f"there is no recommendation {recommendation_id}: GET /api/recommendations lists them")
    return found


def _read_open(connection: psycopg.Connection, tenant_id: str, entity: Entity | None = None) -> list[Recommendation]:
    query = _SELECT + (
        "WHERE tenant_id = %(tenant)s AND state IN ('proposed', 'accepted') AND (%(kind)s::text IS NULL "
        "OR entity_kind = %(kind)s AND entity_id = %(id)s AND direction_id IS NOT DISTINCT FROM %(direction)s::int) "
        "ORDER BY fingerprint"
    )
    parameters = {
        **{"tenant": tenant_id, "kind": entity and entity.kind},
        **{"id": entity and entity.entity_id, "direction": entity and entity.direction_id},
    }
    with connection.cursor(row_factory=class_row(Recommendation)) as cursor:
        return cursor.execute(query.encode(), parameters).fetchall()


def _read_resting(connection: psycopg.Connection, tenant_id: str, now: datetime) -> set[str]:
    """Fingerprints that a person has dealt with lately, or for as long as the recommendation would have stood."""
    rows = connection.execute(
        """
        SELECT fingerprint FROM ops.recommendations
        WHERE tenant_id = %s AND state IN ('dismissed', 'executed')
          AND (expires_at > %s OR decided_at > %s::timestamptz - %s)
        """,
        [tenant_id, now, now, LEFT_ALONE],
    )
    return {fingerprint for (fingerprint,) in rows}


def _is_news(known: Recommendation | None, proposal: Recommendation) -> bool:
    if known is None or known.state != "proposed" or known.updated_at >= proposal.updated_at:
        return False
    return any(plain(getattr(known, name)) != plain(getattr(proposal, name)) for name in _FRESH)


def _insert(connection: psycopg.Connection, tenant_id: str, proposals: Iterable[Recommendation], now: datetime) -> None:
    names = [field.name for field in fields(Recommendation)]
    statement = (
        f"INSERT INTO ops.recommendations (tenant_id, {', '.join(names)}) "  # noqa: S608
        f"VALUES ({', '.join(['%s'] * (len(names) + 1))})"
    )
    rows, changes = [], []
    for proposal in proposals:
        recommendation_id = uuid.uuid4()
        recorded = replace(proposal, recommendation_id=recommendation_id)
        rows.append([tenant_id, *(stored(getattr(recorded, name)) for name in names)])
        changes.append(Change(recommendation_id, None, "proposed", proposal.summary))
    with connection.cursor() as cursor:
        cursor.executemany(statement.encode(), rows)
    RECOMMENDATIONS.append(connection, tenant_id, changes, now, RECOMMENDER)


def _refresh(connection: psycopg.Connection, tenant_id: str, proposals: Iterable[Recommendation]) -> None:
    updated = (*_FRESH, "updated_at")
    statement = (
        f"UPDATE ops.recommendations SET {', '.join(f'{name} = %s' for name in updated)} "  # noqa: S608
        "WHERE tenant_id = %s AND fingerprint = %s AND state = 'proposed'"
    )
    rows = [[*(stored(getattr(one, name)) for name in updated), tenant_id, one.fingerprint] for one in proposals]
    with connection.cursor() as cursor:
        cursor.executemany(statement.encode(), rows)


def _expire(connection: psycopg.Connection, tenant_id: str, now: datetime) -> None:
    """End what has run out, and proposals whose hotspot has ended."""
    rows = connection.execute(
        """
        SELECT recommendation_id, recommendations.state,
               CASE WHEN expires_at <= %(now)s THEN 'it ran out'
                    ELSE 'the hotspot is ' || hotspots.state END
        FROM ops.recommendations
        LEFT JOIN ops.hotspots USING (tenant_id, hotspot_id)
        WHERE tenant_id = %(tenant)s AND recommendations.state IN ('proposed', 'accepted')
          AND (expires_at <= %(now)s OR recommendations.state = 'proposed' AND hotspots.ended_at IS NOT NULL)
        FOR UPDATE OF recommendations
        """,
        {"tenant": tenant_id, "now": now},
    ).fetchall()
    connection.execute(
        "UPDATE ops.recommendations SET state = 'expired', updated_at = %s "
        "WHERE tenant_id = %s AND recommendation_id = ANY(%s)",
        [now, tenant_id, [recommendation_id for recommendation_id, *_ in rows]],
    )
    changes = [Change(recommendation_id, state, "expired", reason) for recommendation_id, state, reason in rows]
    RECOMMENDATIONS.append(connection, tenant_id, changes, now, RECOMMENDER)
