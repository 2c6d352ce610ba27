"""Panel, model, backtest and predictions, run as assets against a real database."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from dagster import (
    AssetKey,
    AssetsDefinition,
    DagsterInstance,
    ExecuteInProcessResult,
    SensorResult,
    materialize,
)

from orchestration.assets import drift, forecasting
from orchestration.jobs import ONLY_STALE
from orchestration.keys import BACKTESTS, DRIFT, MODELS, PREDICTIONS, TRAINING_PANEL
from orchestration.resources import Platform
from orchestration.sensors import no_champion, retrain_on_drift

pytestmark = pytest.mark.integration
WEEKS = 4
THIS_HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
TRAINING = [forecasting.training_panel, forecasting.models, forecasting.backtests]


@pytest.fixture(scope="module")
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as opened:
        yield opened


@pytest.fixture(scope="module", autouse=True)
def series(database_url: str) -> None:
    """Two venues with a daily rhythm, and one that closed two months ago."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS marts")
        connection.execute(
            """
            CREATE TABLE marts.fct_series_hourly (
                tenant_id text, series_id text, series_kind text, hour timestamptz, value double precision,
                capacity double precision, is_imputed boolean, time_zone text
            )
            """
        )
        rows = [
            ("default", name, "venue", hour, _people(hour, size), 100.0, False, "UTC")
            for name, size, ended in (("gym", 40, 0), ("pool", 25, 0), ("closed", 30, 70))
            for back in range(1, WEEKS * 168)
            for hour in [THIS_HOUR - timedelta(days=ended, hours=back)]
        ]
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO marts.fct_series_hourly VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", rows)


def _people(hour: datetime, size: float) -> float:
    wave = 1 + math.sin((hour.hour - 6) / 24 * 2 * math.pi)
    return size * wave * (0.6 if hour.weekday() >= 5 else 1.0) + hour.day % 3


def run(
    assets: Sequence[AssetsDefinition], url: str, instance: DagsterInstance, config: dict[str, Any] | None = None
) -> ExecuteInProcessResult:
    return materialize(
        assets, instance=instance, resources={"platform": Platform(database_url=url)}, run_config=config, selection=None
    )


def metadata(result: ExecuteInProcessResult, key: AssetKey) -> dict[str, Any]:
    (event,) = [m for m in result.get_asset_materialization_events() if m.asset_key == key]
    return {name: value.value for name, value in event.materialization.metadata.items()}


def test_without_a_champion_the_profile_speaks_and_says_so(
    connection: psycopg.Connection, database_url: str, instance: DagsterInstance
) -> None:
    said = metadata(run([forecasting.occupancy_hourly], database_url, instance), PREDICTIONS)

    assert said["model_default_venue"] == "profile"
    assert said["series"] == 2  # nobody waits for the forecast of what closed two months ago
    methods = connection.execute("SELECT DISTINCT method FROM forecast.occupancy_hourly").fetchall()
    assert methods == [("profile",)]


def test_a_training_is_asked_for_where_the_profile_had_to_speak(
    connection: psycopg.Connection, database_url: str, instance: DagsterInstance, tick: Callable[..., Any]
) -> None:
    asked = tick(no_champion, instance, database_url)

    assert isinstance(asked, SensorResult)
    (request,) = asked.run_requests or []
    assert (request.run_key or "").partition("@")[0] == "default"
    # Whoever has a fresh champion is not trained again because somebody else has none.
    assert request.run_config == ONLY_STALE


def test_the_first_model_becomes_champion_with_its_numbers(
    connection: psycopg.Connection, database_url: str, instance: DagsterInstance
) -> None:
    result = run(TRAINING, database_url, instance)

    trained, judged = metadata(result, MODELS), metadata(result, BACKTESTS)
    assert trained["models_trained"] == 1
    assert judged["promoted_default_venue"] is True
    measures = {"wape", "wape_dow_hour_mean", "wape_seasonal_naive_168", "wape_four_week_mean", "coverage"}
    assert {f"{name}_default_venue" for name in measures} <= judged.keys()
    assert judged["plot_default_venue"].startswith("![")
    row = connection.execute("SELECT model_version, status, decision ->> 'reason' FROM forecast.models").fetchone()
    assert row == (trained["model_version_default_venue"], "champion", "There is no champion to compare it with.")
    assert connection.execute("SELECT count(*) FROM forecast.backtests").fetchone() == (4,)


