"""Refreshed marts equal marts built from scratch, and both equal plain pandas."""

from __future__ import annotations

import itertools
import random
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import psycopg
import pytest
from mart_events import DAY, HOUR, MINUTE, MODELS, TODAY, Dbt, Event, bus_day, connected, count, land, venue_day

pytestmark = pytest.mark.integration

FIGURES = """
    occupancy_hour_key, mean_occupancy, max_occupancy, p95_occupancy, boardings, alightings, capacity,
    minutes_above_threshold, crowded_passenger_minutes, samples, coverage, is_imputed, first_landed_at, last_landed_at
"""
PARTS = 4
ROUTE_FIGURES = "route_hour_key, mean_occupancy, max_load_factor, boardings, alightings, vehicles, vehicle_minutes"


def reporting_on(events: list[Event], every: timedelta = 30 * timedelta(seconds=1)) -> list[Event]:
    """The same, with reports in between that nothing has changed."""
    between = []
    for event, following in itertools.pairwise(events):
        for n in range(1, int(min(following["ts_device"] - event["ts_device"], 10 * MINUTE) / every)):
            same = {"ts_device": event["ts_device"] + n * every, "in_count": 0, "out_count": 0, "event_id": str(n)}
            between.append(event | same)
    return sorted(events + between, key=lambda event: event["ts_device"])


def mixed_days(site_id: str, day: datetime, chance: random.Random) -> list[list[Event]]:
    """Two operating days of a venue that counts at its door and now and then tells how many there are: twice alone."""
    events = []
    for n in range(150):
        at = day + 20 * HOUR + n * 4 * MINUTE + chance.random() * 2 * MINUTE
        doors = {"in_count": chance.randint(0, 9), "out_count": chance.randint(0, 6), "count_mode": "delta"}
        events.append(count(site_id, at, chance.randint(0, 40), **doors) | ({"occupancy": None} if n % 4 else {}))
    told = max(n for n in range(0, 150, 4) if events[n]["ts_device"] < day + 27 * HOUR)
    last = len(events) - 2  # the last that tells
    return [events[:told], events[told : told + 1], events[told + 1 : last], events[last : last + 1]]


def test_hours_landed_in_any_order_equal_a_build_from_scratch_and_pandas(marts: str, dbt: Dbt) -> None:
    """Events of two weeks ago land shuffled and in parts, with repeats, one bus in order; a refresh after each part."""
    chance = random.Random(7)
    day = TODAY - 14 * DAY
    venue = [
        count("V-3", day + n * 7 * MINUTE + chance.random() * 6 * MINUTE, chance.randint(-3, 60)) for n in range(400)
    ]
    venue = [event for event in venue if chance.random() < 0.8 and event["ts_device"].hour != 5]
    events = [*venue, *bus_day("B-3", day), *bus_day("B-1", day, trips=6), *venue_day("V-2", day)]
    mixed = mixed_days("V-4", day, chance)
    events += chance.sample(events, 40)
    chance.shuffle(events)
    in_order = reporting_on(bus_day("B-2", day + 2 * DAY))
    portion = len(in_order) // PARTS + 1
    with connected(marts) as connection:
        for part in range(PARTS):
            land(connection, events[part::PARTS], partition=part)
            land(connection, in_order[part * portion : (part + 1) * portion], partition=part)
            land(connection, mixed[part], partition=part)
            dbt("run", "--select", *MODELS)
        incremental = figures(connection, day)
        runs = connection.execute("SELECT count(*) FROM intermediate.int_occupancy__runs").fetchone()
        # With all that reads from it: views go with the table that they stand on.
        dbt("run", "--select", "int_occupancy__runs+", "--full-refresh", "--vars", "{run_max_gap_s: -1}")
        events_alone = connection.execute("SELECT count(*) FROM intermediate.int_occupancy__runs").fetchone()
        assert events_alone > runs, "nothing was taken together"
        assert figures(connection, day) == incremental
        mart = connection.execute(
            """
            SELECT hour, mean_occupancy, max_occupancy, samples, coverage FROM marts.fct_occupancy_hourly
            WHERE site_id = 'V-3' AND hour < %s AND NOT is_imputed ORDER BY hour
            """,
            [day + 7 * DAY],
        ).fetchall()

    wanted = hourly(pd.DataFrame(venue)[["ts_device", "occupancy"]], hold_s=1800)
    assert [row[0] for row in mart] == list(wanted.index)
    np.testing.assert_allclose(np.array([row[1:] for row in mart], dtype=float), wanted.to_numpy(), rtol=1e-12)


def figures(connection: psycopg.Connection, day: datetime) -> tuple[list[Any], list[Any]]:
    """Of the week from the day on: elsewhere, other tests register sites anew, which computes no history again."""
    query = "SELECT {} FROM marts.{} WHERE hour >= %s AND hour < %s ORDER BY 1"
    hours, routes = (
        connection.execute(query.format(columns, mart), [day - DAY, day + 7 * DAY]).fetchall()  # type: ignore[arg-type]
        for mart, columns in (("fct_occupancy_hourly", FIGURES), ("fct_route_occupancy_hourly", ROUTE_FIGURES))
    )
    assert hours and routes
    return hours, routes


def hourly(observations: pd.DataFrame, hold_s: int) -> pd.DataFrame:
    """Mean weighted by time, maximum, samples and coverage by UTC hour, by way of a grid of microseconds."""
    frame = observations.drop_duplicates().sort_values("ts_device")
    start = frame["ts_device"].dt.tz_convert("UTC").astype("datetime64[us, UTC]").astype("int64").to_numpy()
    load = frame["occupancy"].clip(lower=0).to_numpy()
    until = np.minimum(start + hold_s * 1_000_000, np.append(start[1:], np.iinfo(np.int64).max))
    hour_us = 3_600_000_000
    borders = np.arange(start.min() // hour_us, until.max() // hour_us + 1) * hour_us
    found = {}
    for border in borders:
        us = np.clip(np.minimum(until, border + hour_us) - np.maximum(start, border), 0, None)
        if us.sum() == 0:
            continue
        inside = (start >= border) & (start < border + hour_us)
        found[pd.Timestamp(border, unit="us", tz="UTC")] = (
            (us * load).sum() / us.sum(), load[us > 0].max(), inside.sum(), us.sum() / hour_us,
        )  # fmt: skip
    return pd.DataFrame.from_dict(found, orient="index", columns=["mean", "max", "samples", "coverage"])
