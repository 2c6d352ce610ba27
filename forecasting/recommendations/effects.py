"""What an action is expected to save, in crowded passenger-minutes with a band. Small formulas, assumptions said.

The shares of people who follow advice are judgements; they are named constants so that evidence can replace them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from forecasting.hotspots.forecasts import ForecastHour
from forecasting.hotspots.model import crowded_minutes
from forecasting.recommendations.situation import Pair, RecurringHour

# low, middle, high: share of visitors who come at a quieter hour when told so; of passengers who let a full bus go.
SHIFTED_VISITORS = (0.02, 0.05, 0.10)
WAITING_PASSENGERS = (0.05, 0.15, 0.30)


@dataclass(frozen=True)
class Effect:
    """Crowded passenger-minutes that an action avoids: low ≤ avoided ≤ high, and what the figure rests on."""

    avoided: float
    low: float
    high: float
    assumption: str

    def as_json(self) -> dict[str, float | str]:
        """The effect as `ops.recommendations.expected_effect` has it."""
        return {
            "crowded_minutes_avoided": round(self.avoided, 1),
            "low": round(self.low, 1),
            "high": round(self.high, 1),
            "assumption": self.assumption,
        }


def shared_with(load: float, capacity: float, vehicles: float, added: float, threshold: float, minutes: float) -> float:
    """Crowded passenger-minutes avoided when `added` more vehicles take their part of everybody's load.

    n · max(0, L − θC) − (n + a) · max(0, L·n/(n + a) − θC), times minutes. Grows with the load L up to a·θC·minutes.
    """
    crowded_from = threshold * capacity
    before = vehicles * crowded_minutes([load], crowded_from, minutes)
    after = (vehicles + added) * crowded_minutes([load * vehicles / (vehicles + added)], crowded_from, minutes)
    return before - after


def added_vehicle(hours: Iterable[ForecastHour], threshold: float, stretches: int, ready_at: datetime) -> Effect:
    """One more vehicle in circulation: it is on the busiest stretch in this direction for its part of the cycle.

    Args:
        hours: for which it is sent; what of them has passed before it is ready is not helped.
        threshold: share of the capacity from which on it is crowded.
        stretches: parts of the route.
        ready_at: when it can start.
    """
    part = 1 / (2 * stretches)
    low, middle, high = (
        sum(
            shared_with(load, hour.capacity, hour.vehicles, part, threshold, _minutes_left(hour, ready_at))
            for hour, load in loads
        )
        for loads in _quantiles(hours)
    )
    return Effect(
        middle,
        low,
        high,
        f"it spends 1/{2 * stretches} of its cycle on the busiest stretch; band: 80 % of the forecast",
    )


def _minutes_left(hour: ForecastHour, since: datetime) -> float:
    return min(60.0, max(0.0, 60.0 - (since - hour.hour).total_seconds() / 60))


def _quantiles(hours: Iterable[ForecastHour]) -> tuple[list[tuple[ForecastHour, float]], ...]:
    own = list(hours)
    return (
        [(hour, min(hour.low, hour.load)) for hour in own],
        [(hour, hour.load) for hour in own],
        [(hour, max(hour.high, hour.load)) for hour in own],
    )


def turned_vehicle(loads: list[float], capacities: list[float], threshold: float, minutes: float) -> Effect:
    """One vehicle from the light end taken to the crowded stretch for some minutes, all of them at best.

    In the simulated city next to nothing is left of it on average: who has to get off crowds the next vehicle.
    """
    number = len(loads)
    full = shared_with(sum(loads) / number, sum(capacities) / number, number, 1, threshold, minutes)
    return Effect(
        0.1 * full, 0.0, full, f"it helps for at most {minutes:g} min, and who has to get off crowds the next vehicle"
    )


def evened_out(pair: Pair, threshold: float, minutes: float) -> Effect:
    """Holding a light follower: over one headway the two loads draw level, so on average half of the excess goes."""
    loads = [pair.leader, pair.follower]
    now = sum(crowded_minutes([bus.occupancy], threshold * bus.capacity, minutes) for bus in loads)
    level = sum(bus.occupancy for bus in loads) / sum(bus.capacity for bus in loads)
    even = sum(crowded_minutes([level * bus.capacity], threshold * bus.capacity, minutes) for bus in loads)
    full = max(0.0, now - even)
    return Effect(full / 2, 0.0, full, f"the two loads draw level over one headway of {minutes:g} min")


def waited_for_next(pair: Pair, threshold: float, minutes: float) -> Effect:
    """Telling people that the next vehicle is emptier: some let the full one go, as far as the next has room."""
    leader, follower = pair.leader, pair.follower
    room = max(0.0, threshold * follower.capacity - follower.occupancy)
    crowded_from = threshold * leader.capacity
    before = crowded_minutes([leader.occupancy], crowded_from, minutes)
    low, middle, high = (
        before - crowded_minutes([leader.occupancy - min(room, share * leader.occupancy)], crowded_from, minutes)
        for share in WAITING_PASSENGERS
    )
    shares = " / ".join(f"{share:.0%}" for share in WAITING_PASSENGERS)
    return Effect(middle, low, high, f"{shares} of the passengers wait, for one headway of {minutes:g} min")


def larger_vehicles(recurring: Iterable[RecurringHour], larger_capacity: float, threshold: float) -> Effect:
    """Larger vehicles in the recurring hours: crowded passenger-minutes avoided per week."""
    own = list(recurring)

    def avoided(hour: RecurringHour, load: float) -> float:
        before = crowded_minutes([load], threshold * hour.capacity, 60)
        return hour.vehicles * (before - crowded_minutes([load], threshold * larger_capacity, 60))

    return Effect(
        sum(avoided(hour, hour.load) for hour in own),
        sum(avoided(hour, hour.lowest) for hour in own),
        sum(avoided(hour, hour.highest) for hour in own),
        "per week, at the loads of the last four weeks; band: their lightest and fullest",
    )


def shifted_visitors(hours: Iterable[ForecastHour], threshold: float) -> Effect:
    """Advice on quieter hours: a small share of visitors comes at another time."""
    own = list(hours)
    before = sum(hour.crowded_minutes(threshold) for hour in own)
    low, middle, high = (
        before - sum(hour.crowded_minutes(threshold, hour.load * (1 - share)) for hour in own)
        for share in SHIFTED_VISITORS
    )
    shares = " / ".join(f"{share:.0%}" for share in SHIFTED_VISITORS)
    return Effect(middle, low, high, f"{shares} of the visitors come at a quieter hour")


def capped(hours: Iterable[ForecastHour], threshold: float) -> Effect:
    """One in, one out at capacity: nobody beyond the capacity is inside."""
    low, middle, high = (
        sum(
            hour.crowded_minutes(threshold, load) - hour.crowded_minutes(threshold, min(load, hour.capacity))
            for hour, load in loads
        )
        for loads in _quantiles(hours)
    )
    return Effect(middle, low, high, "nobody beyond the capacity gets in; band: 80 % of the forecast")


def unchanged() -> Effect:
    """An action that makes a crowd bearable without making it smaller."""
    return Effect(0.0, 0.0, 0.0, "does not lower the load: shortens queues and keeps people safe")


def probability_above(hour: ForecastHour, threshold: float) -> float:
    """Chance that the hour's load exceeds a share of the capacity, between 0.05 and 0.95.

    Linear between the 10 %, 50 % and 90 % quantiles, and beyond them with the slope of the nearer half.
    """
    level = threshold * hour.capacity
    spread = hour.load - hour.low if level < hour.load else hour.high - hour.load
    if spread <= 0:
        return 0.95 if level <= hour.load else 0.05
    return min(0.95, max(0.05, 0.5 + 0.4 * (hour.load - level) / spread))
