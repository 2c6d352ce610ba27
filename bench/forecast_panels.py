"""Tidy panels (`site_id, hour, value[, capacity]`) out of the public data sets; nothing of theirs is kept here.

Each converter gives hourly means (or sums, where the data count trips) in UTC, with the set's own time zone beside it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

DATASETS = Path(os.environ.get("PLIMSOLL_DATASETS", Path(__file__).parents[2] / "shared" / "datasets"))


@dataclass(frozen=True)
class PanelSource:
    """A panel, its time zone, and the first hour (local) that the benchmark may score."""

    name: str
    tz: str
    scored_from: str
    scored_to: str
    load: Callable[[], pd.DataFrame]


def gym_campus() -> pd.DataFrame:
    """People in one gym, hourly mean of 10-minute samples."""
    raw = pd.read_csv(DATASETS / "gym_campus" / "gym_dataset.csv", usecols=["date", "number_people"])
    hour = pd.to_datetime(raw["date"], utc=True).dt.floor("h")
    return _hourly_mean(raw.assign(site_id="gym", hour=hour, value=raw["number_people"]))


def birmingham() -> pd.DataFrame:
    """Cars in 30 car parks, hourly mean of half-hourly samples, 08:00–16:30 only; capacity known."""
    raw = pd.read_csv(DATASETS / "parking_birmingham" / "dataset.csv").drop_duplicates()
    hour = _local(raw["LastUpdated"], "Europe/London").dt.floor("h")
    return _hourly_mean(
        raw.assign(
            site_id=raw["SystemCodeNumber"], hour=hour, value=raw["Occupancy"].clip(lower=0), capacity=raw["Capacity"]
        )
    )


def bath() -> pd.DataFrame:
    """Cars in 8 car parks, hourly mean of event times; capacity known; gaps of months."""
    raw = pd.read_parquet(DATASETS / "parking_bath" / "bath_car_parks_all.parquet")
    hour = _local(raw["LastUpdate"], "Europe/London").dt.floor("h")
    tidy = raw.assign(site_id=raw["Name"], hour=hour, value=raw["Occupancy"].clip(lower=0), capacity=raw["Capacity"])
    return _hourly_mean(tidy[hour.between("2014-10-01", "2016-12-31")])


def melbourne() -> pd.DataFrame:
    """Pedestrians past 39 sensors, per hour; many sensors start late."""
    folder = DATASETS / "pedestrian_melbourne"
    raw = pd.read_csv(folder / "pedestriancounts_melbourne_2906.zip").dropna(subset=["SensorID"])
    naive = pd.to_datetime(raw["Date"], format="%d-%b-%Y") + pd.to_timedelta(raw["Hour"], unit="h")
    tidy = raw.assign(site_id=raw["SensorID"].astype(int).astype(str), hour=_local(naive, "Australia/Melbourne"))
    return _hourly_mean(tidy.assign(value=raw["PedestrianCount"]).dropna(subset=["hour"]))


def metro() -> pd.DataFrame:
    """Vehicles per hour on one motorway; repeated hours agree, long gaps."""
    raw = pd.read_csv(DATASETS / "traffic_metro_interstate" / "Metro_Interstate_Traffic_Volume.csv")
    tidy = raw.assign(site_id="I-94", hour=_local(raw["date_time"], "America/Chicago"), value=raw["traffic_volume"])
    return _hourly_mean(tidy.dropna(subset=["hour"]))


def chattanooga() -> pd.DataFrame:
    """Boardings per route and hour of trip start; an hour of service without trips is absent."""
    raw = pd.read_parquet(DATASETS / "bus_apc_chattanooga" / "chattanooga_carta_trip_day.parquet")
    raw = raw[raw["datetime"] < "2020-03-01"]
    hour = _local(raw["datetime"], "America/New_York").dt.floor("h")
    tidy = raw.assign(site_id=raw["route_id"].astype(str), hour=hour)
    return (
        tidy.groupby(["site_id", "hour"], as_index=False)["board_count"].sum().rename(columns={"board_count": "value"})
    )


@cache
def simulator() -> pd.DataFrame:
    """Mean load factor, in percent, of each route and direction of a simulated city, as it truly was."""
    from ingest.simulator.city import City
    from ingest.simulator.config import CityConfig

    city = City.build(CityConfig(seed=7, buses=60, venues=0, areas=0))
    days = [city.day(day.date()).route_truth for day in pd.date_range("2025-09-01", "2026-01-18")]
    truth = pd.concat(days)
    names = truth["route_id"].astype(str) + "-" + truth["direction_id"].astype(str)
    return _hourly_mean(truth.assign(site_id=names, value=100 * truth["mean_load_factor"]))


def _local(stamps: pd.Series, tz: str) -> pd.Series:
    """Local wall-clock times as UTC; an hour that daylight saving skips becomes NaT."""
    local = pd.to_datetime(stamps).dt.tz_localize(tz, ambiguous=True, nonexistent="NaT")
    return local.dt.tz_convert("UTC")


def _hourly_mean(tidy: pd.DataFrame) -> pd.DataFrame:
    columns = ["value", "capacity"] if "capacity" in tidy else ["value"]
    return tidy.groupby(["site_id", "hour"], as_index=False)[columns].mean()


PANELS = {
    source.name: source
    for source in (
        PanelSource("gym", "America/Los_Angeles", "2016-08-24", "2016-12-18", gym_campus),
        PanelSource("birmingham", "Europe/London", "2016-12-06", "2016-12-20", birmingham),
        PanelSource("melbourne", "Australia/Melbourne", "2014-12-20", "2015-02-15", melbourne),
        PanelSource("metro", "America/Chicago", "2018-08-06", "2018-10-01", metro),
        PanelSource("chattanooga", "America/New_York", "2020-02-16", "2020-03-01", chattanooga),
        PanelSource("simulator", "Asia/Jakarta", "2026-01-05", "2026-01-19", simulator),
        PanelSource("bath", "Europe/London", "2016-10-01", "2016-11-26", bath),
    )
}
