"""The numbers that decide what a hotspot is. Judgements, in one place, with their reasons."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class HotspotPolicy:
    """Thresholds and durations; a load factor is load over capacity.

    Attributes:
        raise_at: crowded from this load factor on.
        clear_at: relieved from this load factor down; the band between the two keeps a hotspot as it is.
        raise_after: how long it must be crowded before it fires.
        clear_after: how long it must be relieved before it is resolved.
        cool_down: for so long after its end, crowding again continues the same episode.
        expire_after: silence for so long ends a hotspot as expired.
        longest_gap: two looks farther apart know nothing of what lay between, so that no duration spans them.
        forecast_horizon: how far ahead a forecast is searched for crowded hours.
        oldest_forecast: a forecast made longer ago is no evidence.
        load_profile_density: mean load of a route over the load of its busiest stretch, until its own hotspots tell
            better (`density.py`). Forecasts of routes are means over the whole route, people are crowded on the busiest
            stretch. Ceder ("Bus frequency determination using passenger count data", 1984) calls this ratio the density
            of the load profile; 0.5–0.7 are common.
        peak_hour_factor: mean load of an hour over the load of its fullest minutes. Forecasts are means over the hour,
            a hotspot needs ten minutes only. 0.92 is the usual value of the Highway Capacity Manual (15 minutes).
        stretches: parts into which a route is cut to find the busiest one.
    """

    raise_at: float = 0.90
    clear_at: float = 0.80
    raise_after: timedelta = timedelta(minutes=10)
    clear_after: timedelta = timedelta(minutes=10)
    cool_down: timedelta = timedelta(minutes=30)
    expire_after: timedelta = timedelta(minutes=30)
    longest_gap: timedelta = timedelta(minutes=15)
    forecast_horizon: timedelta = timedelta(hours=24)
    oldest_forecast: timedelta = timedelta(hours=26)
    load_profile_density: float = 0.65
    peak_hour_factor: float = 0.92
    stretches: int = 3

    def __post_init__(self) -> None:
        if not 0 < self.clear_at < self.raise_at:
            raise ValueError(f"clear_at ({self.clear_at}) must lie between 0 and raise_at ({self.raise_at})")
        for name in ("load_profile_density", "peak_hour_factor"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give a share above 0 up to 1")

    @property
    def raise_hour_at(self) -> float:
        """Mean load factor of an hour from which on it will be crowded for minutes."""
        return self.raise_at * self.peak_hour_factor

    @property
    def clear_hour_at(self) -> float:
        """Mean load factor of an hour down from which it will not even be close to crowded."""
        return self.clear_at * self.peak_hour_factor

    def severity(self, load_factor: float) -> str:
        """How bad a load factor is: `critical` from 110 % on, `high` from 100 %, else `warning`."""
        if load_factor >= 1.10:
            return "critical"
        return "high" if load_factor >= 1.0 else "warning"
