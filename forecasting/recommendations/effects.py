"""What an action is expected to save, in crowded passenger-minutes with a band. Small formulas, assumptions said.

A formula says what should happen; how much of it came true in simulated cities, whose truth is known, corrects it and
makes its band. Shares of people who follow advice are judgements, named so that evidence can replace them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from forecasting.hotspots.forecasts import ForecastHour
from forecasting.hotspots.model import crowded_minutes
from forecasting.hotspots.policy import HotspotPolicy
from forecasting.recommendations.situation import Pair, RecurringHour

SHIFTED_VISITORS = 0.05  # of those who would come, when told of quieter hours
WAITING_PASSENGERS = 0.15  # of those who could board a full vehicle, when told of an emptier one soon behind
# Standard deviation over mean of the loads within an hour that is more than half full: of the vehicles on the busiest
# stretch, and of a venue's minutes. Measured in the simulated city.
UNEVEN_VEHICLES = 0.22
UNEVEN_MINUTES = 0.08
# What is learned of a route's profile says how often it is crowded, not how full it is.
USUAL_DENSITY = HotspotPolicy.load_profile_density
VISIT_MINUTES = 90.0  # a judgement: gyms and halls empty sooner, libraries later
_BAND_OF_SIGMAS = 2.563  # the 80 % band of a normal distribution is so many standard deviations wide


@dataclass(frozen=True)
class CameTrue:
    """How much of a formula came true, in cities 101 to 104, which no table of the docs shows.

    The mean is about that of following all advice of the kind; the band holds 80 % of its single pieces or a little
    more, each measured against the same day without it.
    """

    low: float
    mean: float
    high: float


ADDED_TRIP = CameTrue(0.0, 1.9, 3.5)
DISPATCHED = CameTrue(0.3, 2.2, 3.8)  # what is at hand is more certain than what is planned for
LARGER_VEHICLES = CameTrue(0.5, 1.2, 1.7)
QUIETER_HOURS = CameTrue(0.0, 0.6, 3.0)
NEXT_VEHICLE = CameTrue(0.0, 0.02, 0.12)  # few board where a vehicle is full already
CAPPED = CameTrue(0.2, 1.0, 5.0)
UNPROVEN = CameTrue(0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Effect:
    """Crowded passenger-minutes that an action avoids: low ≤ avoided ≤ high, and what the figure rests on."""

    avoided: float
    low: float
    high: float
    assumption: str

    @classmethod
    def of(cls, formula: float, came_true: CameTrue, assumption: str) -> Effect:
        """What a formula's crowded passenger-minutes are worth; a full vehicle more may not make it fewer."""
        formula = max(0.0, formula)
        return cls(formula * came_true.mean, formula * came_true.low, formula * came_true.high, assumption)

    def as_json(self) -> dict[str, float | str]:
        """The effect as `ops.recommendations.expected_effect` has it."""
        return {
            "crowded_minutes_avoided": round(self.avoided, 1),
            "low": round(self.low, 1),
            "high": round(self.high, 1),
            "assumption": self.assumption,
        }


_MEASURED = "mean and 80 % band as in simulated cities"


def people_above(load: float, spread: float, limit: float, most: float = math.inf) -> float:
    """Mean number of people above a limit when the load is spread normally around its mean.

    σ·(φ(z) + z·Φ(z)) with z = (load − limit) / σ, less the same above `most`: nobody gets into a full vehicle.

    Args:
        load: mean load.
        spread: its standard deviation σ, from vehicle to vehicle or from minute to minute, and that of the forecast.
        limit: people from which on it is crowded.
        most: people that fit in.
    """
    if math.isfinite(most):
        return people_above(load, spread, limit) - people_above(load, spread, most)
    if spread <= 0:
        return max(0.0, load - limit)
    z = (load - limit) / spread
    density = math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    return spread * (density + z * 0.5 * (1 + math.erf(z / math.sqrt(2))))


def _in_vehicles(load: float, spread: float, capacity: float, threshold: float) -> float:
    return people_above(load, spread, threshold * capacity, capacity)


def _spread(hour: ForecastHour, unevenness: float) -> float:
    """Standard deviation of the load: how uneven an hour is, and how wrong its forecast may be."""
    return math.hypot(unevenness * hour.load, (hour.high - hour.low) / _BAND_OF_SIGMAS)


def added_vehicle(
    hours: Iterable[ForecastHour], threshold: float, stretches: int, ready_at: datetime, came_true: CameTrue
) -> Effect:
    """One more vehicle in circulation: it is on the busiest stretch in this direction for its part of the cycle.

    n · E(L) − (n + a) · E(L·n/(n + a)) people, times minutes, where E is the mean number of people above the threshold.

    Args:
        hours: for which it is sent; what of them has passed before it is ready is not helped.
        threshold: share of the capacity from which on it is crowded.
        stretches: parts of the route.
        ready_at: when it can start.
        came_true: how much of the formula does.
    """
    part = 1 / (2 * stretches)

    def avoided(hour: ForecastHour) -> float:
        number, usual = hour.vehicles, hour.density / USUAL_DENSITY
        load, spread = usual * hour.load, usual * _spread(hour, UNEVEN_VEHICLES)
        share = number / (number + part)
        before = number * _in_vehicles(load, spread, hour.capacity, threshold)
        after = (number + part) * _in_vehicles(load * share, spread * share, hour.capacity, threshold)
        return (before - after) * _minutes_left(hour, ready_at)

    assumption = f"it spends 1/{2 * stretches} of its cycle on the busiest stretch; {_MEASURED}"
    return Effect.of(sum(avoided(hour) for hour in hours), came_true, assumption)