def test_the_champion_predicts_a_week_and_says_it_once(
    connection: psycopg.Connection, database_url: str, instance: DagsterInstance
) -> None:
    version = connection.execute("SELECT model_version FROM forecast.models WHERE status = 'champion'").fetchone()
    first = metadata(run([forecasting.occupancy_hourly], database_url, instance), PREDICTIONS)
    again = metadata(run([forecasting.occupancy_hourly], database_url, instance), PREDICTIONS)

    assert version == (first["model_default_venue"],)
    assert first["rows_added"] == 2 * 168
    assert first["plot_default"].startswith("![")
    # Unless the hour has turned between the two, in which case there is something new to say.
    assert again["rows_added"] == (0 if again["origin"] == first["origin"] else 2 * 168)


def test_a_closure_in_the_calendar_makes_the_next_forecast_zero_and_no_earlier_one(
    connection: psycopg.Connection, database_url: str, instance: DagsterInstance
) -> None:
    tomorrow = (THIS_HOUR + timedelta(days=1)).date()
    for site, known_at in (("gym", THIS_HOUR - timedelta(hours=2)), ("pool", THIS_HOUR + timedelta(hours=1))):
        connection.execute(
            "INSERT INTO registry.calendar_events (tenant_id, site_id, starts_at, ends_at, kind, name, known_at)"
            " VALUES ('default', %s, %s, %s, 'closure', 'works', %s)",
            [site, tomorrow, tomorrow + timedelta(days=1), known_at],
        )
    connection.execute("DELETE FROM forecast.occupancy_hourly")  # what was said stays: say it anew

    run([forecasting.occupancy_hourly], database_url, instance)

    closed = connection.execute(
        "SELECT series_id, target_hour::date, count(*), max(p90) FROM forecast.occupancy_hourly"
        " WHERE method = 'closed' GROUP BY 1, 2"
    ).fetchall()
    assert closed == [("gym", tomorrow, 24, 0.0)]


def test_a_fresh_champion_is_not_trained_again_where_only_stale_ones_are(
    connection: psycopg.Connection, database_url: str, instance: DagsterInstance
) -> None:
    result = run([*TRAINING, forecasting.occupancy_hourly], database_url, instance, ONLY_STALE)

    assert metadata(result, MODELS)["models_trained"] == 0
    judged = metadata(result, BACKTESTS)
    assert judged["models_judged"] == 0
    # Nothing to judge, and the page still tells how the champion stands.
    (champion,) = [record.data for record in judged["champions"].records]
    measured = connection.execute(
        "SELECT model_version, wape, coverage_80 FROM forecast.backtests WHERE method = 'champion'"
    ).fetchone()
    assert measured == (
        champion["model_version"], pytest.approx(champion["wape"], abs=1e-4),
        pytest.approx(champion["coverage"], abs=1e-4),
    )  # fmt: skip
    assert (champion["tenant"], champion["group"]) == ("default", "venue")
    assert champion["baseline_wape"] > 0 and champion["better_by"].endswith("%")
    assert metadata(result, PREDICTIONS)["series"] == 2
    assert connection.execute("SELECT count(*) FROM forecast.models").fetchone() == (1,)


