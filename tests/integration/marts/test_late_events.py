"""Marts that are refreshed: late events correct what they touch and nothing else is written."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from mart_events import DAY, HOUR, MINUTE, MODELS, TODAY, Dbt, Event, bus_day, connected, count, land, venue_day

pytestmark = pytest.mark.integration


def rows(
    database_url: str, table: str = "fct_occupancy_hourly", key: str = "occupancy_hour_key"
) -> dict[str, tuple[Any, ...]]:
    """Every row of a mart by its key, with the transaction that wrote it: a row that was replaced is another."""
    with connected(database_url) as connection:
        found = connection.execute(f"SELECT {key}::text, xmin::text, mart.* FROM marts.{table} AS mart").fetchall()
    return {row[0]: row[1:] for row in found}


def changed(before: dict[str, tuple[Any, ...]], after: dict[str, tuple[Any, ...]]) -> set[tuple[str, object]]:
    """(site, hour or day) of the rows that are not what they were."""
    assert before.keys() <= after.keys()
    return {(row[3], row[4]) for key, row in after.items() if before.get(key) != row}


def test_event_a_day_late_corrects_only_its_hours(marts: str, dbt: Dbt) -> None:
    yesterday = TODAY - DAY
    before = rows(marts)
    daily_before = rows(marts, "fct_occupancy_daily", "occupancy_day_key")

    with connected(marts) as connection:
        land(connection, [count("V-1", yesterday + 10 * HOUR + 55 * MINUTE, 44)])
    dbt("run", "--select", *MODELS)

    after = rows(marts)
    # Its next event comes after 5 minutes, at the full hour, so that it holds in its own hour only.
    assert changed(before, after) == {("V-1", yesterday + 10 * HOUR)}
    daily = rows(marts, "fct_occupancy_daily", "occupancy_day_key")
    assert changed(daily_before, daily) == {("V-1", yesterday.date())}


def test_late_event_that_holds_into_the_next_hour_corrects_both(marts: str, dbt: Dbt) -> None:
    evening = TODAY - DAY + 17 * HOUR
    before = rows(marts)

    with connected(marts) as connection:
        land(connection, [count("V-1", evening + 55 * MINUTE, 30)])
    dbt("run", "--select", *MODELS)

    assert changed(before, rows(marts)) == {("V-1", evening), ("V-1", evening + HOUR)}


def test_build_without_new_data_touches_no_row(marts: str, dbt: Dbt) -> None:
    tables = {
        "fct_occupancy_hourly": "occupancy_hour_key",
        "fct_route_occupancy_hourly": "route_hour_key",
        "fct_occupancy_daily": "occupancy_day_key",
    }
    dbt("run", "--select", *MODELS)
    before = {table: rows(marts, table, key) for table, key in tables.items()}

    dbt("run", "--select", *MODELS)

    assert all(before.values())
    assert {table: rows(marts, table, key) for table, key in tables.items()} == before


def test_repeats_do_not_count(marts: str, dbt: Dbt) -> None:
    day = TODAY - 2 * DAY
    by_id = [count("V-3", day + 9 * HOUR, 5, event_id="E-1"), count("V-3", day + 9 * HOUR, 6, event_id="E-2")]
    by_sequence = [count("V-3", day + 10 * HOUR, 7, seq=1), count("V-3", day + 10 * HOUR, 7, seq=2)]
    by_content = [count("V-3", day + 11 * HOUR, 8), count("V-3", day + 11 * HOUR, 9)]
    with connected(marts) as connection:
        land(connection, [*by_id, *by_sequence, *by_content])
        dbt("run", "--select", *MODELS)
        before = rows(marts)
        samples = connection.execute(
            "SELECT samples FROM marts.fct_occupancy_hourly WHERE site_id = 'V-3' AND hour >= %s AND samples > 0"
            " ORDER BY hour",
            [day],
        ).fetchall()

        land(connection, [*by_id, *by_sequence, *by_content, *venue_day("V-1", day), *bus_day("B-1", day)], partition=1)
    dbt("run", "--select", *MODELS)

    assert samples == [(2,), (2,), (2,)]
    assert rows(marts) == before


def test_late_bus_event_corrects_only_the_hours_of_its_block(marts: str, dbt: Dbt) -> None:
    trip = TODAY - DAY + 9 * HOUR  # a block of its own, from 9:00 to 9:44
    before, routes_before = rows(marts), rows(marts, "fct_route_occupancy_hourly", "route_hour_key")

    with connected(marts) as connection:
        late = count("B-2", trip + 10 * MINUTE, 20, in_count=4, out_count=4, seq=500, count_mode="delta",
                     trip_id=f"{TODAY - DAY:%d}-3", route_id="1", direction_id=1)  # fmt: skip
        land(connection, [late])
    dbt("run", "--select", *MODELS)

    assert changed(before, rows(marts)) == {("B-2", trip)}
    routes = rows(marts, "fct_route_occupancy_hourly", "route_hour_key")
    assert {row[5] for key, row in routes.items() if routes_before[key][1:] != row[1:]} == {trip}


def test_failed_model_reads_the_same_again(marts: str, dbt: Dbt) -> None:
    hour = TODAY - 3 * DAY + 12 * HOUR
    table = "intermediate.int_occupancy__hourly_by_route"
    before = rows(marts)
    with connected(marts) as connection:
        land(connection, [count("V-1", hour + 5 * MINUTE, 49)])

        connection.execute(f"ALTER TABLE {table} ADD CONSTRAINT broken CHECK (samples < 0) NOT VALID")
        dbt("run", "--select", *MODELS, succeeds=False)
        assert rows(marts) == before

        connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT broken")
    dbt("run", "--select", *MODELS)
    assert changed(before, rows(marts)) == {("V-1", hour)}


def test_hour_whose_raw_rows_may_be_gone_is_left_alone(marts: str, dbt: Dbt) -> None:
    hour = TODAY - 3 * DAY + 14 * HOUR
    before = rows(marts)
    with connected(marts) as connection:
        connection.execute(
            "UPDATE intermediate.int_occupancy__hourly_by_route SET first_landed_at = now() - interval '200 days'"
            " WHERE site_id = 'V-1' AND hour = %s",
            [hour],
        )
        land(connection, [count("V-1", hour + 5 * MINUTE, 49)])

    dbt("run", "--select", *MODELS)

    assert rows(marts) == before


def test_late_counts_and_heartbeats_correct_only_their_hour_and_day(marts: str, dbt: Dbt) -> None:
    stream, yesterday = "550e8400-e29b-41d4-a716-446655440000", TODAY - DAY

    def counted(at: datetime, total: int) -> Event:
        place = {"longitude": 106.8, "latitude": -6.2, "estimated_max_people": 200, "utc_offset_s": 25200}
        return {"stream_id": stream, "ts_device": at, "total_in_area": total, **place}

    def beat(device_id: str, at: datetime, uptime_s: int) -> Event:
        return {"device_id": device_id, "ts_device": at, "uptime_s": uptime_s, "battery_percent": 80}

    beats = [beat(d, yesterday + n * HOUR, n * 3600) for d in ("D-1", "D-2") for n in range(-20, 20)]
    select = ("--select", "fct_traffic_hourly", "fct_device_health_daily")
    with connected(marts) as connection:
        land(connection, [counted(yesterday + n * 5 * MINUTE, n) for n in range(60)], topic="traffic.counts")
        land(connection, beats, topic="device.heartbeats")
        dbt("run", *select)
        hours = rows(marts, "fct_traffic_hourly", "traffic_hour_key")
        days = rows(marts, "fct_device_health_daily", "device_day_key")

        land(connection, [counted(yesterday + 2 * HOUR + 57 * MINUTE, 90)], topic="traffic.counts")
        land(connection, [beat("D-2", yesterday + 5 * HOUR + MINUTE, 60), *beats[:3]], topic="device.heartbeats")
        land(
            connection,
            [{"device_id": "D-2", "ts_device": yesterday + 5 * HOUR, "status": "error", "error_code": "E42"}],
            topic="device.status",
        )
        dbt("run", *select)
        health = connection.execute(
            "SELECT heartbeats, errors, restarts, last_error_code FROM marts.fct_device_health_daily"
            " WHERE device_id = 'D-2' AND service_date = %s",
            [yesterday.date()],
        ).fetchone()

    found = changed(hours, rows(marts, "fct_traffic_hourly", "traffic_hour_key"))
    assert {hour for _, hour in found} == {yesterday + 2 * HOUR}
    found = changed(days, rows(marts, "fct_device_health_daily", "device_day_key"))
    assert found == {("D-2", yesterday.date())}
    assert health == (21, 1, 1, "E42")


def test_predictions_are_judged_once_their_hour_is_over(marts: str, dbt: Dbt) -> None:
    hour = TODAY - DAY + 9 * HOUR
    with connected(marts) as connection:
        actual = connection.execute(
            "SELECT value FROM marts.fct_series_hourly WHERE series_id = 'V-2' AND hour = %s", [hour]
        ).fetchone()
        assert actual is not None
        connection.cursor().executemany(
            """
            INSERT INTO forecast.occupancy_hourly
                (tenant_id, series_id, model_version, origin_at, target_hour, horizon_h,
                 predicted, p10, p90, baseline, method)
            VALUES ('default', 'V-2', 'm1', %s, %s, %s, 13, 0, 20, 15, 'champion')
            """,
            [(hour - HOUR, hour, 1), (hour - DAY, hour, 24), (TODAY, TODAY + DAY, 24)],
        )
        dbt("run", "--select", "fct_forecast_accuracy", "--full-refresh")
        judged = connection.execute(
            "SELECT horizon_bucket_h, actual, absolute_error, is_inside_band"
            " FROM marts.fct_forecast_accuracy ORDER BY target_hour, horizon_bucket_h"
        ).fetchall()
        before = rows(marts, "fct_forecast_accuracy", "accuracy_key")
        dbt("run", "--select", "fct_forecast_accuracy")

    error = pytest.approx(abs(13 - actual[0]), rel=1e-6)
    assert judged == [(1, actual[0], error, True), (24, actual[0], error, True)]
    assert rows(marts, "fct_forecast_accuracy", "accuracy_key") == before


def test_hours_whose_mart_failed_while_another_was_judged_are_judged_later(marts: str, dbt: Dbt) -> None:
    """Two refreshes in which one mart fails, the hourly scoring after them, and the next refresh."""
    stream, hour = "550e8400-e29b-41d4-a716-446655440001", TODAY - DAY + 11 * HOUR
    place = {"longitude": 106.8, "latitude": -6.2, "estimated_max_people": 200, "utc_offset_s": 25200}
    refresh = ("run", "--select", *MODELS, "fct_traffic_hourly", "fct_forecast_accuracy")
    with connected(marts) as connection:
        connection.cursor().executemany(
            """
            INSERT INTO forecast.occupancy_hourly
                (tenant_id, series_id, model_version, origin_at, target_hour, horizon_h,
                 predicted, p10, p90, baseline, method)
            VALUES ('default', %s, 'm1', %s, %s, 1, 13, 0, 20, 15, 'champion')
            """,
            [(stream, hour - HOUR, hour), ("V-1", hour - HOUR, hour)],
        )
        dbt(*refresh)
        connection.execute("ALTER TABLE marts.fct_occupancy_hourly ADD CONSTRAINT broken CHECK (samples < 0) NOT VALID")
        land(connection, [count("V-1", hour + 5 * MINUTE, 44)])
        dbt(*refresh, succeeds=False)
        counted = {"stream_id": stream, "ts_device": hour, "total_in_area": 9, **place}
        land(connection, [counted], topic="traffic.counts")
        dbt(*refresh, succeeds=False)
        connection.execute("ALTER TABLE marts.fct_occupancy_hourly DROP CONSTRAINT broken")
        dbt("run", "--select", "fct_forecast_accuracy")
        dbt(*refresh)
        judged = connection.execute(
            """
            SELECT accuracy.series_id, accuracy.actual = series.value
            FROM marts.fct_forecast_accuracy AS accuracy
            INNER JOIN marts.fct_series_hourly AS series
                ON accuracy.series_id = series.series_id AND accuracy.target_hour = series.hour
            WHERE accuracy.target_hour = %s
            """,
            [hour],
        ).fetchall()

    assert sorted(judged) == [(stream, True), ("V-1", True)]
