"""One round of watching for a tenant: read what is wrong, decide, write, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg

from forecasting.alerts.model import is_over, noticed
from forecasting.alerts.records import WATCHER, exclusive, read_warm, write
from forecasting.alerts.signals import high_occupancy, late_streams, silent_devices

_WATCHED = ("high_occupancy", "device_offline", "data_late")  # the others are raised and resolved by who notices


@dataclass(frozen=True)
class WatchResult:
    """A round over one tenant: alerts open after it, and those that fired or were resolved in it."""

    open: int
    fired: int
    resolved: int


def watch(
    connection: psycopg.Connection, tenant_id: str, now: datetime, freshness: Mapping[str, timedelta] | None = None
) -> WatchResult:
    """Bring a tenant's alerts up to date with what is wrong; run again at the same `now`, change nothing.

    Args:
        connection: an open connection; the round is one transaction on it.
        tenant_id: whose alerts.
        now: the instant to judge by (UTC).
        freshness: by topic, how old its newest landing may be; streams belong to the installation, so give it with one
            tenant only.
    """
    with exclusive(connection, tenant_id):
        conditions = [
            *high_occupancy(connection, tenant_id),
            *silent_devices(connection, tenant_id, now),
            *late_streams(connection, freshness or {}, now),
        ]
        holding = {condition.fingerprint: condition for condition in conditions}
        known = {alert.fingerprint: alert for alert in read_warm(connection, tenant_id, now)}
        outcomes = [noticed(known.get(one.fingerprint), one, now) for one in holding.values()]
        outcomes += [
            is_over(alert, now) if alert.rule in _WATCHED else (alert, None)
            for alert in known.values()
            if alert.is_open and alert.fingerprint not in holding
        ]
        write(connection, tenant_id, outcomes, now, WATCHER)
    states = [change.to_state for _, change in outcomes if change]
    return WatchResult(
        open=sum(alert.is_open for alert, _ in outcomes),
        fired=states.count("firing"),
        resolved=states.count("resolved"),
    )
