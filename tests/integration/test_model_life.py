"""A model's life on a real database: trained, promoted, listed, rolled back, explained."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from forecasting import store
from forecasting.features import NAMES
from forecasting.operation.panels import read_groups
from forecasting.operation.predicting import score
from forecasting.operation.training import train_challenger, waiting_tenants
from plimsoll.settings import Settings
from serving.app import create_app

pytestmark = pytest.mark.integration
Run = Callable[..., subprocess.CompletedProcess[str]]
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
WEEKS = 5
TOMORROW = (NOW + timedelta(days=1)).date()


@pytest.fixture(scope="module", autouse=True)
def trained(database_url: str) -> str:
    """Two venues of a quiet town that has been a third fuller since yesterday; their model's version."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            """
            CREATE SCHEMA marts;
            CREATE TABLE marts.fct_series_hourly (
                tenant_id text, series_id text, series_kind text, hour timestamptz, value double precision,
                capacity double precision, is_imputed boolean, time_zone text)
            """
        )
        rows = [
            ("default", name, "venue", hour, _people(hour, size), 200.0, False, "Asia/Jakarta")
            for name, size in (("gym", 40.0), ("pool", 25.0))
            for back in range(1, WEEKS * 168)
            for hour in [NOW - timedelta(hours=back)]
        ]
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO marts.fct_series_hourly VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", rows)
        connection.execute(
            "INSERT INTO registry.calendar_events (tenant_id, site_id, starts_at, ends_at, kind, name, known_at)"
            " VALUES ('default', 'pool', %s, %s, 'closure', 'Repairs', %s)",
            [TOMORROW, TOMORROW + timedelta(days=2), NOW - timedelta(days=3)],
        )
        assert waiting_tenants(connection, NOW) == ["default"]
        panel = read_groups(connection, "default", until=NOW)["venue"]
        version, _, awaits_trial = train_challenger(connection, "default", "venue", panel)
        assert awaits_trial
        # A run that broke off before the trial is made good by the next one.
        assert train_challenger(connection, "default", "venue", panel)[::2] == (version, True)
        store.promote(connection, "default", version, decision={"reason": "first", "wape": 0.1}, now=NOW)
        assert score(connection, "default", NOW) is not None
        assert waiting_tenants(connection, NOW) == []
        return version


def _people(hour: datetime, size: float) -> float:
    local = hour + timedelta(hours=7)
    wave = 1.2 + math.sin((local.hour - 9) / 24 * 2 * math.pi)
    recent = 1.35 if hour >= NOW - timedelta(days=1) else 1.0
    return size * wave * (0.6 if local.weekday() >= 5 else 1.0) * recent + (hour.day * 7 + hour.hour) % 4


@pytest.fixture(scope="module")
def api(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    home: Path = tmp_path_factory.mktemp("home")
    app = create_app(Settings(home=home, database_url=SecretStr(database_url), kafka_bootstrap_servers=None))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def test_the_same_training_is_the_same_model_and_carries_what_it_takes_to_repeat_it(
    connection: psycopg.Connection, trained: str
) -> None:
    panel = read_groups(connection, "default", until=NOW)["venue"]

    version, model, awaits_trial = train_challenger(connection, "default", "venue", panel)

    assert (version, awaits_trial) == (trained, False)
    stored = store.load_model(connection, "default", trained)
    assert stored is not None and stored.artefact == model.to_bytes()
    assert {"seed", "trained_from", "trained_to", "features", "packages"} <= stored.metadata.keys()
    assert stored.metadata["features"] == list(NAMES)
    assert {"xgboost-cpu", "numpy", "holidays", "plimsoll"} <= stored.metadata["packages"].keys()


def test_an_explanation_says_what_is_usual_and_why_this_is_not(api: TestClient, trained: str) -> None:
    hour = NOW + timedelta(hours=3)

    said = api.get("/api/forecast/explain", params={"site_id": "gym", "hour": hour.isoformat()}).json()

    assert (said["model_version"], said["method"]) == (trained, "profile+xgboost")
    local = hour + timedelta(hours=7)
    assert said["summary"].startswith(f"{local:%A}s {local:%H}:00 are usually ")
    assert said["expected"] > said["usual"]
    assert any("above usual" in driver["reason"] and driver["effect"] > 0 for driver in said["drivers"])
    assert said["usual"] + sum(d["effect"] for d in said["drivers"]) == pytest.approx(
        said["expected"], rel=0.15, abs=1
    )  # the rest is too small to tell
    assert not [name for name in NAMES if "_" in name and name in said["summary"]]


@pytest.mark.parametrize("offset", ["+05:30", "-03:30"])
def test_an_instant_on_a_clock_half_an_hour_off_is_of_its_utc_hour(api: TestClient, offset: str) -> None:
    hour = NOW + timedelta(hours=3)
    there = (hour + timedelta(minutes=10)).astimezone(datetime.fromisoformat(f"2026-01-01T00:00{offset}").tzinfo)

    # Unescaped, a plus sign arrives as a blank.
    said = api.get(f"/api/forecast/explain?site_id=gym&hour={there.isoformat()}").json()

    assert datetime.fromisoformat(said["ts"]) == hour


def test_a_closure_explains_itself(api: TestClient) -> None:
    noon = datetime.combine(TOMORROW, datetime.min.time(), UTC) + timedelta(hours=5)  # noon in Jakarta

    said = api.get("/api/forecast/explain", params={"site_id": "pool", "hour": noon.isoformat()}).json()

    assert (said["expected"], said["method"], said["drivers"]) == (0, "closed", [])
    assert said["summary"].startswith("Closed on ") and "Repairs" in said["summary"]


def test_an_event_of_the_year_3026_costs_a_tenant_nothing_and_is_told(
    connection: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    odd = [("3026-12-19", "3026-12-20", NOW), ("0206-01-01", "0206-01-02", NOW), (TOMORROW, NOW.max, NOW)]
    never_known = (TOMORROW, TOMORROW + timedelta(days=1), "10000-01-01T11:59:59Z")
    for start, end, known_at in [*odd, never_known]:
        connection.execute(
            "INSERT INTO registry.calendar_events (tenant_id, site_id, starts_at, ends_at, kind, name, known_at)"
            " VALUES ('default', '*', %s, %s, 'closure', 'Mistyped', %s)",
            [start, end, known_at],
        )

    events = read_groups(connection, "default", until=NOW)["venue"].events
    connection.execute("DELETE FROM registry.calendar_events WHERE name = 'Mistyped'")

    assert {event.name for event in events.entries if event.kind == "closure"} == {"Repairs"}
    assert caplog.text.count("'Mistyped'") == len(odd), "what nobody knows yet is not read at all"
    assert "from 3026-12-19 00:00:00" in caplog.text


def test_what_was_not_forecast_is_not_explained(api: TestClient) -> None:
    late = (NOW + timedelta(days=9)).isoformat()

    assert api.get("/api/forecast/explain", params={"site_id": "gym", "hour": late}).status_code == 404
    assert api.get("/api/forecast/explain", params={"site_id": "nowhere"}).status_code == 404
    for hour in ("soon", "9999-12-31T23:59:00-12:00"):
        assert api.get("/api/forecast/explain", params={"site_id": "gym", "hour": hour}).status_code == 422


def test_models_are_listed_promoted_rolled_back_and_explained_from_the_shell(
    connection: psycopg.Connection, plimsoll: Run, trained: str
) -> None:
    assert store.save_model(
        connection, "default", group="venue", model_version="abc123", artefact=b"", trained_from=NOW, trained_to=NOW,
        metadata={},
    )  # fmt: skip
    listed = plimsoll("forecast", "list", COLUMNS="200").stdout
    promoted = plimsoll("forecast", "promote", "abc", "--reason", "trial", COLUMNS="200").stdout
    back = plimsoll("forecast", "rollback", COLUMNS="200").stdout
    again = plimsoll("forecast", "rollback", check=False)
    unknown = plimsoll("forecast", "promote", "zzz", check=False)
    explained = plimsoll("forecast", "explain", "gym", COLUMNS="200").stdout

    assert trained in listed and "champion" in listed and "10.0 %" in listed
    assert f"abc123 is the champion, in place of {trained}" in promoted
    assert f"{trained} is the champion of group venue again" in back
    assert again.returncode == 1 and "no earlier champion" in again.stderr
    assert unknown.returncode == 1 and "`plimsoll forecast list` shows" in unknown.stderr
    assert "are usually" in explained and trained in explained


def test_a_retired_site_is_not_forecast_any_more_and_its_last_forecast_is_not_passed_on(
    connection: psycopg.Connection, api: TestClient
) -> None:
    question = {"site_id": "gym", "hour": (NOW + timedelta(hours=3)).isoformat()}
    assert api.get("/api/forecast/explain", params=question).status_code == 200
    connection.execute(
        "INSERT INTO registry.sites (tenant_id, site_id, name, kind, capacity, hold_s, is_active)"
        " VALUES ('default', 'gym', 'Gym', 'venue', 200, 1800, false)"
    )

    scored = score(connection, "default", NOW + timedelta(hours=1))

    assert scored is not None and set(scored.predictions["site_id"]) == {"pool"}
    assert api.get("/api/forecast/explain", params=question).status_code == 404
    connection.execute("UPDATE registry.sites SET is_active = true")
    assert api.get("/api/forecast/explain", params=question).status_code == 200
