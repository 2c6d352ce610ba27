"""A simulated day that can be watched while it goes on and acted upon, and its truth afterwards.

The day is lived from the same seed again whenever something is done; what came before stays as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd

from ingest.simulator.city import City
from ingest.simulator.clock import day_start
from ingest.simulator.conditions import DayConditions, conditions_of
from ingest.simulator.interventions import Intervention, RouteIntervention
from ingest.simulator.operation import Visits
from ingest.simulator.truth import CROWDED_LOAD_FACTOR, crowded_minutes, route_loads, venue_truth
from ingest.simulator.venues import SAMPLE_S, VenueDay, run_venues

HEARD_FOR_S = 300.0  # a bus that said nothing for longer is not seen


@dataclass(frozen=True)
class SeenBus:
    """A bus on its route as it was heard last: `stop` is its place in the order of travel, from 0."""

    bus: int
    stop: int
    load: int
    capacity: int
    seen_s: float


@dataclass
class Experiment:
    """One service day of a city, with what is done about it so far."""

    city: City
    service_date: date
    done: list[Intervention] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._conditions: DayConditions = conditions_of(
            self.service_date, self.city.config.seed, len(self.city.services)
        )
        self._visits = [self._run(route) for route in range(len(self.city.services))]
        self._venues = self._run_venues()

    def seconds(self, at: datetime) -> float:
        """An instant as seconds of the service day."""
        return (at - day_start(self.service_date, self.city.config.time_zone)).total_seconds()

    def instant(self, second: float) -> datetime:
        """Seconds of the service day as an instant (UTC)."""
        return day_start(self.service_date, self.city.config.time_zone) + timedelta(seconds=second)

    def act(self, intervention: Intervention) -> None:
        """Do something; the rest of the day follows from it."""
        self.done.append(intervention)
        if isinstance(intervention, RouteIntervention):
            self._visits[intervention.route] = self._run(intervention.route)
        else:
            self._venues = self._run_venues()

    def avoided_by(self, interventions: Sequence[Intervention]) -> float:
        """Crowded passenger-minutes that these would have avoided besides what is done; the day stays as it is."""
        other = copy(self)
        other.done, other._visits = list(self.done), list(self._visits)
        for intervention in interventions:
            other.act(intervention)
        return self.crowded_minutes() - other.crowded_minutes()

    def _run(self, route: int) -> Visits:
        return self.city.run_buses(self._conditions, self.done, routes=[route])

    def _run_venues(self) -> VenueDay:
        return run_venues(self.city.venues, self._conditions, self.city.config.seed, self.done)

    def buses(self, route: int, direction: int, second: float) -> list[SeenBus]:
        """The buses of a direction as heard last, the newest word of each."""
        visits = self._visits[route]
        heard = np.flatnonzero((visits.departed_s <= second) & (visits.departed_s > second - HEARD_FOR_S))
        newest = {int(visits.bus[row]): int(row) for row in heard}  # sorted by bus and time: the last one stays
        return [
            SeenBus(
                bus,
                int(visits.stop[row]),
                int(visits.load[row]),
                int(visits.capacity[row]),
                float(visits.departed_s[row]),
            )
            for bus, row in newest.items()
            if visits.direction[row] == direction
        ]

    def inside(self, venue: int, second: float) -> int | None:
        """How many people a venue's camera counted last; None while it is closed."""
        day = self._venues
        open_now = np.flatnonzero(
            (day.venue == venue) & (day.at_s <= second) & (day.at_s > second - SAMPLE_S) & ~day.closes
        )
        return int(day.load[open_now[-1]]) if open_now.size else None

    def crowded_minutes(self) -> float:
        """Crowded passenger-minutes of the whole day: people above 0.9 of capacity × minutes, buses and venues."""
        return self.crowded_minutes_of_buses() + self.crowded_minutes_of_venues()

    def crowded_minutes_of_buses(self) -> float:
        """Those on buses on their way."""
        return float(sum(crowded_minutes(visits).sum() for visits in self._visits))

    def crowded_minutes_of_venues(self) -> float:
        """Those in venues."""
        day = self._venues
        capacity = np.array([venue.capacity for venue in self.city.venues], dtype=np.float64)[day.venue]
        excess = np.maximum(0.0, day.load - CROWDED_LOAD_FACTOR * capacity) * ~day.closes
        return float(excess.sum() * SAMPLE_S / 60)

    def route_hours(self) -> pd.DataFrame:
        """True loads per route, direction and hour; see `truth.route_loads`."""
        routes = [service.route for service in self.city.services]
        where = (routes, self.service_date, self.city.config.time_zone)
        return pd.concat([route_loads(visits, *where) for visits in self._visits], ignore_index=True)

    def venue_hours(self) -> pd.DataFrame:
        """True loads per venue and hour; see `truth.venue_truth`."""
        site_ids = pd.Index([venue.site_id for venue in self.city.venues], dtype="str")
        return venue_truth(self._venues, site_ids, self.service_date, self.city.config.time_zone)
