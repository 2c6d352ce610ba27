"""Explains forecasts off the event loop, one at a time: a model is loaded and asked again for each."""

from __future__ import annotations

import asyncio
from datetime import datetime

from plimsoll.database import connect
from plimsoll.settings import Settings
from serving.problems import ProblemError
from serving.schemas.forecast import ForecastDriver, ForecastExplanation


class Explainer:
    """Asks `forecasting` why, for one installation."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # One question costs about a second of a core; many at once would starve everything else.
        self._one_at_a_time = asyncio.Lock()

    async def explain(self, tenant_id: str, series_id: str, hour: datetime) -> ForecastExplanation:
        """Why the forecast of a series and hour is what it is.

        Raises:
            ProblemError: 404, there is no forecast of it.
        """
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._explain, tenant_id, series_id, hour)

    def _explain(self, tenant_id: str, series_id: str, hour: datetime) -> ForecastExplanation:
        from forecasting.operation.explanations import NoForecast, explain

        try:
            with connect(self._settings.require_database_url()) as connection:
                found = explain(connection, tenant_id, series_id, hour, self._settings.country)
        except NoForecast as error:
            raise ProblemError(404, "no_forecast", str(error), "site_id") from error
        said = found.prediction
        return ForecastExplanation(
            series_id=found.series_id,
            ts=said.target_hour,
            local_ts=found.local_hour,
            summary=found.summary,
            usual=round(found.usual, 2),
            expected=round(said.predicted, 2),
            p10=round(said.p10, 2),
            p90=round(said.p90, 2),
            profile_share=round(found.profile_share, 3),
            drivers=[ForecastDriver(reason=one.words, effect=one.effect) for one in found.drivers],
            origin=said.origin_at,
            model_version=said.model_version,
            method=said.method,
        )
