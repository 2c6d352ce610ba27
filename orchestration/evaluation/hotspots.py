"""The evaluation: hotspots an hour ahead against the series, and crowded passenger-minutes with and without advice.

Series are the city's true hourly means; what sensors get wrong is measured elsewhere. Forecasts are those of the days
on which nothing was done, also for the days on which it was: advice is judged by what it was based on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

import pandas as pd

from forecasting import backtest
from forecasting.evaluation.following import crowded_hours, follow_day
from forecasting.evaluation.hits import EntityHour, Hits, hits, lead_times_h, raised
from forecasting.hotspots.density import LEARNED_FROM, learned
from forecasting.hotspots.forecasts import ForecastHour
from forecasting.hotspots.model import Entity
from forecasting.hotspots.policy import HotspotPolicy
from forecasting.recommendations.actions import ACTIONS
from forecasting.recommendations.proposals import Recommendation
from forecasting.recommendations.situation import RecurringHour
from ingest.simulator.city import City
from ingest.simulator.clock import day_start
from ingest.simulator.config import CityConfig
from ingest.simulator.experiment import Experiment
from orchestration.evaluation.city_world import CityWorld, entities_of
from orchestration.evaluation.series import forecasts_of, recurring_hours, series_of

FIRST_DAY = date(2026, 1, 5)  # a Monday
FOLLOWED = (
    "add_trip", "dispatch_standby", "short_turn", "hold", "passenger_information", "larger_vehicle",
    "quiet_hour_advice", "cap_at_door",
)  # fmt: skip
LOOK_EVERY, SEE_EVERY, LOOKED_EVERY = timedelta(minutes=10), timedelta(minutes=2), timedelta(minutes=5)
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
Say = Callable[[str], None]


@dataclass(frozen=True)
class Promise:
    """One piece of advice: what it promised, and what it avoids when it alone is followed, crowded passenger-minutes.

    What plans for a week promises a week; all else the day.
    """

    low: float
    middle: float
    high: float
    avoided: float

    @property
    def is_kept(self) -> bool:
        """Whether the band holds what came true, to a minute."""
        return self.low - 1 <= self.avoided <= self.high + 1


@dataclass(frozen=True)
class Arm:
    """The days with some kinds of advice followed: what was crowded then, and each promise beside what came true.

    Promises are measured for one kind of advice at a time: each piece alone, on the day on which nothing is done.
    """

    name: str
    crowded_minutes: float
    promises: list[Promise] = field(default_factory=list)

    @property
    def promised_minutes(self) -> float:
        """Crowded passenger-minutes that the advice should have avoided."""
        return sum(one.middle for one in self.promises)

    @property
    def kept_share(self) -> float:
        """Share of the promises whose band held what came true; NaN when nothing was promised."""
        return sum(one.is_kept for one in self.promises) / len(self.promises) if self.promises else math.nan


@dataclass(frozen=True)
class Evaluation:
    """What was measured.

    Attributes:
        hits: by who forecast and by kind of entity, hours said to be crowded one hour ahead.
        leads_h: by kind of entity, hours of warning for each truly crowded window; None for those that were missed.
        arms: the days without and with advice; the first is the one without.
    """

    hits: dict[tuple[str, str], Hits]
    leads_h: dict[str, list[float | None]]
    arms: list[Arm]

    @property
    def avoided_share(self) -> float:
        """Share of the crowded passenger-minutes that following all advice avoids; NaN if none was crowded."""
        nothing = self.arms[0].crowded_minutes
        return 1 - self.arms[-1].crowded_minutes / nothing if nothing else math.nan


def evaluate(seed: int = 7, *, weeks: int = 8, days: int = 7, buses: int = 90, say: Say = lambda _: None) -> Evaluation:
    """Let a city live, forecast its last days hour by hour, and follow what is recommended.

    Args:
        seed: of the city; the days with and without advice share it.
        weeks: history before the days that are judged.
        days: days that are judged.
        buses: size of the fleet.
        say: told what is going on.
    """
    policy = HotspotPolicy()
    city = City.build(CityConfig(seed=seed, buses=buses))
    # One day more: the last hours that are judged need forecasts whose horizon ends within the data.
    dates = [FIRST_DAY + timedelta(days=number) for number in range(7 * weeks + days + 1)]
    judged = slice(-days - 1, -1)
    say(f"living {len(dates)} days")
    lived = [Experiment(city, on) for on in dates]
    series = series_of(lived)
    say("forecasting")
    zone = city.config.time_zone
    judged_from, judged_until, end = (day_start(on, zone) for on in (dates[judged][0], dates[-1], dates[-1] + _DAY))
    panel = series[series["hour"] < end].rename(columns={"load": "value"})[["site_id", "hour", "value", "capacity"]]
    # From the hour before the first day that is judged to the midnight after the last.
    result = backtest.run(panel, tz=zone, horizon=24, origins=24 * days + 2, every=pd.Timedelta(hours=1))
    say("looking at what was crowded")
    true = _crowded(lived[judged], SEE_EVERY, policy)
    watched = slice(max(0, 7 * weeks - LEARNED_FROM.days), 7 * weeks)
    routes = {entity: zone for entity in entities_of(city) if entity.kind == "route"}
    burning = [one for one in _crowded(lived[watched], LOOKED_EVERY, policy) if one[0] in routes]
    densities = learned(burning, routes, dates[watched], policy.load_profile_density)
    forecasts = forecasts_of(result.predictions, city, series, densities, policy)
    recurring = recurring_hours(series, judged_from, zone, policy)

    def known(entity: Entity, now: datetime) -> list[ForecastHour]:
        return forecasts[entity].get(now.replace(minute=0, second=0, microsecond=0), [])

    arms = [Arm("nothing", _minutes(lived[judged]))]
    for chosen in (*((name,) for name in FOLLOWED), FOLLOWED):
        say(f"following {', '.join(chosen)}")
        arms.append(_arm(lived[judged], chosen, recurring, known, policy))
    return Evaluation(
        hits=_hits(result.predictions, forecasts, true, (judged_from, judged_until), policy),
        leads_h=_leads(forecasts, true, policy),
        arms=arms,
    )


def looks(day: Experiment, every: timedelta) -> list[datetime]:
    """When to look at a day: while buses run and venues are open, 05:00 to 23:00."""
    return [day.instant(3600.0 * 5) + number * every for number in range(int(timedelta(hours=18) / every))]


def _crowded(days: Sequence[Experiment], every: timedelta, policy: HotspotPolicy) -> set[EntityHour]:
    return {one for day in days for one in crowded_hours(CityWorld(day, {}, policy), looks(day, every), policy)}


def _arm(
    untouched: Sequence[Experiment],
    chosen: Sequence[str],
    recurring: dict[Entity, list[RecurringHour]],
    known: Callable[[Entity, datetime], list[ForecastHour]],
    policy: HotspotPolicy,
) -> Arm:
    actions = [action for action in ACTIONS if action.name in chosen]
    days, promises = [], []
    for before in untouched:
        day = Experiment(before.city, before.service_date)
        world = CityWorld(day, recurring, policy)
        follow_day(world, looks(day, LOOK_EVERY), known, actions, policy)
        days.append(day)
        if len(chosen) == 1:
            promises += [(advice, before.avoided_by(done)) for advice, done in world.carried_out]
    return Arm(chosen[0] if len(chosen) == 1 else "everything", _minutes(days), _promises(promises))


def _promises(followed: Iterable[tuple[Recommendation, float]]) -> list[Promise]:
    """Each piece of advice once: what plans for a week is followed on several of its days."""
    found: dict[tuple[str, date | None], Promise] = {}
    for advice, avoided in followed:
        weekly = advice.evidence["occasion"] == "weekly"
        key = (advice.fingerprint, None if weekly else advice.created_at.date())
        said = advice.expected_effect
        promised = Promise(said["low"], said["crowded_minutes_avoided"], said["high"], 0.0)
        known = found.get(key, promised)
        found[key] = replace(known, avoided=known.avoided + avoided)
    return list(found.values())


def _minutes(days: Sequence[Experiment]) -> float:
    return sum(day.crowded_minutes() for day in days)


def _hits(
    predictions: pd.DataFrame,
    forecasts: dict[Entity, dict[datetime, list[ForecastHour]]],
    true: set[EntityHour],
    judged: tuple[datetime, datetime],
    policy: HotspotPolicy,
) -> dict[tuple[str, str], Hits]:
    """Hours said to be crowded one full hour before they began, by the champion and by last week.

    `judged` is the time that is judged, its end not included.
    """
    first_hour, end = judged
    said: dict[str, set[EntityHour]] = {"forecast": set(), "same hour last week": set()}
    known: set[EntityHour] = set()
    for entity, by_origin in forecasts.items():
        for origin, hours in by_origin.items():
            for one in hours:
                if one.hour == origin + _HOUR and first_hour <= one.hour < end:
                    known.add((entity, one.hour))
                    if one.load_factor >= policy.raise_hour_at:
                        said["forecast"].add((entity, one.hour))
    naive = predictions[predictions["horizon_h"] == 2]
    by_series = {entity.series_id: entity for entity in forecasts}
    for series, hour, load in naive[["site_id", "hour", "seasonal_naive_168"]].itertuples(index=False):
        entity = by_series[series]
        first = next(iter(forecasts[entity].values()))[0]
        density = policy.load_profile_density if entity.kind == "route" else 1.0
        crowded_from = policy.raise_hour_at * first.capacity
        if first_hour <= hour < end and not math.isnan(load) and load / density >= crowded_from:
            said["same hour last week"].add((entity, hour.to_pydatetime()))
    return {
        (who, kind): hits(
            {one for one in own if one[0].kind == kind}, {one for one in true & known if one[0].kind == kind}
        )
        for who, own in said.items()
        for kind in ("route", "site")
    }


def _leads(
    forecasts: dict[Entity, dict[datetime, list[ForecastHour]]], true: set[EntityHour], policy: HotspotPolicy
) -> dict[str, list[float | None]]:
    found = raised(forecasts, policy)
    return {kind: lead_times_h(found, [one for one in true if one[0].kind == kind]) for kind in ("route", "site")}
