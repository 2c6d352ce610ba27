"""What was really so, by the hour.

Nothing of it may reach an event, so that reconciliation and forecasts can be scored against it.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd

from ingest.simulator.clock import HOUR_S, Bools, Floats, Ints, instants
from ingest.simulator.network import Route
from ingest.simulator.operation import Visits
from ingest.simulator.roads import SAMPLE_S as AREA_SAMPLE_S
from ingest.simulator.roads import AreaDay
from ingest.simulator.venues import SAMPLE_S as VENUE_SAMPLE_S
from ingest.simulator.venues import VenueDay

DEPOT_BREAK_S = 45 * 60.0
"""A bus that stands longer at a terminal has gone to the depot: it is not in service until it leaves again."""
CROWDED_LOAD_FACTOR = 0.9
"""Passengers above this share of capacity stand too close; the threshold at which a hotspot is raised."""


def bus_truth(visits: Visits, site_ids: pd.Index, on: date, time_zone: str) -> pd.DataFrame:
    """Return one row per bus and hour in service.

    Columns: site_id, hour (UTC), mean_load (weighted by time), max_load, boardings, alightings, denied, in_service_s.
    A layover is service with nobody on board, a stay in the depot is not.

    Args:
        visits: the day's stop visits, sorted by bus and time.
        site_ids: of the buses by index.
        on: the service day.
        time_zone: of the city.
    """
    until = _until_next_visit(visits)
    ridden = _by_hour(visits.bus, visits.departed_s, until, visits.load.astype(np.float64))
    counted = _events_by_hour(visits.bus, visits.departed_s, visits.boardings, visits.alightings, visits.denied)
    return _labelled(ridden.join(counted, how="outer"), site_ids, on, time_zone)


def venue_truth(day: VenueDay, site_ids: pd.Index, on: date, time_zone: str) -> pd.DataFrame:
    """Return one row per venue and open hour; boardings are entries, alightings exits. Columns as for buses."""
    lasts = np.where(day.closes, 0.0, VENUE_SAMPLE_S)
    inside = _by_hour(day.venue, day.at_s, day.at_s + lasts, day.load.astype(np.float64))
    # Who is there at closing leaves in the hour that ends with it.
    moment = day.at_s - day.closes
    counted = _events_by_hour(day.venue, moment, day.entries, day.exits, day.denied)
    return _labelled(inside.join(counted, how="outer"), site_ids, on, time_zone)


def area_truth(day: AreaDay, site_ids: pd.Index, on: date, time_zone: str) -> pd.DataFrame:
    """Return one row per road area and hour; nobody boards a road, so those columns are missing."""
    seen = _by_hour(day.area, day.at_s, day.at_s + AREA_SAMPLE_S, day.total.astype(np.float64))
    return _labelled(seen.assign(boardings=np.nan, alightings=np.nan, denied=np.nan), site_ids, on, time_zone)


def route_truth(visits: Visits, routes: list[Route], on: date, time_zone: str) -> pd.DataFrame:
    """Return one row per route, direction and hour with a trip on the way.

    Columns: route_id, direction_id, hour (UTC), mean_load_factor (passenger time over place time, layovers left out),
    boardings, denied, crowded_passenger_minutes (passengers above 0.9 of capacity × minutes).

    Args:
        visits: the day's stop visits, sorted by bus and time.
        routes: by index.
        on: the service day.
        time_zone: of the city.
    """
    line = visits.route * 2 + visits.direction
    places = visits.capacity.astype(np.float64)
    excess = np.maximum(0.0, visits.load - CROWDED_LOAD_FACTOR * places)
    who, hour, seconds, at = _cut(line, visits.departed_s, _until_next_stop(visits))
    sums = pd.DataFrame(
        {
            "line": who,
            "hour": hour,
            "place_s": seconds * places[at],
            "load_s": seconds * visits.load[at],
            "crowded_passenger_minutes": seconds * excess[at] / 60.0,
        }
    )
    sums = sums.groupby(["line", "hour"]).sum()
    counted = _events_by_hour(line, visits.departed_s, visits.boardings, visits.alightings, visits.denied)
    counted.index.names = ["line", "hour"]
    frame = sums.join(counted, how="outer").fillna(0).reset_index()
    route_ids = pd.array([route.route_id for route in routes], dtype="str")
    return pd.DataFrame(
        {
            "route_id": route_ids.take(frame["line"].to_numpy() // 2),
            "direction_id": frame["line"] % 2,
            "hour": instants(frame["hour"].to_numpy() * HOUR_S, on, time_zone),
            "mean_load_factor": (frame["load_s"] / frame["place_s"]).fillna(0.0),
            "boardings": frame["boardings"].astype("int64"),
            "denied": frame["denied"].astype("int64"),
            "crowded_passenger_minutes": frame["crowded_passenger_minutes"],
        }
    )


def crowded_minutes(visits: Visits) -> Floats:
    """Return the crowded passenger-minutes after each visit, shape (n,): on the way, layovers left out."""
    excess = np.maximum(0.0, visits.load - CROWDED_LOAD_FACTOR * visits.capacity)
    return np.asarray(excess * (_until_next_stop(visits) - visits.departed_s) / 60.0)


def route_loads(visits: Visits, routes: list[Route], on: date, time_zone: str) -> pd.DataFrame:
    """Return one row per route, direction and hour with a bus on its way.

    Columns: route_id, direction_id, hour (UTC), mean_load (people per bus, weighted by time), vehicles (on their way,
    mean over the hour). Layovers are left out.

    Args:
        visits: stop visits, sorted by bus and time.
        routes: by index.
        on: the service day.
        time_zone: of the city.
    """
    line = visits.route * 2 + visits.direction
    who, hour, seconds, at = _cut(line, visits.departed_s, _until_next_stop(visits))
    pieces = pd.DataFrame({"line": who, "hour": hour, "s": seconds, "load_s": seconds * visits.load[at]})
    hours = pieces[pieces["s"] > 0].groupby(["line", "hour"], as_index=False).sum()
    return pd.DataFrame(
        {
            "route_id": [routes[number // 2].route_id for number in hours["line"]],
            "direction_id": hours["line"] % 2,
            "hour": instants(hours["hour"].to_numpy() * HOUR_S, on, time_zone),
            "mean_load": hours["load_s"] / hours["s"],
            "vehicles": hours["s"] / HOUR_S,
        }
    )


def _until_next_stop(visits: Visits) -> Floats:
    """Return how long the load after each visit is on the way: to the next stop of the same trip."""
    is_moving = np.append((visits.stop[1:] > 0) & (visits.bus[1:] == visits.bus[:-1]), False)[: len(visits)]
    return np.where(is_moving, _until_next_visit(visits), visits.departed_s)


def _until_next_visit(visits: Visits) -> Floats:
    """Return how long the load after each visit lasts: to the same bus's next visit, unless it went to the depot."""
    following = np.append(visits.departed_s[1:], 0.0)[: len(visits)]
    same = np.append(visits.bus[1:] == visits.bus[:-1], False)[: len(visits)]
    stays = same & (following - visits.departed_s < DEPOT_BREAK_S)
    return np.where(stays, following, visits.departed_s)


