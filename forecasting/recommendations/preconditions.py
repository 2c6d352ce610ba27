"""What must hold before an action is recommended. Each check tells whether it does, with the numbers it rests on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from forecasting.recommendations import occasions
from forecasting.recommendations.situation import Occasion, Pair, Situation

BUNCHED_SHARE = 0.25  # of the planned headway: closer than that, two vehicles are bunched
LONGEST_HOLD_MINUTES = 3.0
ACCEPTED_WAIT_MINUTES = 10.0
POINTS_EMPTIER = 0.30
LIGHT = 0.50
FAR_END_LIGHT = 0.40
ALMOST_EMPTY = 0.10
WEEKS_OF_FOUR = 3
LARGER = 1.10  # a vehicle is larger if it has a tenth more places
TURN_MINUTES = 30.0
MAKE_READY = timedelta(minutes=10)  # from the word to the first stop of a vehicle that stands by

Fact = tuple[bool, str]


@dataclass(frozen=True)
class Precondition:
    """Something that must hold, under the name that it is stored with."""

    name: str
    check: Callable[[Situation, Occasion], Fact]


def pair_of(occasion: Occasion) -> Pair:
    """The occasion's two vehicles.

    Raises:
        ValueError: the occasion is about something else.
    """
    if occasion.pair is None:
        raise ValueError(f"occasion {occasion.key!r} is not about two vehicles")
    return occasion.pair


def stretch_of(occasion: Occasion) -> int:
    """The occasion's stretch.

    Raises:
        ValueError: the occasion is about something else.
    """
    if occasion.stretch is None:
        raise ValueError(f"occasion {occasion.key!r} is not about a stretch")
    return occasion.stretch


def crowded_hours_in_a_row(situation: Situation, occasion: Occasion) -> Fact:
    """The crowd lasts long enough for one more vehicle to reach it."""
    number = len(occasion.hours)
    return number >= 2, f"{number} h in a row at or above {situation.policy.raise_hour_at:.0%} (2 needed)"


def spare_vehicle(situation: Situation, occasion: Occasion) -> Fact:
    """A spare vehicle of the route is free."""
    route = situation.route
    spare, sent = (route.spare_vehicles, len(route.vehicles_sent)) if route else (0, 0)
    return spare > sent, f"{spare} spare vehicles, {sent} of them sent already"


def none_sent_yet(situation: Situation, occasion: Occasion) -> Fact:
    """No vehicle was sent for this window before."""
    sent = (
        situation.route is not None
        and f"{situation.entity.direction_id} {occasion.key}" in situation.route.vehicles_sent
    )
    return not sent, "a vehicle was sent already" if sent else "no vehicle was sent for it yet"


def bunched(situation: Situation, occasion: Occasion) -> Fact:
    """The two vehicles are much closer than planned."""
    gap, limit = pair_of(occasion).gap_minutes, BUNCHED_SHARE * situation.headway_minutes
    return gap <= limit, f"{gap:.1f} min apart (bunched up to {limit:.1f})"


def light_follower(situation: Situation, occasion: Occasion) -> Fact:
    """The one behind has room."""
    load = pair_of(occasion).follower.load_factor
    return load <= LIGHT, f"follower at {load:.0%} (light up to {LIGHT:.0%})"


def hold_minutes(situation: Situation, pair: Pair) -> float:
    """How long the follower waits: until half a headway lies between the two, within what people bear."""
    return min(LONGEST_HOLD_MINUTES, max(0.5, situation.headway_minutes / 2 - pair.gap_minutes))


def next_is_emptier(situation: Situation, occasion: Occasion) -> Fact:
    """Waiting is worth it."""
    pair = pair_of(occasion)
    points = pair.leader.load_factor - pair.follower.load_factor
    return (
        points >= POINTS_EMPTIER,
        f"next vehicle {points * 100:.0f} points emptier ({POINTS_EMPTIER * 100:.0f} needed)",
    )


def wait_is_accepted(situation: Situation, occasion: Occasion) -> Fact:
    """The next vehicle comes within the wait that people accept."""
    gap = pair_of(occasion).gap_minutes
    return gap <= ACCEPTED_WAIT_MINUTES, f"next vehicle in {gap:.1f} min (people wait up to {ACCEPTED_WAIT_MINUTES:g})"


def stretch_is_crowded(situation: Situation, occasion: Occasion) -> Fact:
    """One stretch is crowded in more than one vehicle."""
    part = stretch_of(occasion)
    load, number = occasions.mean_load_factor(situation, part), len(situation.stretches[part])
    met = load >= situation.policy.raise_at and number >= 2
    return met, f"{number} vehicles at {load:.0%} on part {part + 1} of {situation.policy.stretches}"


def stays_crowded(situation: Situation, occasion: Occasion) -> Fact:
    """It lasts: in simulated cities vehicles that were turned for a passing crowd came too late and were missing."""
    hours = [len(window.hours) for window in situation.windows if window.start <= situation.now]
    number = max(hours, default=0)
    return number >= 2, f"forecast crowded for this and {max(0, number - 1)} more hours (1 more needed)"


def far_end_is_light(situation: Situation, occasion: Occasion) -> Fact:
    """Vehicles beyond it run nearly empty."""
    last = situation.policy.stretches - 1
    load, number = occasions.mean_load_factor(situation, last), len(situation.stretches.get(last, []))
    return (
        load <= FAR_END_LIGHT and number >= 2,
        f"{number} vehicles at {load:.0%} at the far end (light up to {FAR_END_LIGHT:.0%})",
    )


def few_must_get_off(situation: Situation, occasion: Occasion) -> Fact:
    """A vehicle at the far end is almost empty: who has to get off waits, and crowds the next one."""
    last = situation.stretches.get(situation.policy.stretches - 1, [])
    lightest = min((vehicle.load_factor for vehicle in last), default=1.0)
    return lightest <= ALMOST_EMPTY, f"lightest vehicle there at {lightest:.0%} (almost empty up to {ALMOST_EMPTY:.0%})"


def recurs_weekly(situation: Situation, occasion: Occasion) -> Fact:
    """It is a pattern, not an accident."""
    number = len(situation.recurring)
    return number > 0, f"{number} hours of the week crowded in at least {WEEKS_OF_FOUR} of the last 4 weeks"


def larger_vehicle_exists(situation: Situation, occasion: Occasion) -> Fact:
    """The fleet has vehicles with clearly more places."""
    largest, usual = situation.largest_capacity or 0, max(hour.capacity for hour in situation.recurring)
    return largest >= LARGER * usual, f"largest vehicle {largest} places, usual {usual:.0f}"


def quieter_hours_today(situation: Situation, occasion: Occasion) -> Fact:
    """There is a better time to name."""
    quiet = occasions.quieter_hours(situation, occasion)
    return bool(quiet), f"{len(quiet)} hours left today at least {POINTS_EMPTIER * 100:.0f} points emptier"


def has_doors(situation: Situation, occasion: Occasion) -> Fact:
    """Somebody can stand at an entrance: a road has none."""
    kind = situation.site.kind if situation.site else "venue"
    return kind != "area", "a road has no doors" if kind == "area" else f"the {kind} has doors"


def time_to_staff(situation: Situation, occasion: Occasion) -> Fact:
    """People can still be called in."""
    minutes = (occasion.start - situation.now).total_seconds() / 60
    return minutes >= 60, f"begins in {minutes:.0f} min (60 needed)"


def beyond_capacity(situation: Situation, occasion: Occasion) -> Fact:
    """More people than places."""
    peak = occasion.peak
    return peak.load_factor >= 1, f"{peak.load:.0f} people for {peak.capacity:.0f} places"
