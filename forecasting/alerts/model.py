"""What an alert is and how it goes from one look to the next. Pure: no clock, no database.

pending ──holds──▶ firing ──▶ acknowledged ──over for a while──▶ resolved
└─ over ─▶ expired                firing ◀── again within the cool-down
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from forecasting.audit import Change

OPEN_STATES = ("pending", "firing", "acknowledged")


@dataclass(frozen=True)
class Rule:
    """How steady something must be before people hear of it.

    Attributes:
        raise_after: how long it must hold before it fires.
        clear_after: how long it must be over before it is resolved.
        cool_down: for so long after its end it continues the same alert; and firing is announced at most once in it.
    """

    raise_after: timedelta = timedelta(0)
    clear_after: timedelta = timedelta(0)
    cool_down: timedelta = timedelta(minutes=30)


_STEADY = Rule(timedelta(minutes=5), timedelta(minutes=5), timedelta(minutes=60))
RULES: dict[str, Rule] = {
    "high_occupancy": Rule(),  # the hotspot behind it has its own ten minutes
    "device_offline": _STEADY,
    "data_late": _STEADY,
    "system_error": Rule(),
}


@dataclass(frozen=True)
class Condition:
    """Something that is wrong now.

    Attributes:
        rule: which rule it breaks: one of `RULES`, or a new name, which fires and resolves at once.
        entity_kind: site, route, area, device, stream or system.
        entity_id: which one; the part of the system or the job, for `system`.
        message: what is wrong, where, and what to do.
        severity: warning, high or critical.
        evidence: the numbers behind it.
    """

    rule: str
    entity_kind: str
    entity_id: str
    message: str
    severity: str = "high"
    evidence: dict[str, Any] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Rule and entity as one text: at most one open alert each."""
        return f"{self.rule}|{self.entity_kind}|{self.entity_id}"


@dataclass(frozen=True)
class Alert:
    """One row of `ops.alerts`; `announced_…` is what people were told last."""

    alert_id: uuid.UUID
    fingerprint: str
    rule: str
    entity_kind: str
    entity_id: str
    state: str
    severity: str
    message: str
    evidence: dict[str, Any]
    first_seen_at: datetime
    started_at: datetime | None
    cleared_since: datetime | None
    ended_at: datetime | None
    updated_at: datetime
    announced_state: str | None = None
    announced_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether it still goes on."""
        return self.state in OPEN_STATES

    @property
    def is_burning(self) -> bool:
        """Whether it has fired and goes on."""
        return self.state in ("firing", "acknowledged")


def rule_of(name: str) -> Rule:
    """The rule of that name; one without an entry fires and resolves at once."""
    return RULES.get(name, Rule())


def noticed(alert: Alert | None, condition: Condition, now: datetime) -> tuple[Alert, Change | None]:
    """The alert when its condition holds; `alert` is the open one, or the one that ended within the cool-down."""
    rule = rule_of(condition.rule)
    if alert is None:
        return _first_sight(condition, now)
    if alert.is_open and now < alert.updated_at:
        return alert, None
    fresh = replace(
        alert,
        severity=condition.severity,
        message=condition.message,
        evidence=condition.evidence,
        cleared_since=None,
        updated_at=now,
    )
    if alert.is_burning:
        return fresh, None
    if not alert.is_open:
        again = replace(fresh, state="firing", started_at=alert.started_at or now, ended_at=None)
        return again, Change(alert.alert_id, alert.state, "firing", "again within the cool-down")
    if now - alert.first_seen_at < rule.raise_after:
        return fresh, None
    return replace(fresh, state="firing", started_at=now), Change(
        alert.alert_id, "pending", "firing", condition.message
    )


def _first_sight(condition: Condition, now: datetime) -> tuple[Alert, Change]:
    fires = not rule_of(condition.rule).raise_after
    alert = Alert(
        alert_id=uuid.uuid4(),
        fingerprint=condition.fingerprint,
        rule=condition.rule,
        entity_kind=condition.entity_kind,
        entity_id=condition.entity_id,
        state="firing" if fires else "pending",
        severity=condition.severity,
        message=condition.message,
        evidence=condition.evidence,
        first_seen_at=now,
        started_at=now if fires else None,
        cleared_since=None,
        ended_at=None,
        updated_at=now,
    )
    return alert, Change(alert.alert_id, None, alert.state, condition.message)


def is_over(alert: Alert, now: datetime, reason: str = "it is over") -> tuple[Alert, Change | None]:
    """The open alert when its condition does not hold any more."""
    if not alert.is_open:
        return alert, None
    if alert.state == "pending":
        return _end(alert, "expired", "it was over before it had lasted", now)
    timed = replace(alert, cleared_since=alert.cleared_since or now, updated_at=now)
    if now - (timed.cleared_since or now) < rule_of(alert.rule).clear_after:
        return timed, None
    return _end(timed, "resolved", reason, now)


def _end(alert: Alert, state: str, reason: str, now: datetime) -> tuple[Alert, Change]:
    return replace(alert, state=state, ended_at=now, updated_at=now), Change(alert.alert_id, alert.state, state, reason)


def announcement(alert: Alert, now: datetime) -> str | None:
    """What people are to be told now, `firing` or `resolved`; None when they know, or heard too lately of its firing.

    An alert that flutters is announced once per cool-down; one that burns on after it is announced again.
    """
    if alert.state == "firing" and alert.announced_state != "firing":
        rested = alert.announced_at is None or now - alert.announced_at >= rule_of(alert.rule).cool_down
        return "firing" if rested else None
    return "resolved" if alert.state == "resolved" and alert.announced_state == "firing" else None