def _minutes_left(hour: ForecastHour, since: datetime) -> float:
    return min(60.0, max(0.0, 60.0 - (since - hour.hour).total_seconds() / 60))


def turned_vehicle(loads: list[float], capacities: list[float], threshold: float, minutes: float) -> Effect:
    """One vehicle from the light end taken to the crowded stretch for some minutes, all of them at best.

    n · max(0, L − θC) − (n + 1) · max(0, L·n/(n + 1) − θC), times minutes.
    """
    number, load = len(loads), sum(loads) / len(loads)
    crowded_from = threshold * sum(capacities) / number
    before = number * crowded_minutes([load], crowded_from, minutes)
    after = (number + 1) * crowded_minutes([load * number / (number + 1)], crowded_from, minutes)
    assumption = f"unproven: at best it helps for {minutes:g} min, but it is missing where it would have gone"
    return Effect.of(before - after, UNPROVEN, assumption)


def evened_out(pair: Pair, threshold: float, minutes: float) -> Effect:
    """Holding a light follower: at best the two loads draw level over one headway."""
    loads = [pair.leader, pair.follower]
    now = sum(crowded_minutes([bus.occupancy], threshold * bus.capacity, minutes) for bus in loads)
    level = sum(bus.occupancy for bus in loads) / sum(bus.capacity for bus in loads)
    even = sum(crowded_minutes([level * bus.capacity], threshold * bus.capacity, minutes) for bus in loads)
    assumption = f"unproven: at best the two loads draw level over one headway of {minutes:g} min"
    return Effect.of(max(0.0, now - even), UNPROVEN, assumption)


def waited_for_next(pair: Pair, threshold: float, minutes: float) -> Effect:
    """Telling people that the next vehicle is emptier: some let the full one go, as far as the next has room."""
    leader, follower = pair.leader, pair.follower
    room = max(0.0, threshold * follower.capacity - follower.occupancy)
    crowded_from = threshold * leader.capacity
    before = crowded_minutes([leader.occupancy], crowded_from, minutes)
    less = min(room, WAITING_PASSENGERS * leader.occupancy)
    avoided = before - crowded_minutes([leader.occupancy - less], crowded_from, minutes)
    assumption = f"{WAITING_PASSENGERS:.0%} of those who could board wait (a judgement); {_MEASURED}"
    return Effect.of(avoided, NEXT_VEHICLE, assumption)


def larger_vehicles(recurring: Iterable[RecurringHour], larger_capacity: float, threshold: float) -> Effect:
    """Larger vehicles in the recurring hours: crowded passenger-minutes avoided per week."""

    def avoided(hour: RecurringHour) -> float:
        load = hour.load
        before = _in_vehicles(load, UNEVEN_VEHICLES * load, hour.capacity, threshold)
        after = _in_vehicles(load, UNEVEN_VEHICLES * load, larger_capacity, threshold)
        return 60 * hour.vehicles * (before - after)

    assumption = f"per week, at the loads of the last four weeks; {_MEASURED}"
    return Effect.of(sum(avoided(hour) * hour.weeks / 4 for hour in recurring), LARGER_VEHICLES, assumption)


def shifted_visitors(hours: Iterable[ForecastHour], threshold: float, now: datetime) -> Effect:
    """Advice on quieter hours: a small share of those who would come while it is crowded comes at another time.

    Who is inside already stays: t minutes into the advice, 1 − exp(−t / visit) of those inside have come since.
    """
    own = list(hours)
    begins = max(now, own[0].hour)

    def crowded(hour: ForecastHour, share: float) -> float:
        stays = 1 - share * _came_since(begins, hour)
        return 60 * people_above(hour.load * stays, _spread(hour, UNEVEN_MINUTES) * stays, threshold * hour.capacity)

    assumption = f"{SHIFTED_VISITORS:.0%} of the visitors come at a quieter hour (a judgement); {_MEASURED}"
    saved = sum(crowded(hour, 0.0) - crowded(hour, SHIFTED_VISITORS) for hour in own)
    return Effect.of(saved, QUIETER_HOURS, assumption)


def _came_since(begins: datetime, hour: ForecastHour) -> float:
    """Share of those inside during an hour who came after an instant, mean over the hour."""
    before = (hour.hour - begins).total_seconds() / 60 / VISIT_MINUTES
    start, end = max(0.0, before), max(0.0, before + 60 / VISIT_MINUTES)
    return (end - start - (math.exp(-start) - math.exp(-end))) * VISIT_MINUTES / 60


def capped(hours: Iterable[ForecastHour]) -> Effect:
    """One in, one out at capacity: nobody beyond the capacity is inside."""
    beyond = sum(60 * max(0.0, hour.load - hour.capacity) for hour in hours)
    return Effect.of(beyond, CAPPED, f"nobody beyond the capacity gets in; {_MEASURED}")


def unchanged() -> Effect:
    """An action that makes a crowd bearable without making it smaller."""
    return Effect(0.0, 0.0, 0.0, "not simulated: does not lower the load, shortens queues and keeps people safe")


def probability_above(hour: ForecastHour, threshold: float) -> float:
    """Chance that the hour's load exceeds a share of the capacity, between 0.05 and 0.95.

    Linear between the 10 %, 50 % and 90 % quantiles, and beyond them with the slope of the nearer half.
    """
    level = threshold * hour.capacity
    spread = hour.load - hour.low if level < hour.load else hour.high - hour.load
    if spread <= 0:
        return 0.95 if level <= hour.load else 0.05
    return min(0.95, max(0.05, 0.5 + 0.4 * (hour.load - level) / spread))
