"""How a live hotspot goes from one look to the next. Pure: no clock, no database.

pending ──10 min ≥ 0.90──▶ firing ──▶ acknowledged ──10 min ≤ 0.80──▶ resolved
└─ below 0.90 ─▶ expired ◀── 30 min silent ──┘         │
firing ◀── 10 min ≥ 0.90, begun within the cool-down
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from forecasting.audit import Change
from forecasting.hotspots.model import Hotspot, Observation, episode_id
from forecasting.hotspots.policy import HotspotPolicy

RULE = "crowding"


def look(
    tenant_id: str, hotspot: Hotspot | None, seen: Observation | None, now: datetime, policy: HotspotPolicy
) -> tuple[Hotspot | None, Change | None]:
    """What one look at an entity makes of its hotspot.

    Args:
        tenant_id: whose entity.
        hotspot: the entity's open hotspot, or one that ended within the cool-down; None when it has neither.
        seen: what is seen of the entity; None, or one without load factor, when nothing is known.
        now: when the look is taken. A second look at the same instant changes nothing.
        policy: thresholds and durations.

    Returns:
        The hotspot as it is now (None: there is none), and the change of its state if there was one.
    """
    if hotspot is None:
        if seen is None or seen.load_factor is None or seen.load_factor < policy.raise_at:
            return None, None
        return _first_sight(tenant_id, seen, now, policy)
    if now <= hotspot.updated_at:
        return hotspot, None
    if seen is None or seen.load_factor is None:
        return _in_silence(hotspot, now, policy)
    return _decide(_observe(hotspot, seen, now, policy), seen, now, policy)


def _first_sight(
    tenant_id: str, seen: Observation, now: datetime, policy: HotspotPolicy
) -> tuple[Hotspot, Change | None]:
    fingerprint = seen.entity.fingerprint(RULE)
    load_factor = seen.load_factor or 0.0
    hotspot = Hotspot(
        hotspot_id=episode_id(tenant_id, fingerprint, now),
        fingerprint=fingerprint,
        rule=RULE,
        entity=seen.entity,
        source="live",
        state="pending",
        severity=policy.severity(load_factor),
        threshold=policy.raise_at,
        load_factor=load_factor,
        peak_load_factor=load_factor,
        crowded_passenger_minutes=0.0,
        excess_passengers=seen.excess_passengers,
        evidence=seen.evidence,
        first_seen_at=now,
        above_since=now,
        started_at=None,
        cleared_since=None,
        observed_at=now,
        ended_at=None,
        window_from=None,
        window_to=None,
        updated_at=now,
    )
    return hotspot, Change(hotspot.hotspot_id, None, "pending", f"load factor {load_factor:.2f}")


def _observe(hotspot: Hotspot, seen: Observation, now: datetime, policy: HotspotPolicy) -> Hotspot:
    """Take in what is seen: timers, load, and for an open hotspot the minutes since the last look."""
    load_factor = seen.load_factor or 0.0
    clearing = load_factor if seen.clearing_load_factor is None else max(load_factor, seen.clearing_load_factor)
    unbroken = now - hotspot.observed_at <= policy.longest_gap
    timed = replace(
        hotspot,
        above_since=_since(hotspot.above_since if unbroken else None, load_factor >= policy.raise_at, now),
        cleared_since=_since(hotspot.cleared_since if unbroken else None, clearing <= policy.clear_at, now),
        observed_at=now,
        updated_at=now,
    )
    if not timed.is_open:
        return timed
    counted = replace(timed, crowded_passenger_minutes=_counted(hotspot, now, policy))
    return _with_load(counted, seen, policy)


def _with_load(hotspot: Hotspot, seen: Observation, policy: HotspotPolicy) -> Hotspot:
    load_factor = seen.load_factor or 0.0
    peak = max(hotspot.peak_load_factor, load_factor)
    return replace(
        hotspot,
        load_factor=load_factor,
        peak_load_factor=peak,
        severity=policy.severity(peak),
        excess_passengers=seen.excess_passengers,
        evidence=seen.evidence,
    )


def _since(since: datetime | None, holds: bool, now: datetime) -> datetime | None:
    return (since or now) if holds else None


def _counted(hotspot: Hotspot, now: datetime, policy: HotspotPolicy) -> float:
    """Crowded passenger-minutes up to now: what was seen last holds until this look, but not over a long gap."""
    elapsed = min(now - hotspot.updated_at, policy.longest_gap)
    return hotspot.crowded_passenger_minutes + hotspot.excess_passengers * elapsed.total_seconds() / 60


def _decide(hotspot: Hotspot, seen: Observation, now: datetime, policy: HotspotPolicy) -> tuple[Hotspot, Change | None]:
    crowded = hotspot.above_since is not None and now - hotspot.above_since >= policy.raise_after
    relieved = hotspot.cleared_since is not None and now - hotspot.cleared_since >= policy.clear_after
    if hotspot.state in ("firing", "acknowledged"):
        if relieved:
            return _end(
                hotspot, "resolved", f"at or below {policy.clear_at:.0%} for {_minutes(policy.clear_after)}", now
            )
        return hotspot, None
    if crowded:
        again = "" if hotspot.is_open else " again within the cool-down"
        fired = replace(hotspot, state="firing", started_at=hotspot.started_at or now, ended_at=None)
        reason = f"at or above {policy.raise_at:.0%} for {_minutes(policy.raise_after)}{again}"
        return _with_load(fired, seen, policy), Change(hotspot.hotspot_id, hotspot.state, "firing", reason)
    if hotspot.state == "pending" and hotspot.above_since is None:
        return _end(
            hotspot, "expired", f"below {policy.raise_at:.0%} before {_minutes(policy.raise_after)} had passed", now
        )
    return hotspot, None


def _in_silence(hotspot: Hotspot, now: datetime, policy: HotspotPolicy) -> tuple[Hotspot, Change | None]:
    """Nothing is known: timers stop, nothing clears; long silence ends the hotspot as expired."""
    if not hotspot.is_open:
        return (hotspot, None) if hotspot.above_since is None else (replace(hotspot, above_since=None), None)
    silent = replace(
        hotspot,
        above_since=None,
        cleared_since=None,
        crowded_passenger_minutes=_counted(hotspot, now, policy),
        excess_passengers=0.0,
        updated_at=now,
    )
    if now - hotspot.observed_at >= policy.expire_after:
        return _end(silent, "expired", f"nothing heard since {hotspot.observed_at:%Y-%m-%d %H:%M} UTC", now)
    return silent, None


def _end(hotspot: Hotspot, state: str, reason: str, now: datetime) -> tuple[Hotspot, Change]:
    ended = replace(hotspot, state=state, ended_at=now, above_since=None, excess_passengers=0.0)
    return ended, Change(hotspot.hotspot_id, hotspot.state, state, reason)


def is_warm(hotspot: Hotspot, now: datetime, policy: HotspotPolicy) -> bool:
    """Whether crowding would continue this episode: it is open, in its cool-down, or began again within it."""
    return hotspot.ended_at is None or now < hotspot.ended_at + policy.cool_down or hotspot.above_since is not None


def _minutes(duration: timedelta) -> str:
    return f"{duration.total_seconds() / 60:g} min"
