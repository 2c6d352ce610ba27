"""Hotspots, recommendations and alerts for every tenant, counted for people to see. Runs in assets and sensors.

Each round serves every tenant and gives, beside its counts, the names of those that failed.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg

from orchestration.each_tenant import serve_each
from orchestration.resources import tenants
from plimsoll.contracts import load_contracts
from plimsoll.settings import Settings


@dataclass(frozen=True)
class Watched:
    """A round of detection over all tenants; see `forecasting.hotspots.DetectionResult`."""

    open: int = 0
    raised: int = 0
    fired: int = 0
    cleared: int = 0
    expired: int = 0
    entities_known: int = 0
    entities_silent: int = 0


@dataclass(frozen=True)
class Recommended:
    """What is recommended after a round over all tenants.

    Attributes:
        open: proposed and accepted.
        proposed_now: those that this round made.
        accepted: those that somebody has accepted.
        crowded_minutes_avoided: what the open ones are expected to save, crowded passenger-minutes.
    """

    open: int = 0
    proposed_now: int = 0
    accepted: int = 0
    crowded_minutes_avoided: int = 0


@dataclass(frozen=True)
class Alerted:
    """Alerts after a round over all tenants; see `forecasting.alerts.watching.WatchResult`."""

    open: int = 0
    fired: int = 0
    resolved: int = 0


def watch_everywhere(log: logging.Logger, connection: psycopg.Connection) -> tuple[Watched, list[str]]:
    """Bring the hotspots of every tenant up to date."""
    from forecasting.hotspots import detect

    now = datetime.now(UTC)
    detected, failed = serve_each(log, connection, tenants(connection), lambda tenant: detect(connection, tenant, now))
    found = detected.values()
    watched = Watched(
        open=sum(len(one.open) for one in found),
        raised=sum(len(one.raised) for one in found),
        fired=sum(len(one.fired) for one in found),
        cleared=sum(len(one.cleared) for one in found),
        expired=sum(len(one.expired) for one in found),
        entities_known=sum(one.entities_known for one in found),
        entities_silent=sum(one.entities_unknown for one in found),
    )
    return watched, failed


def recommend_everywhere(log: logging.Logger, connection: psycopg.Connection) -> tuple[Recommended, list[str]]:
    """Bring the recommendations of every tenant up to date."""
    from forecasting.recommendations import recommend

    now = datetime.now(UTC)
    found, failed = serve_each(log, connection, tenants(connection), lambda tenant: recommend(connection, tenant, now))
    open_now = [one for of_tenant in found.values() for one in of_tenant]
    recommended = Recommended(
        open=len(open_now),
        proposed_now=sum(one.created_at == now for one in open_now),
        accepted=sum(one.state == "accepted" for one in open_now),
        crowded_minutes_avoided=round(sum(one.expected_effect["crowded_minutes_avoided"] for one in open_now)),
    )
    return recommended, failed


def alert_everywhere(
    log: logging.Logger, connection: psycopg.Connection, settings: Settings
) -> tuple[Alerted, list[str]]:
    """Bring the alerts of every tenant up to date; those about streams are the default tenant's."""
    from forecasting.alerts.watching import WatchResult, watch

    now = datetime.now(UTC)
    contracts = load_contracts(settings.contracts_dir).values()
    promised = {contract.topic: contract.freshness for contract in contracts if contract.freshness}

    def look(tenant: str) -> WatchResult:
        return watch(connection, tenant, now, promised if tenant == settings.default_tenant else None)

    looked, failed = serve_each(log, connection, tenants(connection), look)
    found = looked.values()
    alerted = Alerted(
        open=sum(one.open for one in found),
        fired=sum(one.fired for one in found),
        resolved=sum(one.resolved for one in found),
    )
    return alerted, failed
