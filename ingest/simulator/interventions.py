"""What dispatchers and venues may do about a day, and how the city takes it. Seconds are of the service day.

Nothing done is the same day: demand and luck are drawn before, and a trip more draws its own luck.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, order=True)
class ExtraVehicle:
    """A spare bus leaves the terminal of a direction at `from_s` and goes to and fro until `until_s`.

    It does not run if none is back by then.
    """

    route: int
    direction: int
    from_s: float
    until_s: float


@dataclass(frozen=True)
class LargerVehicles:
    """Trips of a direction that begin between the two times run with buses of at least `capacity` places."""

    route: int
    direction: int
    from_s: float
    until_s: float
    capacity: int


@dataclass(frozen=True)
class Hold:
    """A bus waits for `seconds` at the first stop that it reaches after `after_s`; who comes meanwhile boards."""

    route: int
    direction: int
    bus: int
    after_s: float
    seconds: float


@dataclass(frozen=True)
class ShortTurn:
    """A bus ends its trip at the first stop after `after_s` and begins again at `to_stop` of the same direction.

    Everybody gets off; who wanted to go on waits there for the next one. It runs back empty.
    """

    route: int
    direction: int
    bus: int
    after_s: float
    to_stop: int


@dataclass(frozen=True)
class WaitForNext:
    """On the trip on which a bus is at `after_s`, a share of those who could board let it go and take the next one."""

    route: int
    direction: int
    bus: int
    after_s: float
    share: float


@dataclass(frozen=True)
class DoorCap:
    """No more than `people` are inside between the two times: one in, one out."""

    venue: int
    from_s: float
    until_s: float
    people: int


@dataclass(frozen=True)
class QuietHours:
    """A share of those who would come between the two times come at one of the quieter hours instead."""

    venue: int
    from_s: float
    until_s: float
    quiet_from_s: tuple[float, ...]
    share: float


RouteIntervention = ExtraVehicle | LargerVehicles | Hold | ShortTurn | WaitForNext
VenueIntervention = DoorCap | QuietHours
Intervention = RouteIntervention | VenueIntervention


@dataclass
class RoutePlan:
    """One route's interventions on one day, used up as the day runs.

    Attributes:
        extra: extra vehicles that are asked for.
        running: those of them for which there was a bus, as they leave.
        larger: hours with larger vehicles.
        holds: holds to come.
        turns: short turns to come.
        waits: who lets which bus go.
    """

    extra: list[ExtraVehicle] = field(default_factory=list)
    running: list[ExtraVehicle] = field(default_factory=list)
    larger: list[LargerVehicles] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    turns: list[ShortTurn] = field(default_factory=list)
    waits: list[WaitForNext] = field(default_factory=list)

    @classmethod
    def of(cls, route: int, interventions: Iterable[Intervention]) -> RoutePlan:
        """The part of some interventions that is about one route."""
        own = [one for one in interventions if isinstance(one, RouteIntervention) and one.route == route]
        return cls(
            extra=[one for one in own if isinstance(one, ExtraVehicle)],
            larger=[one for one in own if isinstance(one, LargerVehicles)],
            holds=[one for one in own if isinstance(one, Hold)],
            turns=[one for one in own if isinstance(one, ShortTurn)],
            waits=[one for one in own if isinstance(one, WaitForNext)],
        )

    def capacity(self, direction: int, leaves_s: float, usual: int) -> int:
        """Places of the bus that leaves a terminal at this second."""
        return max(
            [usual]
            + [
                one.capacity
                for one in self.larger
                if one.direction == direction and one.from_s <= leaves_s < one.until_s
            ]
        )

    def denser(self, second: float, buses: int) -> float:
        """Share of the planned headway that is left when extra vehicles run among `buses`."""
        added = sum(one.from_s <= second < one.until_s for one in self.running)
        return buses / (buses + added)

    def take_hold(self, direction: int, bus: int, now_s: float) -> float:
        """Seconds for which a bus is held at the stop that it reaches now; each hold counts once."""
        for one in self.holds:
            if one.bus == bus and one.direction == direction and 0 <= now_s - one.after_s < _STANDS_S:
                self.holds.remove(one)
                return one.seconds
        return 0.0

    def take_turn(self, direction: int, bus: int, now_s: float, stop: int) -> ShortTurn | None:
        """The short turn that ends a bus's trip at the stop that it reaches now; each counts once."""
        for one in self.turns:
            is_meant = one.bus == bus and one.direction == direction and 0 <= now_s - one.after_s < _STANDS_S
            if is_meant and one.to_stop < stop:
                self.turns.remove(one)
                return one
        return None

    def waiting_share(self, direction: int, bus: int, now_s: float) -> float:
        """Share of those who could board here and now that let the bus go."""
        return max(
            (
                one.share
                for one in self.waits
                if one.bus == bus and one.direction == direction and 0 <= now_s - one.after_s < _TRIP_S
            ),
            default=0.0,
        )


_TRIP_S = 3600.0  # within it a bus that leaves a terminal has come to the other and not yet back
_STANDS_S = 900.0  # what could not be done for so long is not done any more


@dataclass(frozen=True)
class VenuePlan:
    """One venue's interventions on one day."""

    caps: tuple[DoorCap, ...] = ()
    moved: tuple[QuietHours, ...] = ()

    @classmethod
    def of(cls, venue: int, interventions: Iterable[Intervention]) -> VenuePlan:
        """The part of some interventions that is about one venue."""
        plan = cls()
        for one in interventions:
            if isinstance(one, DoorCap) and one.venue == venue:
                plan = replace(plan, caps=(*plan.caps, one))
            elif isinstance(one, QuietHours) and one.venue == venue:
                plan = replace(plan, moved=(*plan.moved, one))
        return plan

    def places(self, at_s: float, capacity: int) -> int:
        """How many may be inside."""
        return min([capacity] + [one.people for one in self.caps if one.from_s <= at_s < one.until_s])

    def staying_away(self, at_s: float) -> float:
        """Share of those who would come now and do not; who does not heed the advice does not heed it twice."""
        return max((one.share for one in self.moved if one.from_s <= at_s < one.until_s), default=0.0)

    def coming_instead(self, at_s: float, moved: dict[QuietHours, float]) -> float:
        """How many of those who stayed away come now; `moved` counts them and is drawn down over the quiet hours."""
        coming = 0.0
        for one in self.moved:
            begun = [start for start in one.quiet_from_s if start <= at_s < start + 3600]
            if begun and moved.get(one):
                steps_left = sum(max(0.0, min(3600.0, start + 3600 - at_s)) for start in one.quiet_from_s) / 600.0
                share = moved[one] / max(1.0, steps_left)
                moved[one] -= share
                coming += share
        return coming
