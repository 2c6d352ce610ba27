"""Measurements of how champions do, day by day."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

import psycopg
from psycopg.rows import class_row

from forecasting.plain import plain


@dataclass(frozen=True)
class DriftRow:
    """One measurement of a champion; see the comments on `forecast.drift`."""

    series_group: str
    model_version: str
    measured_at: datetime
    window_from: datetime
    window_to: datetime
    hours: int
    wape: float | None
    baseline_wape: float | None
    profile_wape: float | None
    bias: float | None
    coverage_80: float | None
    cusum: float | None
    psi_max: float | None
    psi_feature: str | None
    psi_share: float | None
    is_worse_than_baseline: bool
    reasons: list[str]


def save_drift(connection: psycopg.Connection, tenant_id: str, row: DriftRow) -> None:
    """Record a measurement; NaN is stored as null."""
    measures = {name: plain(value) for name, value in asdict(row).items() if not isinstance(value, datetime)}
    instants = {name: getattr(row, name) for name in ("measured_at", "window_from", "window_to")}
    connection.execute(
        """
        INSERT INTO forecast.drift (tenant_id, series_group, model_version, measured_at, window_from, window_to, hours,
                                    wape, baseline_wape, profile_wape, bias, coverage_80, cusum, psi_max, psi_feature,
                                    psi_share, is_worse_than_baseline, reasons)
        VALUES (%(tenant_id)s, %(series_group)s, %(model_version)s, %(measured_at)s, %(window_from)s, %(window_to)s,
                %(hours)s, %(wape)s, %(baseline_wape)s, %(profile_wape)s, %(bias)s, %(coverage_80)s, %(cusum)s,
                %(psi_max)s, %(psi_feature)s, %(psi_share)s, %(is_worse_than_baseline)s, %(reasons)s)
        """,
        measures | instants | {"tenant_id": tenant_id},
    )


def latest_drift(
    connection: psycopg.Connection, tenant_id: str, group: str, model_version: str, *, since: datetime
) -> DriftRow | None:
    """The newest measurement of a model that is not older than `since`."""
    with connection.cursor(row_factory=class_row(DriftRow)) as cursor:
        return cursor.execute(
            """
            SELECT series_group, model_version, measured_at, window_from, window_to, hours, wape, baseline_wape,
                profile_wape, bias, coverage_80, cusum, psi_max, psi_feature, psi_share, is_worse_than_baseline, reasons
            FROM forecast.drift
            WHERE tenant_id = %s AND series_group = %s AND model_version = %s AND measured_at >= %s
            ORDER BY measured_at DESC LIMIT 1
            """,
            [tenant_id, group, model_version, since],
        ).fetchone()


def drifting_champions(connection: psycopg.Connection, *, since: datetime) -> list[str]:
    """Champions whose newest measurement, since then, gives reasons: `tenant/group/version@date`, in order."""
    rows = connection.execute(
        """
        SELECT DISTINCT ON (drift.tenant_id, drift.series_group)
            drift.tenant_id, drift.series_group, drift.model_version, drift.measured_at, drift.reasons
        FROM forecast.drift
        INNER JOIN forecast.models
            ON models.tenant_id = drift.tenant_id AND models.model_version = drift.model_version
            AND models.status = 'champion'
        WHERE drift.measured_at >= %s
        ORDER BY drift.tenant_id, drift.series_group, drift.measured_at DESC
        """,
        [since],
    ).fetchall()
    return [f"{tenant}/{group}/{version}@{at:%Y-%m-%d}" for tenant, group, version, at, reasons in rows if reasons]
