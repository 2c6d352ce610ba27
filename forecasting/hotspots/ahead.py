"""How forecast hotspots follow the forecast. Pure: no clock, no database.

A forecast needs no ten minutes of proof: its hours are means already. One hotspot stands for one crowded window of one
entity (the morning peak, the evening peak) and keeps its identity while later forecasts move the window's borders.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from forecasting.audit import Change
from forecasting.hotspots.forecasts import ForecastHour, Window, crowded_windows
from forecasting.hotspots.model import Entity, Hotspot, episode_id
from forecasting.hotspots.policy import HotspotPolicy

RULE = "forecast_crowding"


def follow(
    tenant_id: str,
    entity: Entity,
    hotspots: Iterable[Hotspot],
    hours: list[ForecastHour],
    now: datetime,
    policy: HotspotPolicy,
) -> list[tuple[Hotspot, Change | None]]:
    """What the forecast makes of an entity's forecast hotspots.

    Args:
        tenant_id: whose entity.
        entity: what is forecast.
        hotspots: its forecast hotspots that are open, or resolved while their window is not over.
        hours: the hours forecast, the present one first; none when nothing recent was said, which eases nothing.
        now: when the look is taken. A second look at the same instant changes nothing.
        policy: thresholds.

    Returns:
        Every hotspot as it is now, new ones included, each with the change of its state if there was one.
    """
    windows = crowded_windows(hours, policy.raise_hour_at)
    result = []
    for hotspot in sorted(hotspots, key=lambda row: (not row.is_open, row.window_from, row.fingerprint)):
        own = [window for window in windows if _overlap(hotspot, window)]
        windows = [window for window in windows if window not in own]
        result.append((hotspot, None) if now <= hotspot.updated_at else _follow_one(hotspot, own, hours, now, policy))
    taken = {hotspot.fingerprint for hotspot, _ in result if hotspot.is_open}
    raised = (_first_sight(tenant_id, entity, window, now, policy) for window in windows)
    return result + [(hotspot, change) for hotspot, change in raised if hotspot.fingerprint not in taken]


def _overlap(hotspot: Hotspot, window: Window) -> bool:
    return _bounds(hotspot)[0] < window.end and window.start < _bounds(hotspot)[1]


def _bounds(hotspot: Hotspot) -> tuple[datetime, datetime]:
    if hotspot.window_from is None or hotspot.window_to is None:
        raise ValueError(f"hotspot {hotspot.hotspot_id} has no window: it is not a forecast one")
    return hotspot.window_from, hotspot.window_to


def _follow_one(
    hotspot: Hotspot, own: list[Window], hours: list[ForecastHour], now: datetime, policy: HotspotPolicy
) -> tuple[Hotspot, Change | None]:
    start, end = _bounds(hotspot)
    if own:
        updated = _updated(hotspot, own, now, policy)
        if hotspot.is_open:
            return updated, None
        reopened = replace(updated, state="firing", ended_at=None)
        return reopened, Change(hotspot.hotspot_id, hotspot.state, "firing", "the forecast is crowded again")
    if not hotspot.is_open:
        return hotspot, None
    if now >= end:
        return _end(hotspot, "expired", "its window is over", now)
    known = [hour for hour in hours if start <= hour.hour < end]
    if not known:
        return hotspot, None
    fullest = max(known, key=lambda hour: hour.load_factor)
    if fullest.load_factor <= policy.clear_hour_at:
        return _end(hotspot, "resolved", f"the forecast eased to {fullest.load_factor:.0%}", now)
    eased = replace(
        hotspot,
        load_factor=round(fullest.load_factor, 4),
        peak_load_factor=max(hotspot.peak_load_factor, round(fullest.load_factor, 4)),
        evidence=_evidence(hotspot.entity, known, policy),
        observed_at=now,
        updated_at=now,
    )
    return eased, None


def _updated(hotspot: Hotspot, own: list[Window], now: datetime, policy: HotspotPolicy) -> Hotspot:
    start, _ = _bounds(hotspot)
    hours = [hour for window in own for hour in window.hours]
    fullest = round(max(hour.load_factor for hour in hours), 4)
    expected = sum(hour.crowded_minutes(policy.raise_at) for hour in hours)
    has_begun = start < hours[0].hour and start <= now  # its first hours lie behind and are forecast no more
    return replace(
        hotspot,
        load_factor=fullest,
        peak_load_factor=max(hotspot.peak_load_factor, fullest),
        severity=policy.severity(max(hotspot.peak_load_factor, fullest)),
        crowded_passenger_minutes=max(expected, hotspot.crowded_passenger_minutes) if has_begun else expected,
        evidence=_evidence(hotspot.entity, hours, policy),
        observed_at=now,
        window_from=start if has_begun else hours[0].hour,
        window_to=own[-1].end,
        updated_at=now,
    )


def _first_sight(
    tenant_id: str, entity: Entity, window: Window, now: datetime, policy: HotspotPolicy
) -> tuple[Hotspot, Change]:
    # The hour makes two peaks of a day two hotspots; it stays in the fingerprint when the window moves.
    fingerprint = f"{entity.fingerprint(RULE)}|{window.start:%Y-%m-%dT%H}"
    load_factor = round(window.peak.load_factor, 4)
    hotspot = Hotspot(
        hotspot_id=episode_id(tenant_id, fingerprint, now),
        fingerprint=fingerprint,
        rule=RULE,
        entity=entity,
        source="forecast",
        state="firing",
        severity=policy.severity(load_factor),
        threshold=round(policy.raise_hour_at, 4),
        load_factor=load_factor,
        peak_load_factor=load_factor,
        crowded_passenger_minutes=sum(hour.crowded_minutes(policy.raise_at) for hour in window.hours),
        excess_passengers=0.0,
        evidence=_evidence(entity, list(window.hours), policy),
        first_seen_at=now,
        above_since=None,
        started_at=now,
        cleared_since=None,
        observed_at=now,
        ended_at=None,
        window_from=window.start,
        window_to=window.end,
        updated_at=now,
    )
    reason = f"forecast {load_factor:.0%} at {window.peak.hour:%Y-%m-%d %H:%M} UTC"
    return hotspot, Change(hotspot.hotspot_id, None, "firing", reason)


def _evidence(entity: Entity, hours: list[ForecastHour], policy: HotspotPolicy) -> dict[str, Any]:
    first = hours[0]
    evidence: dict[str, Any] = {
        "capacity": round(first.capacity, 1),
        "forecast_made_at": first.origin_at.isoformat(),
        "model_version": first.model_version,
        "method": first.method,
        "hours": [
            {
                "hour": hour.hour.isoformat(),
                "load": round(hour.load, 1),
                "p10": round(hour.low, 1),
                "p90": round(hour.high, 1),
                "load_factor": round(hour.load_factor, 4),
            }
            for hour in hours
        ],
    }
    if entity.kind == "route":
        evidence["vehicles_on_busiest_stretch"] = round(first.vehicles, 1)
        evidence["load_profile_density"] = round(first.density, 3)
    return evidence


def _end(hotspot: Hotspot, state: str, reason: str, now: datetime) -> tuple[Hotspot, Change]:
    return replace(hotspot, state=state, ended_at=now, updated_at=now), Change(
        hotspot.hotspot_id, hotspot.state, state, reason
    )
