"""Train a challenger for a group of series, and say when one is due."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import psycopg

from forecasting.operation.champion import DRIFT_MAX_AGE, PROFILE_VERSION, readable

if TYPE_CHECKING:
    from forecasting.model import ForecastModel
    from forecasting.store import Panel

# XGBoost's threads wait for each other by spinning, which on a machine that also runs a broker and a database made
# training ten times as long. Read when the library loads, and only where nobody has set it.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

HORIZON_H = 168
GROUPS = ("venue", "area", "route")


def train_challenger(
    connection: psycopg.Connection, tenant_id: str, group: str, panel: Panel
) -> tuple[str, ForecastModel, bool]:
    """Train on the panel and register the model; return its version, the model, and whether it awaits its trial."""
    from forecasting.model import train
    from forecasting.store import save_model

    model = train(panel.hours, tz=panel.tz, groups=panel.groups, calendar=panel.events, max_horizon=HORIZON_H)
    awaits_trial = save_model(
        connection,
        tenant_id,
        group=group,
        model_version=model.version,
        artefact=model.to_bytes(),
        trained_from=datetime.fromisoformat(model.metadata["trained_from"]),
        trained_to=datetime.fromisoformat(model.metadata["trained_to"]),
        metadata=model.metadata,
    )
    return model.version, model, awaits_trial


def needs_training(
    connection: psycopg.Connection, tenant_id: str, group: str, now: datetime, max_age: timedelta
) -> bool:
    """Whether the group has no champion that can be read, or one that learnt from nothing newer than `max_age`."""
    from forecasting.store import champion_or_none

    return readable(champion_or_none(connection, tenant_id, group, now=now, max_age=max_age)) is None


def waiting_tenants(connection: psycopg.Connection, now: datetime) -> list[str]:
    """Tenants with a group of series for which no champion speaks: there is none, or it is too old or unreadable.

    One that only gave way because it was worse than the baseline has drifted, and is none of these.
    """
    if connection.execute("SELECT to_regclass('marts.fct_series_hourly')").fetchone() == (None,):
        return []
    rows = connection.execute(
        """
        SELECT tenants.tenant_id
        FROM registry.tenants AS tenants
        CROSS JOIN unnest(%(groups)s::text[]) AS groups (series_group)
        LEFT JOIN forecast.models AS champion
            ON champion.tenant_id = tenants.tenant_id AND champion.series_group = groups.series_group
            AND champion.status = 'champion'
        WHERE
            EXISTS (
                SELECT FROM marts.fct_series_hourly AS series
                WHERE series.tenant_id = tenants.tenant_id AND series.series_kind = groups.series_group
            )
            AND (
                champion.model_version IS NULL
                OR (
                    EXISTS (
                        SELECT FROM forecast.occupancy_hourly AS said
                        WHERE said.tenant_id = tenants.tenant_id AND said.model_version = %(profile)s
                            AND said.origin_at = (
                                SELECT max(newest.origin_at) FROM forecast.occupancy_hourly AS newest
                                WHERE newest.tenant_id = tenants.tenant_id
                            )
                    )
                    AND NOT EXISTS (
                        SELECT FROM forecast.drift
                        WHERE drift.tenant_id = tenants.tenant_id AND drift.is_worse_than_baseline
                            AND drift.measured_at >= %(since)s
                    )
                )
            )
        GROUP BY tenants.tenant_id ORDER BY tenants.tenant_id
        """,
        {"groups": list(GROUPS), "profile": PROFILE_VERSION, "since": now - DRIFT_MAX_AGE},
    ).fetchall()
    return [tenant for (tenant,) in rows]
