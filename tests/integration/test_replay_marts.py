"""Public data through Kafka and dbt: the hourly mart equals an independent computation in pandas."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import psycopg
import pytest

from plimsoll.environment import client_environment
from plimsoll.settings import Settings

pytestmark = pytest.mark.integration
Plimsoll = Callable[..., subprocess.CompletedProcess[str]]


def hourly(observations: pd.DataFrame, hold_s: float) -> pd.DataFrame:
    """Time-weighted mean, maximum and number of samples per site and UTC hour, written down as plainly as possible.

    Args:
        observations: site_id, at (UTC), occupancy.
        hold_s: how long an observation holds at most (s).
    """
    rows: dict[tuple[str, pd.Timestamp], dict[str, float]] = {}
    for site_id, site in observations.drop_duplicates().groupby("site_id"):
        site = site.sort_values("at")
        at = site["at"].to_numpy("datetime64[us]")
        until = np.minimum(at + np.timedelta64(int(hold_s * 1e6), "us"), np.append(at[1:], np.datetime64("2100-01-01")))
        for start, end, load in zip(at, until, np.maximum(site["occupancy"].to_numpy(), 0), strict=True):
            hour = start.astype("datetime64[h]")
            cell = rows.setdefault((str(site_id), hour), {"us": 0.0, "sum": 0.0, "max": 0.0, "samples": 0})
            cell["samples"] += 1
            while hour < end:
                border = hour + np.timedelta64(1, "h")
                us = (min(end, border.astype("datetime64[us]")) - max(start, hour.astype("datetime64[us]"))).astype(
                    float
                )
                cell = rows.setdefault((str(site_id), hour), {"us": 0.0, "sum": 0.0, "max": 0.0, "samples": 0})
                cell["us"] += us
                cell["sum"] += us * load
                cell["max"] = max(cell["max"], load)
                hour = border
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index = pd.MultiIndex.from_tuples(
        [(s, pd.Timestamp(h, tz="UTC")) for s, h in frame.index], names=["site_id", "hour"]
    )
    frame["mean"] = frame["sum"] / frame["us"]
    frame["coverage"] = frame["us"] / 3600e6
    return frame.sort_index()


@pytest.fixture(scope="module")
def marts(stack, database_url: str, datasets: Path, tmp_path_factory: pytest.TempPathFactory) -> str:  # type: ignore[no-untyped-def]
    """Both files replayed, landed and built, with the commands that a user types."""
    home = tmp_path_factory.mktemp("home")
    env = {**os.environ, "DATABASE_URL": database_url, "KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
           "PLIMSOLL_HOME": str(home)}  # fmt: skip

    def run(*command: str, **more: str) -> None:
        done = subprocess.run(command, env=env | more, capture_output=True, text=True, cwd=home, timeout=240)
        assert done.returncode == 0, done.stdout + done.stderr

    plimsoll = (sys.executable, "-m", "plimsoll")
    run(*plimsoll, "replay", str(datasets / "parking_birmingham" / "dataset.csv"), "--map", "site_id=SystemCodeNumber",
        "--map", "occupancy=Occupancy", "--map", "capacity=Capacity", "--map", "ts_device=LastUpdated",
        "--tz", "Europe/London", "--hold", "3600")  # fmt: skip
    run(*plimsoll, "replay", str(datasets / "gym_campus" / "gym_dataset.csv"), "--set", "site_id=gym-campus",
        "--map", "occupancy=number_people", "--map", "ts_device=date", "--tz", "America/Los_Angeles",
        "--hold", "1200")  # fmt: skip
    run(*plimsoll, "lander", "run", "--until-caught-up")
    parts = Settings(database_url=database_url, home=home)
    run(str(Path(sys.executable).parent / "dbt"), "build", "--select", "+fct_occupancy_hourly",
        "--exclude-resource-type", "unit_test", "--target-path", str(home / "target"), "--log-path", str(home / "logs"),
        **client_environment(parts))  # fmt: skip
    return database_url


def mart(database_url: str, sites: list[str]) -> pd.DataFrame:
    query = """
        SELECT site_id, hour, mean_occupancy, max_occupancy, samples, coverage FROM marts.fct_occupancy_hourly
        WHERE site_id = ANY(%s) AND NOT is_imputed
    """
    with psycopg.connect(database_url, options="-c timezone=UTC") as connection:
        rows = connection.execute(query, [sites]).fetchall()
    frame = pd.DataFrame(rows, columns=["site_id", "hour", "mean", "max", "samples", "coverage"])
    frame["hour"] = pd.to_datetime(frame["hour"], utc=True)
    return frame.set_index(["site_id", "hour"]).astype(float).sort_index()


def assert_equal(found: pd.DataFrame, wanted: pd.DataFrame) -> None:
    assert len(wanted) > 1000
    assert list(found.index) == list(wanted.index)
    for column in ("mean", "max", "samples", "coverage"):
        np.testing.assert_allclose(found[column], wanted[column], rtol=1e-9, atol=1e-9, err_msg=column)


def test_the_car_parks_hours_equal_pandas(marts: str, datasets: Path) -> None:
    frame = pd.read_csv(datasets / "parking_birmingham" / "dataset.csv")
    at = pd.to_datetime(frame["LastUpdated"]).dt.tz_localize("Europe/London").dt.tz_convert("UTC").dt.tz_localize(None)
    wanted = hourly(
        pd.DataFrame({"site_id": frame["SystemCodeNumber"], "at": at, "occupancy": frame["Occupancy"]}), 3600
    )

    assert_equal(mart(marts, sorted(set(frame["SystemCodeNumber"]))), wanted)


def test_the_gyms_hours_equal_pandas(marts: str, datasets: Path) -> None:
    frame = pd.read_csv(datasets / "gym_campus" / "gym_dataset.csv")
    at = pd.to_datetime(frame["date"], utc=True, format="ISO8601").dt.tz_localize(None)
    wanted = hourly(pd.DataFrame({"site_id": "gym-campus", "at": at, "occupancy": frame["number_people"]}), 1200)

    assert_equal(mart(marts, ["gym-campus"]), wanted)