def _cut(who: Ints, start: Floats, end: Floats) -> tuple[Ints, Ints, Floats, Ints]:
    """Cut intervals, none longer than an hour, at the hour's border.

    Returns who, hour of the service day, seconds, and the position of the interval each piece comes from.
    """
    hour = (start // HOUR_S).astype(np.int64)
    border = (hour + 1) * HOUR_S
    crosses: Bools = end > border
    position = np.concatenate([np.arange(len(who)), np.flatnonzero(crosses)])
    seconds = np.concatenate([np.minimum(end, border) - start, (end - border)[crosses]])
    return who[position], np.concatenate([hour, hour[crosses] + 1]), seconds, position


def _by_hour(who: Ints, start: Floats, end: Floats, load: Floats) -> pd.DataFrame:
    of, hour, seconds, at = _cut(who, start, end)
    pieces = pd.DataFrame(
        {"who": of, "hour": hour, "in_service_s": seconds, "load_s": seconds * load[at], "max_load": load[at]}
    )
    grouped = pieces[seconds > 0].groupby(["who", "hour"])
    sums = grouped[["in_service_s", "load_s"]].sum()
    return pd.DataFrame(
        {
            "mean_load": sums["load_s"] / sums["in_service_s"],
            "max_load": grouped["max_load"].max().astype("int64"),
            "in_service_s": sums["in_service_s"],
        }
    )


def _events_by_hour(who: Ints, at: Floats, boardings: Ints, alightings: Ints, denied: Ints) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "who": who,
            "hour": (at // HOUR_S).astype(np.int64),
            "boardings": boardings,
            "alightings": alightings,
            "denied": denied,
        }
    )
    return frame.groupby(["who", "hour"]).sum()


def _labelled(frame: pd.DataFrame, site_ids: pd.Index, on: date, time_zone: str) -> pd.DataFrame:
    flat = frame.reset_index()
    return pd.DataFrame(
        {
            "site_id": site_ids.take(flat["who"].to_numpy(dtype=np.int64)).array,
            "hour": instants(flat["hour"].to_numpy(dtype=np.float64) * HOUR_S, on, time_zone),
            # A visit exactly on the hour opens an hour without any time in it.
            "mean_load": flat["mean_load"].fillna(0.0),
            "max_load": flat["max_load"].fillna(0).astype("int64"),
            "boardings": flat["boardings"].astype("Int64"),
            "alightings": flat["alightings"].astype("Int64"),
            "denied": flat["denied"].astype("Int64"),
            "in_service_s": flat["in_service_s"].fillna(0.0),
        }
    )