def test_a_champion_of_another_version_of_the_software_gives_way_to_the_profile_and_then_to_a_new_model(
    connection: psycopg.Connection, database_url: str, instance: DagsterInstance
) -> None:
    connection.execute("TRUNCATE forecast.backtests")
    connection.execute("UPDATE forecast.models SET artefact = 'of yesterday', model_version = 'old'")
    said = metadata(run([forecasting.occupancy_hourly], database_url, instance), PREDICTIONS)
    assert said["model_default_venue"] == "profile"

    judged = metadata(run(TRAINING, database_url, instance, ONLY_STALE), BACKTESTS)

    assert judged["promoted_default_venue"] is True
    rows = connection.execute("SELECT status FROM forecast.models ORDER BY model_version = 'old'").fetchall()
    assert rows == [("champion",), ("retired",)]


def test_drift_is_measured_stored_checked_and_told(
    connection: psycopg.Connection, database_url: str, instance: DagsterInstance, tick: Callable[..., Any]
) -> None:
    connection.execute(
        "UPDATE marts.fct_series_hourly SET value = value * 0.3 WHERE hour > now() - interval '5 days'"
        " AND series_id <> 'closed'"
    )
    result = run([drift.drift], database_url, instance)
    connection.execute(
        "UPDATE marts.fct_series_hourly SET value = value / 0.3 WHERE hour > now() - interval '5 days'"
        " AND series_id <> 'closed'"
    )

    said = metadata(result, DRIFT)
    assert said["drifting"] == 1
    assert said["plot_default_venue"].startswith("![")
    (check,) = result.get_asset_check_evaluations()
    assert not check.passed
    assert connection.execute("SELECT cardinality(reasons) > 0, hours FROM forecast.drift").fetchone() == (True, 336)
    assert connection.execute("SELECT state FROM ops.alerts").fetchall() == [("firing",)]
    asked = tick(retrain_on_drift, instance, database_url)
    assert isinstance(asked, SensorResult) and len(asked.run_requests or []) == 1
    connection.execute(
        "INSERT INTO forecast.models (tenant_id, series_group, model_version, status, trained_from, trained_to,"
        " metadata, artefact) SELECT tenant_id, 'area', 'other', status, trained_from, trained_to, metadata, artefact"
        " FROM forecast.models WHERE status = 'champion'"
    )
    connection.execute(
        "INSERT INTO forecast.drift SELECT (drift).* FROM (SELECT jsonb_populate_record(drift, "
        '\'{"series_group": "area", "model_version": "other"}\') AS drift FROM forecast.drift) AS copied'
    )
    again = tick(retrain_on_drift, instance, database_url)
    assert isinstance(again, SensorResult) and again.run_requests
    assert again.run_requests[0].run_key == asked.run_requests[0].run_key, "one measurement, one training"
    connection.execute("DELETE FROM forecast.drift WHERE model_version = 'other'")
    connection.execute("DELETE FROM forecast.models WHERE model_version = 'other'")


def test_a_champion_worse_than_the_baseline_gives_way_to_the_profile(
    connection: psycopg.Connection, database_url: str, instance: DagsterInstance
) -> None:
    connection.execute("UPDATE forecast.drift SET is_worse_than_baseline = true")
    connection.execute("DELETE FROM forecast.occupancy_hourly")

    said = metadata(run([forecasting.occupancy_hourly], database_url, instance), PREDICTIONS)

    assert said["model_default_venue"] == "profile"
    assert "worse than the baseline" in said["fallback_default_venue"]
    connection.execute("DELETE FROM forecast.drift")


def test_a_later_model_that_is_no_better_is_rejected_with_its_numbers(
    connection: psycopg.Connection, database_url: str, instance: DagsterInstance
) -> None:
    connection.execute("DELETE FROM marts.fct_series_hourly WHERE hour > now() - interval '6 hours'")
    result = run(TRAINING, database_url, instance)

    judged = metadata(result, BACKTESTS)
    assert judged["promoted_default_venue"] is False
    assert judged["gain_plot_default_venue"].startswith("![")
    assert {"gain_low", "gain_high", "segments", "coverage"} <= judged["decision_numbers_default_venue"].keys()
    rows = connection.execute(
        "SELECT decision ->> 'gain', decision ->> 'reason' FROM forecast.models WHERE status = 'rejected'"
    )
    ((gain, reason),) = rows.fetchall()
    assert float(gain) < 0.02
    assert "WAPE" in reason


