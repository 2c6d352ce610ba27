"""What one may choose about the simulated city: its size, its seed and how badly its devices behave."""

from __future__ import annotations

from dataclasses import dataclass, field

from plimsoll.errors import PlimsollError

MIN_BUSES = 28
"""Two buses for each of the 14 corridors: fewer could not serve both directions."""


@dataclass(frozen=True)
class Faults:
    """How often what goes wrong. Pairs are ranges from which each device draws its own rate.

    Shares are of messages, except where the name says otherwise.
    """

    miss_in: tuple[float, float] = (0.02, 0.036)
    """Share of boardings a door sensor overlooks on an empty bus; crowding adds up to a tenth of it."""
    miss_out: tuple[float, float] = (0.02, 0.036)
    """Share of alightings overlooked on an empty bus; crowding adds up to half of it."""
    venue_count_sd: float = 0.02
    """Relative error of one head count in a venue."""
    outages_per_device_day: float = 0.015
    reboots_per_device_day: float = 0.03
    repeat: tuple[float, float] = (0.005, 0.02)
    drop: tuple[float, float] = (0.005, 0.03)
    late_minutes: float = 0.04
    late_hours: float = 0.01
    clock_skew_sd_s: float = 2.0
    clocks_badly_off: float = 0.01
    """Share of device-days whose clock is minutes to hours wrong."""
    bad_signature: float = 0.001
    malformed: float = 0.0002

    @classmethod
    def none(cls) -> Faults:
        """Return perfect sensors on a perfect network: what a mart computes must then equal the truth."""
        zero = (0.0, 0.0)
        return cls(zero, zero, 0.0, 0.0, 0.0, zero, zero, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class CityConfig:
    """One city. The same configuration gives the same bytes, whatever day is asked for first.

    Up to about 400 buses run on the 14 corridors; what is beyond goes to feeder routes, about 20 buses each.

    Raises:
        PlimsollError: if a size is too small for a city to run.
    """

    seed: int = 7
    buses: int = 90
    venues: int = 6
    areas: int = 8
    time_zone: str = "Asia/Jakarta"
    tenant_id: str = "default"
    faults: Faults = field(default_factory=Faults)

    def __post_init__(self) -> None:
        if self.buses < MIN_BUSES:
            raise PlimsollError(
                f"A simulated city needs at least {MIN_BUSES} buses for its 14 corridors, got {self.buses}."
            )
        if self.venues < 0 or self.areas < 0 or self.seed < 0:
            raise PlimsollError("seed, venues and areas of a simulated city must not be negative.")
