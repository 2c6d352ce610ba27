"""The actions that can be recommended: what each is for, what must hold, what it saves and how it is said."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from forecasting.recommendations import effects, occasions
from forecasting.recommendations import preconditions as must
from forecasting.recommendations.effects import Effect
from forecasting.recommendations.preconditions import Precondition, pair_of, stretch_of
from forecasting.recommendations.situation import Occasion, Situation

WEEKDAYS = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")


@dataclass(frozen=True)
class Action:
    """One kind of advice.

    Attributes:
        name: as stored and sent.
        kinds: kinds of entity that it is for.
        occasions: finds what it could answer.
        preconditions: all must hold.
        effect: what it is expected to save.
        confidence: how sure it is that it will be needed and work, 0 to 1.
        summary: what to do, in one sentence.
    """

    name: str
    kinds: frozenset[str]
    occasions: Callable[[Situation], Iterable[Occasion]]
    preconditions: tuple[Precondition, ...]
    effect: Callable[[Situation, Occasion], Effect]
    confidence: Callable[[Situation, Occasion], float]
    summary: Callable[[Situation, Occasion], str]


def _chance(reliability: float) -> Callable[[Situation, Occasion], float]:
    """Chance that the fullest hour is crowded for minutes, times how reliably the action works (a judgement)."""

    def confidence(situation: Situation, occasion: Occasion) -> float:
        return reliability * effects.probability_above(occasion.peak, situation.policy.raise_hour_at)

    return confidence


def _fixed(value: float) -> Callable[[Situation, Occasion], float]:
    return lambda situation, occasion: value


def _added_vehicle(came_true: effects.CameTrue) -> Callable[[Situation, Occasion], Effect]:
    def effect(situation: Situation, occasion: Occasion) -> Effect:
        policy, ready_at = situation.policy, situation.now + must.MAKE_READY
        return effects.added_vehicle(occasion.hours, policy.raise_at, policy.stretches, ready_at, came_true)

    return effect


def _turned_vehicle(situation: Situation, occasion: Occasion) -> Effect:
    vehicles = situation.stretches[stretch_of(occasion)]
    loads = [float(vehicle.occupancy) for vehicle in vehicles]
    capacities = [float(vehicle.capacity) for vehicle in vehicles]
    return effects.turned_vehicle(loads, capacities, situation.policy.raise_at, must.TURN_MINUTES)


def _evened_out(situation: Situation, occasion: Occasion) -> Effect:
    return effects.evened_out(pair_of(occasion), situation.policy.raise_at, situation.headway_minutes)


def _waited_for_next(situation: Situation, occasion: Occasion) -> Effect:
    return effects.waited_for_next(pair_of(occasion), situation.policy.raise_at, situation.headway_minutes)


def _larger_vehicles(situation: Situation, occasion: Occasion) -> Effect:
    return effects.larger_vehicles(situation.recurring, situation.largest_capacity or 0, situation.policy.raise_at)


def _shifted_visitors(situation: Situation, occasion: Occasion) -> Effect:
    return effects.shifted_visitors(occasion.hours, situation.policy.raise_at, situation.now)


def _unchanged(situation: Situation, occasion: Occasion) -> Effect:
    return effects.unchanged()


def _capped(situation: Situation, occasion: Occasion) -> Effect:
    return effects.capped(occasion.hours)


def _times(situation: Situation, occasion: Occasion) -> str:
    start, end = situation.local(occasion.start), situation.local(occasion.end)
    return f"{start:%a %H:%M}–{end:%H:%M}"


def _forecast(occasion: Occasion) -> str:
    peak = occasion.peak
    return f"{peak.load_factor:.0%} {'counted' if peak.method == 'live' else 'forecast'}"


def _say_add_trip(situation: Situation, occasion: Occasion) -> str:
    when = _times(situation, occasion)
    return f"Add a trip on {situation.name} for {when}: {_forecast(occasion)} on its busiest stretch."


def _say_dispatch(situation: Situation, occasion: Occasion) -> str:
    until = situation.local(occasion.end)
    load = f"{_forecast(occasion)} on its busiest stretch until {until:%H:%M}"
    return f"Send a standby vehicle to {situation.name} now: {load}."


def _say_short_turn(situation: Situation, occasion: Occasion) -> str:
    vehicles = sorted(situation.stretches[stretch_of(occasion)], key=lambda vehicle: vehicle.stop_sequence or 0)
    return (
        f"Turn a vehicle short on {situation.name} and run it between {vehicles[0].stop_name} and "
        f"{vehicles[-1].stop_name}: crowded there, nearly empty at the far end."
    )


def _say_hold(situation: Situation, occasion: Occasion) -> str:
    pair = pair_of(occasion)
    minutes = must.hold_minutes(situation, pair)
    return (
        f"Hold {pair.follower.site_id} on {situation.name} at {pair.follower.stop_name} for {minutes:.1f} min: it runs "
        f"{pair.gap_minutes:.1f} min behind {pair.leader.site_id} with {pair.follower.load_factor:.0%} against "
        f"{pair.leader.load_factor:.0%}."
    )


def _say_next_vehicle(situation: Situation, occasion: Occasion) -> str:
    pair = pair_of(occasion)
    return (
        f"Tell passengers on {situation.name} at {pair.leader.stop_name} and beyond: the vehicle after "
        f"{pair.leader.site_id} comes about {max(1, round(pair.gap_minutes))} min later and is only "
        f"{pair.follower.load_factor:.0%} full."
    )


def _say_larger(situation: Situation, occasion: Occasion) -> str:
    hours = [f"{WEEKDAYS[hour.weekday - 1]} {hour.local_hour:02}:00" for hour in situation.recurring]
    rest = f" and {len(hours) - 3} more hours" if len(hours) > 3 else ""
    return (
        f"Plan larger vehicles ({situation.largest_capacity} places) on {situation.name}: "
        f"crowded week after week on {', '.join(hours[:3])}{rest}."
    )


def _say_quiet_hours(situation: Situation, occasion: Occasion) -> str:
    quiet = occasions.quieter_hours(situation, occasion)
    named = ", ".join(f"{situation.local(hour.hour):%H:%M} ({hour.load_factor:.0%})" for hour in quiet)
    return f"Point visitors of {situation.name} to quieter hours today: {named}."


def _say_staffing(situation: Situation, occasion: Occasion) -> str:
    return f"Plan more staff at {situation.name} for {_times(situation, occasion)}: {_forecast(occasion)}."


def _say_cap(situation: Situation, occasion: Occasion) -> str:
    when = "now" if occasion.start <= situation.now else _times(situation, occasion)
    return f"Let people into {situation.name} one in, one out ({when}): {must.beyond_capacity(situation, occasion)[1]}."


ROUTE, SITE, PLACE = frozenset({"route"}), frozenset({"site"}), frozenset({"site", "area"})

_TWO_HOURS = Precondition("crowded_two_hours_in_a_row", must.crowded_hours_in_a_row)
_SPARE = Precondition("spare_vehicle_free", must.spare_vehicle)
_DOORS = Precondition("has_doors", must.has_doors)
_NONE_SENT = Precondition("none_sent_yet", must.none_sent_yet)

ACTIONS: tuple[Action, ...] = (
    Action(
        "add_trip",
        ROUTE,
        occasions.windows_ahead,
        (_TWO_HOURS, _SPARE, _NONE_SENT),
        _added_vehicle(effects.ADDED_TRIP),
        _chance(0.9),
        _say_add_trip,
    ),
    Action(
        "dispatch_standby",
        ROUTE,
        occasions.window_at_hand,
        (_TWO_HOURS, _SPARE, _NONE_SENT),
        _added_vehicle(effects.DISPATCHED),
        _chance(0.8),
        _say_dispatch,
    ),
    Action(
        "short_turn",
        ROUTE,
        occasions.crowded_stretch,
        (
            Precondition("one_stretch_crowded", must.stretch_is_crowded),
            Precondition("stays_crowded", must.stays_crowded),
            Precondition("far_end_light", must.far_end_is_light),
            Precondition("few_must_get_off", must.few_must_get_off),
        ),
        _turned_vehicle,
        _fixed(0.3),
        _say_short_turn,
    ),
    Action(
        "hold",
        ROUTE,
        occasions.following_pairs,
        (Precondition("bunched", must.bunched), Precondition("light_follower", must.light_follower)),
        _evened_out,
        _fixed(0.4),
        _say_hold,
    ),
    Action(
        "passenger_information",
        ROUTE,
        occasions.following_pairs,
        (
            Precondition("next_vehicle_emptier", must.next_is_emptier),
            Precondition("wait_accepted", must.wait_is_accepted),
        ),
        _waited_for_next,
        _fixed(0.5),
        _say_next_vehicle,
    ),
    Action(
        "larger_vehicle",
        ROUTE,
        occasions.weekly_pattern,
        (
            Precondition("recurs_weekly", must.recurs_weekly),
            Precondition("larger_vehicle_exists", must.larger_vehicle_exists),
        ),
        _larger_vehicles,
        _fixed(0.7),
        _say_larger,
    ),
    Action(
        "quiet_hour_advice",
        PLACE,
        occasions.windows_and_now,
        (Precondition("quieter_hours_today", must.quieter_hours_today),),
        _shifted_visitors,
        _chance(0.6),
        _say_quiet_hours,
    ),
    Action(
        "staffing",
        SITE,
        occasions.windows_ahead,
        (_DOORS, Precondition("time_to_staff", must.time_to_staff)),
        _unchanged,
        _chance(0.9),
        _say_staffing,
    ),
    Action(
        "cap_at_door",
        SITE,
        occasions.windows_and_now,
        (_DOORS, Precondition("beyond_capacity", must.beyond_capacity)),
        _capped,
        _chance(0.9),
        _say_cap,
    ),
)
