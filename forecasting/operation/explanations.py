"""Why a stored forecast is what it is: its model asked again, with what was known at its origin, in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg

from forecasting.operation.champion import PROFILE_VERSION, of_today, profile_model, readable
from forecasting.operation.panels import read_groups
from forecasting.operation.predicting import LOOK_BACK
from forecasting.wording import Driver, drivers, summary
from plimsoll.errors import PlimsollError

if TYPE_CHECKING:
    import pandas as pd

    from forecasting.events import Events
    from forecasting.model import ForecastModel
    from forecasting.store import Panel, Prediction

# Predictions look a week ahead; an older origin said nothing about the hour.
OLDEST_ORIGIN = timedelta(days=8)
# The other series matter by how they run now; more of their past would cost seconds and change nothing to speak of.
PEERS_LOOK_BACK = timedelta(days=42)


class NoForecast(PlimsollError):
    """Nothing was forecast for the series and hour."""


@dataclass(frozen=True)
class Explanation:
    """A forecast and its reasons; numbers in the unit of the series (people; for routes, per bus).

    Attributes:
        series_id: the series.
        prediction: what was said last about the hour.
        local_hour: the hour on the series' clock.
        usual: what the weekly pattern alone says.
        profile_share: how much of the forecast the weekly pattern explains, 0 to 1.
        drivers: what moves it away from the usual, largest first.
        summary: all of it in a few sentences.
    """

    series_id: str
    prediction: Prediction
    local_hour: datetime
    usual: float
    profile_share: float
    drivers: list[Driver]
    summary: str


def explain(
    connection: psycopg.Connection, tenant_id: str, series_id: str, hour: datetime, country: str | None = None
) -> Explanation:
    """Explain what was last said about a series and hour.

    Args:
        connection: an open connection.
        tenant_id: whose series.
        series_id: a venue, an area, or `route:<route>:<direction>`.
        hour: any instant of the hour, time-zone aware.
        country: whose holidays count where neither site nor time zone says.

    Raises:
        NoForecast: nothing was forecast for it.
    """
    import pandas as pd

    said = _said(connection, tenant_id, series_id, hour)
    panel = _panel(connection, tenant_id, series_id, said.origin_at, country)
    model = _model(connection, tenant_id, said, panel)
    origin, target = pd.Timestamp(said.origin_at), pd.Timestamp(said.target_hour)
    local = target.tz_convert(panel.tz[series_id])
    calendar = _calendar(panel.events, series_id, local, origin)
    asked = model.explain(panel.hours, origin=origin, site=series_id, hour=target)
    usual = max(float(asked["profile"]), 0.0)
    if said.method == "closed":
        return Explanation(series_id, said, local, usual, 1.0, [], _closed(local, calendar))
    reasons = drivers(asked["shares"], asked["values"], calendar, said.predicted, has_peers=len(panel.tz) > 1)
    words = summary(local, usual, said.predicted, (said.p10, said.p90), reasons, calendar)
    if note := _note(said):
        words = f"{words} {note}"
    larger = max(said.predicted, usual)
    share = 1 - abs(said.predicted - usual) / larger if larger > 0 else 1.0
    return Explanation(series_id, said, local, usual, share, reasons, words)


def _said(connection: psycopg.Connection, tenant_id: str, series_id: str, hour: datetime) -> Prediction:
    from forecasting.store import latest_predictions

    # Hours are UTC's: on a clock with an offset of half an hour they begin at half past.
    start = hour.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    found = latest_predictions(
        connection, tenant_id, start=start, end=start + timedelta(hours=1), oldest_origin=start - OLDEST_ORIGIN,
        series_id=series_id,
    )  # fmt: skip
    if not found:
        raise NoForecast(
            f"there is no forecast of {series_id!r} for {start:%Y-%m-%d %H:%M} UTC; they reach a week ahead, and the "
            "Dagster job score_forecasts makes them"
        )
    return found[0]


def _panel(
    connection: psycopg.Connection, tenant_id: str, series_id: str, origin: datetime, country: str | None
) -> Panel:
    groups = read_groups(
        connection, tenant_id, since=origin - LOOK_BACK, until=origin, country=country, around=series_id,
        others_since=origin - PEERS_LOOK_BACK,
    )  # fmt: skip
    for panel in groups.values():
        if series_id in panel.tz:
            return panel
    raise NoForecast(f"the history from which {series_id!r} was forecast is not kept any more")


def _model(connection: psycopg.Connection, tenant_id: str, said: Prediction, panel: Panel) -> ForecastModel:
    from forecasting.store import load_model

    model = readable(load_model(connection, tenant_id, said.model_version))
    # Where history is thin the model was not asked, whichever it was.
    if model is None or said.method != "profile+xgboost":
        return profile_model(panel)
    return of_today(model, panel)


def _calendar(events: Events, series_id: str, local: pd.Timestamp, origin: pd.Timestamp) -> list[str]:
    """What was known of the day, the day before and the day after, in words."""
    import pandas as pd

    midnight = pd.Timestamp(local.date())
    days = {"": midnight, " yesterday": midnight - pd.Timedelta(days=1), " tomorrow": midnight + pd.Timedelta(days=1)}
    words = []
    for when, day in days.items():
        noon = int((day - pd.Timestamp(0)) / pd.Timedelta(hours=1)) + 12
        for event in events.entries:
            concerns = event.site_id in ("*", series_id) and event.known_ns <= origin.value
            # Neighbouring days matter by their holidays; their closures and fairs do not.
            if concerns and event.start_h - 11 <= noon < event.end_h + 12 and (not when or event.kind == "holiday"):
                said = f"{event.name or event.kind.replace('_', ' ')}{when}"
                words += [] if said in words else [said]
    return words


def _closed(local: datetime, calendar: list[str]) -> str:
    why = f": {', '.join(calendar)}" if calendar else ": it has not been open at this hour of the week for weeks"
    return f"Closed on {local:%A %d %B at %H:%M}{why}."


def _note(said: Prediction) -> str:
    if said.model_version == PROFILE_VERSION:
        return "The weekly pattern alone speaks: no trained model can be trusted at present."
    if said.method == "profile":
        return "The weekly pattern alone speaks: there are less than two weeks of history, or nothing came for a week."
    if said.method == "group_profile":
        return "There is no history yet: this is what others of its kind are like, so the band is wide."
    return ""
