"""The predictions in PostgreSQL: appended, never changed; what was last said is derived."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from plimsoll.errors import PlimsollError

if TYPE_CHECKING:
    import pandas as pd


_PARTITION_LOCK = 7_305_804


@dataclass(frozen=True)
class Prediction:
    """What was last said about one series and hour, in the unit of the series (people or vehicles)."""

    series_id: str
    target_hour: datetime
    origin_at: datetime
    horizon_h: int
    predicted: float
    p10: float
    p90: float
    baseline: float | None
    method: str
    model_version: str


def append_predictions(
    connection: psycopg.Connection, tenant_id: str, model_version: str, predictions: pd.DataFrame
) -> int:
    """Append predictions in one transaction and return how many were new.

    The same model, series, origin and hour said again changes nothing: what was said, stays.

    Args:
        connection: an open connection.
        tenant_id: whose series.
        model_version: the model's version, or the name of the fall-back that stood in for it.
        predictions: `site_id, origin, hour` (UTC), `horizon_h`, `prediction`, `p10`, `p90`, `baseline` (may be NaN),
            `method`; in the unit of the series.

    Raises:
        PlimsollError: a prediction or a bound is not a number.
    """
    if predictions.empty:
        return 0
    numbers = predictions[["prediction", "p10", "p90"]]
    if numbers.isna().to_numpy().any():
        series = predictions.loc[numbers.isna().any(axis=1), "site_id"].iloc[0]
        raise PlimsollError(f"model {model_version} predicted no number for series {series}: nothing was stored")
    with connection.transaction(), connection.cursor() as cursor:
        ensure_partitions(connection, predictions["hour"].min(), predictions["hour"].max())
        cursor.execute(
            """
            CREATE TEMPORARY TABLE predictions (
                series_id text, origin_at timestamptz, target_hour timestamptz, horizon_h smallint,
                predicted real, p10 real, p90 real, baseline real, method text
            ) ON COMMIT DROP
            """
        )
        with cursor.copy("COPY predictions FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["text", "timestamptz", "timestamptz", "int2", *["float4"] * 4, "text"])
            for row in _prediction_rows(predictions):
                copy.write_row(row)
        cursor.execute(
            """
            INSERT INTO forecast.occupancy_hourly
                (tenant_id, series_id, model_version, origin_at, target_hour, horizon_h, predicted, p10, p90,
                 baseline, method)
            SELECT %s, series_id, %s, origin_at, target_hour, horizon_h, predicted, p10, p90, baseline, method
            FROM predictions
            ON CONFLICT DO NOTHING
            """,
            [tenant_id, model_version],
        )
        added = cursor.rowcount
        cursor.execute("DROP TABLE predictions")  # a second append may follow in the caller's transaction
    return added


def _prediction_rows(predictions: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    baseline = predictions["baseline"].astype(object).where(predictions["baseline"].notna(), None)
    return zip(
        predictions["site_id"].astype(str).tolist(),
        predictions["origin"].dt.to_pydatetime().tolist(),
        predictions["hour"].dt.to_pydatetime().tolist(),
        predictions["horizon_h"].tolist(),
        *(predictions[name].astype(float).tolist() for name in ("prediction", "p10", "p90")),
        baseline.tolist(),
        predictions["method"].astype(str).tolist(),
        strict=True,
    )


def ensure_partitions(connection: psycopg.Connection, first: datetime, last: datetime) -> list[str]:
    """Make the monthly partitions of `forecast.occupancy_hourly` from `first` to `last`; return those created.

    Rows that wait in the default partition because their month had none are moved into it.
    """
    created = []
    with connection.transaction():
        for month in _months(first, last):
            name = f"occupancy_hourly_{month:%Y_%m}"
            if _exists(connection, name):
                continue
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [_PARTITION_LOCK])
            if not _exists(connection, name):  # another session may have made it while this one waited
                _create_partition(connection, name, month)
                created.append(name)
    return created


def _create_partition(connection: psycopg.Connection, name: str, month: datetime) -> None:
    end = _next_month(month)
    table = sql.Identifier("forecast", name)
    connection.execute(
        sql.SQL("CREATE TABLE {} (LIKE forecast.occupancy_hourly INCLUDING DEFAULTS INCLUDING CONSTRAINTS)").format(
            table
        )
    )
    connection.execute(
        sql.SQL(
            "WITH moved AS (DELETE FROM forecast.occupancy_hourly_default "
            "WHERE target_hour >= %s AND target_hour < %s RETURNING *) INSERT INTO {} SELECT * FROM moved"
        ).format(table),
        [month, end],
    )
    connection.execute(
        sql.SQL("ALTER TABLE forecast.occupancy_hourly ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
            table, sql.Literal(month), sql.Literal(end)
        )
    )


def _exists(connection: psycopg.Connection, name: str) -> bool:
    return connection.execute("SELECT to_regclass(%s)", [f"forecast.{name}"]).fetchone() != (None,)


def _months(first: datetime, last: datetime) -> Iterator[datetime]:
    month = first.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while month <= last:
        yield datetime(month.year, month.month, 1, tzinfo=UTC)
        month = _next_month(month)


def _next_month(month: datetime) -> datetime:
    return datetime(month.year + month.month // 12, month.month % 12 + 1, 1, tzinfo=UTC)


def latest_predictions(
    connection: psycopg.Connection,
    tenant_id: str,
    *,
    start: datetime,
    end: datetime,
    oldest_origin: datetime,
    series_id: str | None = None,
) -> list[Prediction]:
    """What was last said about the hours `start <= target_hour < end`, by series and hour.

    Predictions from before `oldest_origin` count as not made, and those of retired sites. The cost follows the number
    of series and hours, not the number of origins kept: series are found by skipping along the primary key, each hour
    by one probe of it.
    """
    query = """
        WITH RECURSIVE series (series_id) AS (
            (SELECT series_id FROM forecast.occupancy_hourly
             WHERE tenant_id = %(tenant)s AND target_hour >= %(start)s AND target_hour < %(end)s
               AND series_id >= coalesce(%(series)s, '')
             ORDER BY series_id LIMIT 1)
            UNION ALL
            SELECT (SELECT series_id FROM forecast.occupancy_hourly
                    WHERE tenant_id = %(tenant)s AND target_hour >= %(start)s AND target_hour < %(end)s
                      AND series_id > series.series_id
                    ORDER BY series_id LIMIT 1)
            FROM series WHERE series_id IS NOT NULL AND %(series)s::text IS NULL
        )
        SELECT series_id, target_hour, origin_at, horizon_h, predicted, p10, p90, baseline, method, model_version
        FROM series
        CROSS JOIN generate_series(%(start)s, %(end)s - interval '1 second', interval '1 hour') AS wanted (hour)
        CROSS JOIN LATERAL (
            SELECT target_hour, origin_at, horizon_h, predicted, p10, p90, baseline, method, model_version
            FROM forecast.occupancy_hourly AS said
            WHERE said.tenant_id = %(tenant)s AND said.series_id = series.series_id
              AND said.target_hour = wanted.hour AND said.origin_at >= %(oldest)s
            ORDER BY said.origin_at DESC, said.created_at DESC LIMIT 1
        ) AS newest
        WHERE series_id IS NOT NULL AND (%(series)s::text IS NULL OR series_id = %(series)s)
          AND series_id NOT IN (SELECT site_id FROM registry.sites WHERE tenant_id = %(tenant)s AND NOT is_active)
        ORDER BY series_id, target_hour
    """
    parameters = {"tenant": tenant_id, "start": start, "end": end, "oldest": oldest_origin, "series": series_id}
    with connection.cursor(row_factory=class_row(Prediction)) as cursor:
        return cursor.execute(query, parameters).fetchall()
