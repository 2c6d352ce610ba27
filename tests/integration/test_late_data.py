"""Eight car parks as they were uploaded, late rows, wrong clocks and all, end in the marts that order would have given.

One tenant gets the file in the order of the events and one refresh at the end; the other gets it in the order of its
true upload times, with a refresh in between whenever much was still on its way.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import psycopg
import pytest
from psycopg import sql

from plimsoll.environment import client_environment
from plimsoll.settings import Settings

pytestmark = pytest.mark.integration
Plimsoll = Callable[..., subprocess.CompletedProcess[str]]
FROM, TO = "2015-02-23", "2015-03-16"
ROUNDS = 2
MARTS = {
    "fct_occupancy_hourly": {"occupancy_hour_key", "tenant_id", "first_landed_at", "last_landed_at", "refreshed_at"},
    "fct_occupancy_daily": {"occupancy_day_key", "tenant_id", "refreshed_at"},
}
"""Marts, and the columns in which the two tenants must differ."""


@pytest.fixture
def rounds(datasets: Path, tmp_path: Path) -> list[Path]:
    """The slice in files by upload time, each cut where the latest of the late rows had not come in."""
    frame = pd.read_parquet(datasets / "parking_bath" / "bath_car_parks_all.parquet")
    frame = frame[frame["LastUpdate"].between(FROM, TO)].sort_values("DateUploaded", kind="stable")
    lag = frame["DateUploaded"] - frame["LastUpdate"]
    late = frame[lag > pd.Timedelta("1h")]
    assert frame["Name"].nunique() == 8
    assert len(late) >= 5, "there is nothing late in it, which proves nothing"
    assert (lag < pd.Timedelta(0)).any(), "no clock is ahead"
    by_lag = late.loc[lag[late.index].sort_values(ascending=False).index, "DateUploaded"]
    latest = by_lag.drop_duplicates()[: ROUNDS - 1].sort_values()
    paths, since = [], pd.Timestamp.min
    for number, until in enumerate([*latest, pd.Timestamp.max]):
        part = frame[(frame["DateUploaded"] >= since) & (frame["DateUploaded"] < until)]
        assert len(part) > 0
        paths.append(tmp_path / f"round-{number}.parquet")
        part.to_parquet(paths[-1])
        since = until
    return paths


@pytest.fixture
def replay(plimsoll: Plimsoll) -> Callable[..., None]:
    def send(tenant: str, *options: str) -> None:
        plimsoll(
            "replay", *options, "--tenant", tenant, "--map", "site_id=Name", "--map", "occupancy=Occupancy",
            "--map", "capacity=Capacity", "--map", "ts_device=LastUpdate", "--tz", "Europe/London", "--hold", "900",
        )  # fmt: skip

    return send


@pytest.fixture
def refresh(platform_env: dict[str, str], database_url: str, tmp_path: Path) -> Callable[[], None]:
    dbt = str(Path(sys.executable).parent / "dbt")
    environment = platform_env | client_environment(Settings(database_url=database_url, home=tmp_path))

    def run() -> None:
        done = subprocess.run(
            [dbt, "run", "--select", "+fct_occupancy_daily", "--target-path", str(tmp_path / "target"), "--log-path",
             str(tmp_path / "logs")], env=environment, capture_output=True, text=True, timeout=240,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    return run


def rows(connection: psycopg.Connection, mart: str, tenant: str, without: set[str]) -> list[dict[str, object]]:
    query = sql.SQL("SELECT to_jsonb(m) FROM {} AS m WHERE tenant_id = %s ORDER BY {}, site_id").format(
        sql.Identifier("marts", mart), sql.Identifier("hour" if mart.endswith("hourly") else "service_date")
    )
    found = connection.execute(query, [tenant]).fetchall()
    return [{name: value for name, value in row.items() if name not in without} for (row,) in found]


def test_a_file_replayed_by_its_upload_times_gives_the_marts_of_a_file_in_order(
    rounds: list[Path],
    replay: Callable[..., None],
    refresh: Callable[[], None],
    plimsoll: Plimsoll,
    connection: psycopg.Connection,
    tmp_path: Path,
) -> None:
    for tenant in ("in-order", "as-uploaded"):
        connection.execute("INSERT INTO registry.tenants (tenant_id, name) VALUES (%s, %s)", [tenant, tenant])
    whole = tmp_path / "whole.parquet"
    pd.concat(map(pd.read_parquet, rounds)).to_parquet(whole)

    replay("in-order", str(whole))
    early = []
    for file in rounds:
        replay("as-uploaded", str(file), "--order-by", "DateUploaded")
        plimsoll("lander", "run", "--until-caught-up")
        refresh()
        early.append(rows(connection, "fct_occupancy_hourly", "as-uploaded", MARTS["fct_occupancy_hourly"]))

    for mart, without in MARTS.items():
        wanted, found = (rows(connection, mart, tenant, without) for tenant in ("in-order", "as-uploaded"))
        assert len(wanted) > 100
        assert found == wanted
    final = {(str(row["site_id"]), str(row["hour"])): row for row in early[-1]}
    corrected = [row for row in early[0] if final[str(row["site_id"]), str(row["hour"])] != row]
    assert corrected, "no late row has changed an hour that was there before"
