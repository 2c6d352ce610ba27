"""Forecast hotspots against what was truly crowded: precision, recall, lead time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from forecasting.hotspots import ahead
from forecasting.hotspots.forecasts import ForecastHour
from forecasting.hotspots.model import Entity, Hotspot
from forecasting.hotspots.policy import HotspotPolicy

EntityHour = tuple[Entity, datetime]
_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Hits:
    """Crowded hours as forecast and as they were; an hour is crowded from the policy's `raise_at` on.

    Attributes:
        forecast: hours said to be crowded.
        true: hours that were.
        both: hours that were said to be and were.
    """

    forecast: int
    true: int
    both: int

    @property
    def precision(self) -> float:
        """Share of the hours said to be crowded that were; NaN when none was said."""
        return self.both / self.forecast if self.forecast else float("nan")

    @property
    def recall(self) -> float:
        """Share of the crowded hours that were said before; NaN when there was none."""
        return self.both / self.true if self.true else float("nan")


def hits(forecast: Collection[EntityHour], true: Collection[EntityHour]) -> Hits:
    """Compare hour by hour; being an hour off counts as wrong."""
    said, was = set(forecast), set(true)
    return Hits(len(said), len(was), len(said & was))


def windows(true: Iterable[EntityHour]) -> list[tuple[Entity, datetime, datetime]]:
    """The unbroken runs of crowded hours: entity, start, end."""
    runs: list[tuple[Entity, datetime, datetime]] = []
    for entity, hour in sorted(true):
        if runs and runs[-1][0] == entity and runs[-1][2] == hour:
            runs[-1] = (entity, runs[-1][1], hour + _HOUR)
        else:
            runs.append((entity, hour, hour + _HOUR))
    return runs


def raised(forecasts: Mapping[Entity, Mapping[datetime, list[ForecastHour]]], policy: HotspotPolicy) -> list[Hotspot]:
    """Every forecast hotspot that these forecasts raise; `forecasts` by entity and the instant at which it was made."""
    found: list[Hotspot] = []
    for entity, by_origin in forecasts.items():
        known: list[Hotspot] = []
        for now in sorted(by_origin):
            warm = [one for one in known if one.is_open or (one.state == "resolved" and _end(one) > now)]
            followed = [one for one, _ in ahead.follow("evaluation", entity, warm, by_origin[now], now, policy)]
            seen = {one.hotspot_id for one in followed}
            known = [one for one in known if one.hotspot_id not in seen] + followed
        found += known
    return found


def _end(hotspot: Hotspot) -> datetime:
    return hotspot.window_to or hotspot.updated_at


def lead_times_h(hotspots: Iterable[Hotspot], true: Iterable[EntityHour]) -> list[float | None]:
    """For each truly crowded window the hours from first word of it to its start; None where nothing was said before.

    A word counts if its hotspot was not taken back before the window began.
    """
    said = list(hotspots)
    leads: list[float | None] = []
    for entity, start, end in windows(true):
        first = [
            one.first_seen_at
            for one in said
            if one.entity == entity
            and one.window_from is not None
            and one.window_from < end
            and start < _end(one)
            and one.first_seen_at < start
            and (one.state != "resolved" or one.ended_at is None or one.ended_at > start)
        ]
        leads.append((start - min(first)).total_seconds() / 3600 if first else None)
    return leads
