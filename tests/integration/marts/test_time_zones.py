"""Local days: clocks that go back, and sites whose time zone is known late."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
import pytest
from mart_events import HOUR, MINUTE, MODELS, Dbt, connected, count, land

pytestmark = pytest.mark.integration


def register(connection: psycopg.Connection, site_id: str, kind: str, time_zone: str) -> None:
    connection.execute(
        "INSERT INTO registry.sites (tenant_id, site_id, name, kind, time_zone) VALUES ('default', %s, 'new', %s, %s)",
        [site_id, kind, time_zone],
    )


def test_first_hour_of_an_operating_day_that_comes_twice_is_computed(marts: str, dbt: Dbt) -> None:
    """In Helsinki clocks go back from four to three: a vehicle's day begins with the first of the two."""
    first_three = datetime(2024, 10, 27, 0, tzinfo=UTC)
    with connected(marts) as connection:
        register(connection, "B-H", "bus", "Europe/Helsinki")
        land(connection, [count("B-H", first_three + 30 * MINUTE, 9)])
        dbt("run", "--select", "int_sites__known", *MODELS)
        known = connection.execute("SELECT hour, samples FROM marts.fct_occupancy_hourly WHERE site_id = 'B-H'")

        assert known.fetchall() == [(first_three, 1)]


def test_first_hour_of_a_local_day_that_begins_twice_counts(marts: str, dbt: Dbt) -> None:
    """On the Azores clocks go back from one to midnight: the first of the two begins the day."""
    first_midnight = datetime(2024, 10, 27, 0, tzinfo=UTC)
    with connected(marts) as connection:
        register(connection, "V-A", "venue", "Atlantic/Azores")
        connection.execute(
            "INSERT INTO registry.devices (tenant_id, device_id, site_id) VALUES ('default', 'D-A', 'V-A')"
        )
        dbt("run", "--select", "int_sites__known", "int_devices__known", "fct_device_health_daily")
        beats = [{"device_id": "D-A", "ts_device": first_midnight + n * 30 * MINUTE, "uptime_s": n} for n in (1, 3)]
        land(connection, beats, topic="device.heartbeats")
        dbt("run", "--select", "fct_device_health_daily")
        days = connection.execute(
            "SELECT service_date, heartbeats FROM marts.fct_device_health_daily WHERE device_id = 'D-A'"
        ).fetchall()

    assert days == [(first_midnight.date(), 2)]


def test_site_that_is_registered_in_the_middle_of_its_data_has_each_hour_once(marts: str, dbt: Dbt) -> None:
    """At two in the morning UTC it turns out to lie in New York, where it is still the evening before."""
    midnight = datetime(2024, 6, 5, tzinfo=UTC)
    with connected(marts) as connection:
        land(connection, [count("V-N", midnight + n * HOUR, 5) for n in (0, 1)])
        dbt("run", "--select", *MODELS)
        register(connection, "V-N", "venue", "America/New_York")
        # What comes late for the first hour leaves it on the day that it was counted on.
        land(connection, [count("V-N", midnight + 30 * MINUTE, 5)])
        dbt("run", "--select", "int_sites__known", *MODELS)
        days = connection.execute("SELECT sum(samples) FROM marts.fct_occupancy_daily WHERE site_id = 'V-N'").fetchone()
        land(connection, [count("V-N", midnight + n * HOUR, 5) for n in range(2, 30)])
        dbt("build", "--resource-type", "model", "test", "--select", *MODELS)
        hours = connection.execute(
            "SELECT hour, is_imputed FROM marts.fct_occupancy_hourly WHERE site_id = 'V-N' ORDER BY hour"
        ).fetchall()

    assert days == (3,)
    assert hours == [(midnight + n * HOUR, False) for n in range(30)]
