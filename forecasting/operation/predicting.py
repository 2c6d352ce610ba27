"""A week of predictions for every series of a tenant that is alive, appended to the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg

from forecasting.operation.champion import speaker
from forecasting.operation.panels import read_groups
from forecasting.operation.training import HORIZON_H

if TYPE_CHECKING:
    import pandas as pd

    from forecasting.store import Panel

# Who has been silent for longer is closed or gone, and nobody waits for its forecast.
ACTIVE_WITHIN = timedelta(days=28)
# What a model looks back on when it predicts: 80 weeks and a margin.
LOOK_BACK = timedelta(weeks=84)


@dataclass(frozen=True)
class Scored:
    """What was predicted for a tenant.

    Attributes:
        predictions: as `ForecastModel.predict` gives them.
        recent: the observed hours of the last two days, `site_id, hour, value`.
        rows_added: how many were new in `forecast.occupancy_hourly`.
        speakers: by group of series, the version that spoke.
        fallbacks: by group of series, why the profile stood in for a champion.
    """

    predictions: pd.DataFrame
    recent: pd.DataFrame
    rows_added: int
    speakers: dict[str, str] = field(default_factory=dict)
    fallbacks: dict[str, str] = field(default_factory=dict)


def this_hour() -> datetime:
    """The start of the present hour: what lies before is known, what begins here is forecast."""
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


def score(
    connection: psycopg.Connection, tenant_id: str, origin: datetime, country: str | None = None
) -> Scored | None:
    """Predict a week ahead for every series that is alive and not retired, and append it; None where there is none.

    Each group's champion speaks; where there is none to trust, the weekly profile does and says so.

    Args:
        connection: an open connection.
        tenant_id: whose series.
        origin: the first hour to predict.
        country: whose holidays count where neither site nor time zone says, such as ID or US-CA.
    """
    import pandas as pd

    since = origin - LOOK_BACK
    groups = read_groups(connection, tenant_id, since=since, until=origin, country=country)
    scored = [one for group, panel in groups.items() if (one := _score(connection, tenant_id, group, panel, origin))]
    if not scored:
        return None
    return Scored(
        pd.concat([one.predictions for one in scored], ignore_index=True),
        pd.concat([one.recent for one in scored], ignore_index=True),
        sum(one.rows_added for one in scored),
        {group: version for one in scored for group, version in one.speakers.items()},
        {group: why for one in scored for group, why in one.fallbacks.items()},
    )


def _score(connection: psycopg.Connection, tenant_id: str, group: str, panel: Panel, origin: datetime) -> Scored | None:
    import pandas as pd

    from forecasting.store import append_predictions

    alive = panel.hours.loc[panel.hours["hour"] >= origin - ACTIVE_WITHIN, "site_id"].unique()
    series = sorted({str(name) for name in alive} - _retired(connection, tenant_id))
    if not series:
        return None
    speaks = speaker(connection, tenant_id, group, panel, origin)
    predictions = speaks.model.predict(panel.hours, origin=pd.Timestamp(origin), horizon=HORIZON_H, sites=series)
    added = append_predictions(connection, tenant_id, speaks.model_version, predictions)
    recent = panel.hours.loc[panel.hours["hour"] >= origin - timedelta(hours=48), ["site_id", "hour", "value"]]
    recent = recent.astype({"site_id": str})
    fallbacks = {group: speaks.fallback} if speaks.fallback else {}
    return Scored(predictions, recent, added, {group: speaks.model_version}, fallbacks)


def _retired(connection: psycopg.Connection, tenant_id: str) -> set[str]:
    rows = connection.execute("SELECT site_id FROM registry.sites WHERE tenant_id = %s AND NOT is_active", [tenant_id])
    return {site_id for (site_id,) in rows}
