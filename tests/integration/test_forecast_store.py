"""Model registry, predictions and panel against a real PostgreSQL."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pandas as pd
import psycopg
import pytest

from forecasting import store
from plimsoll.database import connect
from plimsoll.errors import PlimsollError

pytestmark = pytest.mark.integration
NOW = datetime(2026, 3, 2, 6, tzinfo=UTC)


@pytest.fixture
def tenant(connection: psycopg.Connection) -> str:
    name = f"tenant-{uuid.uuid4().hex[:8]}"
    connection.execute("INSERT INTO registry.tenants (tenant_id, name) VALUES (%s, %s)", [name, name])
    return name


def register(
    connection: psycopg.Connection, tenant: str, version: str, trained_to: datetime = NOW, group: str = "venue"
) -> bool:
    return store.save_model(
        connection, tenant, group=group, model_version=version, artefact=b"trees of " + version.encode(),
        trained_from=trained_to - timedelta(days=56), trained_to=trained_to,
        metadata={"features": ["lag_168"], "wape": float("nan")},
    )  # fmt: skip


def predictions(
    first: datetime, hours: int = 3, value: float = 10.0, origin: datetime = NOW, site: str = "gym"
) -> pd.DataFrame:
    targets = pd.date_range(first, periods=hours, freq="h")
    return pd.DataFrame(
        {
            "site_id": site, "origin": pd.Timestamp(origin), "hour": targets,
            "horizon_h": ((targets - pd.Timestamp(origin)) / pd.Timedelta("1h")).astype(int),
            "prediction": value, "p10": value - 1, "p90": value + 1, "baseline": float("nan"), "method": "champion",
        }
    )  # fmt: skip


def test_promotion_leaves_exactly_one_champion_and_its_reason(connection: psycopg.Connection, tenant: str) -> None:
    register(connection, tenant, "v1")
    register(connection, tenant, "v2")

    assert store.promote(connection, tenant, "v1", decision={"why": "first"}, now=NOW) is None
    assert store.promote(connection, tenant, "v2", decision={"wape": 0.2, "rival": 0.25}, now=NOW) == "v1"

    states = {model.model_version: model for model in store.list_models(connection, tenant)}
    assert {version: model.status for version, model in states.items()} == {"v1": "retired", "v2": "champion"}
    assert states["v2"].decision == {"wape": 0.2, "rival": 0.25, "replaces": "v1"}
    champion = store.load_champion(connection, tenant, "venue")
    assert champion is not None and champion.artefact == b"trees of v2"
    assert champion.metadata == {"features": ["lag_168"], "wape": None}


def test_rollback_gives_the_place_back_and_says_who_and_why(connection: psycopg.Connection, tenant: str) -> None:
    for version in ("v1", "v2"):
        register(connection, tenant, version)
        store.promote(connection, tenant, version, decision={}, now=NOW)

    assert store.rollback(connection, tenant, "venue", actor="ana", reason="too low at night", now=NOW) == "v1"

    champion = store.load_champion(connection, tenant, "venue")
    assert champion is not None and champion.model_version == "v1"
    assert champion.decision["rollback"]["by"] == "ana"
    with pytest.raises(store.ModelNotFound, match="no earlier champion"):
        store.rollback(connection, tenant, "venue", actor="ana", reason="again", now=NOW)


def test_each_group_has_a_champion_of_its_own(connection: psycopg.Connection, tenant: str) -> None:
    register(connection, tenant, "v1")
    register(connection, tenant, "r1", group="route")
    store.promote(connection, tenant, "v1", decision={}, now=NOW)

    assert store.promote(connection, tenant, "r1", decision={}, now=NOW) is None

    champions = {
        m.series_group: m.model_version for m in store.list_models(connection, tenant) if m.status == "champion"
    }
    assert champions == {"venue": "v1", "route": "r1"}
    with pytest.raises(store.ModelNotFound, match="'route'"):
        store.rollback(connection, tenant, "route", actor="ana", reason="no", now=NOW)


def test_sessions_that_promote_at_once_leave_one_champion(
    connection: psycopg.Connection, database_url: str, tenant: str
) -> None:
    versions = [f"v{number}" for number in range(6)]
    for version in versions:
        register(connection, tenant, version)

    def promote(version: str) -> None:
        with connect(database_url) as own:
            store.promote(own, tenant, version, decision={}, now=NOW)

    with ThreadPoolExecutor(len(versions)) as pool:
        list(pool.map(promote, versions))

    statuses = sorted(model.status for model in store.list_models(connection, tenant))
    assert statuses == ["champion", *["retired"] * 5]


def test_the_champion_is_not_rejected_and_a_strange_version_not_promoted(
    connection: psycopg.Connection, tenant: str
) -> None:
    register(connection, tenant, "v1")
    register(connection, tenant, "v2")
    store.promote(connection, tenant, "v1", decision={}, now=NOW)

    store.reject(connection, tenant, "v2", decision={"gain": 0.01}, now=NOW)

    assert {m.model_version: m.status for m in store.list_models(connection, tenant)}["v2"] == "rejected"
    with pytest.raises(PlimsollError, match="is the champion"):
        store.reject(connection, tenant, "v1", decision={}, now=NOW)
    with pytest.raises(store.ModelNotFound, match="v9"):
        store.promote(connection, tenant, "v9", decision={}, now=NOW)
    with pytest.raises(store.ModelNotFound):
        store.promote(connection, "default", "v1", decision={}, now=NOW)


def test_a_stale_champion_is_none_so_that_the_caller_falls_back(connection: psycopg.Connection, tenant: str) -> None:
    register(connection, tenant, "v1", trained_to=NOW - timedelta(days=20))
    assert store.champion_or_none(connection, tenant, "venue", now=NOW, max_age=None) is None  # no champion yet
    store.promote(connection, tenant, "v1", decision={}, now=NOW)

    assert store.champion_or_none(connection, tenant, "venue", now=NOW, max_age=timedelta(days=14)) is None
    assert store.champion_or_none(connection, tenant, "venue", now=NOW, max_age=timedelta(days=21)) is not None


def test_the_same_training_registers_once_and_awaits_its_trial_until_it_is_judged(
    connection: psycopg.Connection, tenant: str
) -> None:
    assert register(connection, tenant, "v1")
    assert register(connection, tenant, "v1")
    store.promote(connection, tenant, "v1", decision={"reason": "first"}, now=NOW)
    assert not register(connection, tenant, "v1")
    assert connection.execute("SELECT count(*) FROM forecast.models WHERE tenant_id = %s", [tenant]).fetchone() == (1,)


def test_backtests_of_a_version_are_replaced_and_nan_is_null(connection: psycopg.Connection, tenant: str) -> None:
    register(connection, tenant, "v1")
    row = {"method": "champion", "horizon_h": 24, "origins": 8, "window_from": NOW, "window_to": NOW, "wape": 0.3}
    store.save_backtests(connection, tenant, "v1", [row])
    store.save_backtests(connection, tenant, "v1", [row | {"wape": 0.2, "mase": float("nan")}])

    found = connection.execute(
        "SELECT method, horizon_h, wape, mase FROM forecast.backtests WHERE tenant_id = %s", [tenant]
    ).fetchall()
    assert found == [("champion", 24, 0.2, None)]


def test_predicting_again_changes_nothing_that_was_said(connection: psycopg.Connection, tenant: str) -> None:
    said = predictions(NOW + timedelta(hours=1))

    assert store.append_predictions(connection, tenant, "v1", said) == 3
    assert store.append_predictions(connection, tenant, "v1", said.assign(prediction=99.0, p90=100.0)) == 0

    values = connection.execute(
        "SELECT DISTINCT predicted, baseline FROM forecast.occupancy_hourly WHERE tenant_id = %s", [tenant]
    ).fetchall()
    assert values == [(10.0, None)]


def test_predictions_across_new_year_lie_in_monthly_partitions_and_none_in_the_default(
    connection: psycopg.Connection, tenant: str
) -> None:
    origin = datetime(2031, 12, 31, 20, tzinfo=UTC)
    store.append_predictions(connection, tenant, "v1", predictions(origin + timedelta(hours=1), 8, origin=origin))

    placed = connection.execute(
        "SELECT tableoid::regclass::text, count(*) FROM forecast.occupancy_hourly WHERE tenant_id = %s GROUP BY 1",
        [tenant],
    ).fetchall()
    assert sorted(placed) == [
        ("forecast.occupancy_hourly_2031_12", 3),
        ("forecast.occupancy_hourly_2032_01", 5),
    ]
    assert store.ensure_partitions(connection, origin, origin) == []


def test_rows_waiting_in_the_default_partition_move_to_their_month(connection: psycopg.Connection, tenant: str) -> None:
    hour = datetime(2040, 2, 10, 7, tzinfo=UTC)
    connection.execute(
        "INSERT INTO forecast.occupancy_hourly (tenant_id, series_id, model_version, origin_at, target_hour, "
        "horizon_h, predicted, p10, p90, method) VALUES (%s, 'gym', 'v0', %s, %s, 1, 5, 4, 6, 'profile')",
        [tenant, hour - timedelta(hours=1), hour],
    )

    assert store.ensure_partitions(connection, hour, hour) == ["occupancy_hourly_2040_02"]

    assert connection.execute("SELECT count(*) FROM forecast.occupancy_hourly_default").fetchone() == (0,)
    assert connection.execute("SELECT predicted FROM forecast.occupancy_hourly_2040_02").fetchall() == [(5.0,)]


def test_a_prediction_that_is_no_number_is_refused_with_its_series(connection: psycopg.Connection, tenant: str) -> None:
    broken = predictions(NOW + timedelta(hours=1), site="pool")
    broken.loc[1, "p90"] = float("nan")
    with pytest.raises(PlimsollError, match="series pool"):
        store.append_predictions(connection, tenant, "v1", broken)
    assert not latest(connection, tenant)


def latest(connection: psycopg.Connection, tenant: str, **options: object) -> list[store.Prediction]:
    return store.latest_predictions(
        connection, tenant, start=NOW, end=NOW + timedelta(hours=24), oldest_origin=NOW - timedelta(days=2), **options
    )  # type: ignore[arg-type]


def test_latest_is_the_newest_origin_of_each_hour_and_nothing_stale(
    connection: psycopg.Connection, tenant: str
) -> None:
    first = NOW + timedelta(hours=1)
    old, stale = NOW - timedelta(hours=6), NOW - timedelta(days=3)
    store.append_predictions(connection, tenant, "v1", predictions(first, 5, value=1.0, origin=old))
    store.append_predictions(connection, tenant, "v2", predictions(first, 3, value=2.0))
    store.append_predictions(connection, tenant, "v1", predictions(first, 9, value=3.0, origin=stale, site="pool"))
    store.append_predictions(connection, "default", "v1", predictions(first, 9, value=4.0))

    found = latest(connection, tenant)

    assert [(row.series_id, row.predicted, row.horizon_h) for row in found] == [
        ("gym", 2.0, 1), ("gym", 2.0, 2), ("gym", 2.0, 3), ("gym", 1.0, 10), ("gym", 1.0, 11),
    ]  # fmt: skip
    assert latest(connection, tenant, series_id="gym") == found
    assert latest(connection, tenant, series_id="gyn") == []


def test_the_panel_is_the_tenant_s_own_with_zones_groups_and_missing_capacity(
    connection: psycopg.Connection, tenant: str
) -> None:
    with pytest.raises(PlimsollError, match="dbt build"):
        store.read_panel(connection, tenant)
    connection.execute(
        """
        CREATE SCHEMA IF NOT EXISTS marts;
        CREATE TABLE marts.fct_series_hourly (
            tenant_id text, series_id text, series_kind text, site_id text, route_id text, direction_id smallint,
            hour timestamptz, value double precision, capacity double precision, load_factor double precision,
            coverage double precision, is_imputed boolean, time_zone text)
        """
    )
    rows = [
        (tenant, "NA", "venue", NOW, 5.5, 80, False, "Asia/Jakarta"),
        (tenant, "route:1:0", "route", NOW, 20.0, None, True, None),
        (tenant, "NA", "venue", NOW - timedelta(hours=1), None, 80, True, "Asia/Jakarta"),
        ("default", "other", "venue", NOW, 1.0, 80, False, "UTC"),
    ]
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO marts.fct_series_hourly (tenant_id, series_id, series_kind, hour, value, capacity, "
            "is_imputed, time_zone) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            rows,
        )

    panel = store.read_panel(connection, tenant, until=NOW + timedelta(hours=1))

    assert panel.hours["site_id"].tolist() == ["NA", "route:1:0"]
    assert panel.hours["hour"].tolist() == [pd.Timestamp(NOW)] * 2
    assert panel.hours["value"].tolist() == [5.5, 20.0]
    assert panel.hours["capacity"].isna().tolist() == [False, True]
    assert panel.hours["is_imputed"].tolist() == [False, True]
    assert panel.tz == {"NA": "Asia/Jakarta", "route:1:0": "UTC"}
    assert panel.groups == {"NA": "venue", "route:1:0": "route"}
    assert store.read_panel(connection, tenant, since=NOW + timedelta(hours=1)).hours.empty