@pytest.mark.parametrize(
    ("assets", "key", "served"),
    [
        ([forecasting.occupancy_hourly], PREDICTIONS, {"series": 2}),
        (TRAINING, TRAINING_PANEL, {"series": 3}),
        ([drift.drift], DRIFT, {"champions": 1}),
    ],
)
def test_a_tenant_that_cannot_be_read_does_not_stop_the_others_and_the_run_names_it(
    connection: psycopg.Connection,
    database_url: str,
    assets: Sequence[AssetsDefinition],
    key: AssetKey,
    served: dict[str, int],
) -> None:
    connection.execute("INSERT INTO registry.tenants VALUES ('a-broken', 'first of all') ON CONFLICT DO NOTHING")
    connection.execute(
        "INSERT INTO registry.sites (tenant_id, site_id, name, kind, country)"
        " VALUES ('a-broken', 'x', 'In no country', 'venue', 'XX') ON CONFLICT DO NOTHING"
    )
    connection.execute(
        "INSERT INTO marts.fct_series_hourly SELECT 'a-broken', 'x', 'venue', hour, value, capacity, false, 'UTC'"
        " FROM marts.fct_series_hourly WHERE series_id = 'gym'"
    )
    config = ONLY_STALE if assets is TRAINING else None
    with DagsterInstance.ephemeral() as own:
        result = materialize(
            assets, instance=own, resources={"platform": Platform(database_url=database_url)}, run_config=config,
            raise_on_error=False,
        )  # fmt: skip
    connection.execute("DELETE FROM marts.fct_series_hourly WHERE tenant_id = 'a-broken'")

    said = metadata(result, key)
    assert {name: said[name] for name in served} == served
    assert not result.success
    failures = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert ["left out: a-broken" in str(failure.error) for failure in failures] == [True]


def test_a_group_that_cannot_be_trained_or_judged_stops_no_other_and_the_run_names_it(
    connection: psycopg.Connection, database_url: str
) -> None:
    # Nobody can train in a zone that does not exist; the trial of `b`, which comes before `c`, cannot be recorded.
    for tenant, group, zone in (
        ("a", "area", "Mars/Olympus"),
        ("a", "venue", "UTC"),
        ("b", "venue", "UTC"),
        ("c", "venue", "UTC"),
    ):
        connection.execute("INSERT INTO registry.tenants VALUES (%s, %s) ON CONFLICT DO NOTHING", [tenant, tenant])
        connection.execute(
            "INSERT INTO marts.fct_series_hourly SELECT %s, %s, %s, hour, value, capacity, false, %s"
            " FROM marts.fct_series_hourly WHERE tenant_id = 'default' AND series_id = 'gym'",
            [tenant, f"{tenant}-{group}", group, zone],
        )
    connection.execute("ALTER TABLE forecast.backtests ADD CONSTRAINT refused CHECK (tenant_id <> 'b') NOT VALID")
    with DagsterInstance.ephemeral() as own:
        result = materialize(
            TRAINING, instance=own, resources={"platform": Platform(database_url=database_url)},
            run_config=ONLY_STALE, raise_on_error=False,
        )  # fmt: skip
    connection.execute("ALTER TABLE forecast.backtests DROP CONSTRAINT refused")
    connection.execute("DELETE FROM marts.fct_series_hourly WHERE tenant_id <> 'default'")

    champions = connection.execute(
        "SELECT tenant_id, series_group FROM forecast.models WHERE status = 'champion' AND tenant_id <> 'default'"
    ).fetchall()
    assert sorted(champions) == [("a", "venue"), ("c", "venue")]
    assert metadata(result, MODELS)["models_trained"] == 3
    assert metadata(result, BACKTESTS)["models_promoted"] == 2
    failures = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert ["left out: a/area, b/venue" in str(failure.error) for failure in failures] == [True]
