"""Explains forecasts off the event loop, one at a time: a model is loaded and asked again for each."""

from __future__ import annotations

import asyncio
from datetime import datetime

import psycopg

from serving.database import Database
from serving.problems import ProblemError
from serving.schemas.forecast import ForecastDriver, ForecastExplanation


class Explainer:
    """Asks `forecasting` why.

    Args:
        database: where forecasts and models are.
        country: whose holidays count where a site names none.
    """

    def __init__(self, database: Database, country: str | None) -> None:
        self._database = database
        self._country = country
        # One question costs about a second of a core; many at once would starve everything else.
        self._one_at_a_time = asyncio.Lock()

    async def explain(self, tenant_id: str, series_id: str, hour: datetime) -> ForecastExplanation:
        """Why the forecast of a series and hour is what it is.

        Raises:
            ProblemError: 404, there is no forecast of it.
            psycopg.OperationalError: the server cannot be reached.
        """
        async with self._one_at_a_time:
            return await self._database.write(lambda c: self._explain(c, tenant_id, series_id, hour))

    def _explain(
        self, connection: psycopg.Connection, tenant_id: str, series_id: str, hour: datetime
    ) -> ForecastExplanation:
        from forecasting.operation.explanations import NoForecast, explain

        try:
            found = explain(connection, tenant_id, series_id, hour, self._country)
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
