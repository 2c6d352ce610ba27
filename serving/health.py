"""The state of the platform's parts, each in a word and a sentence that says what to do."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import psycopg

from plimsoll.database import MISSING_RELATION
from serving.broker import Broker
from serving.database import Database, Row
from serving.queries.system import FORECAST_AGE, LANDING, MARTS_AGE

State = Literal["ok", "degraded", "down", "unknown"]
GOOD_FOR_S = 2.0
LANDING_SILENCE = timedelta(seconds=60)  # with messages waiting, a lander that lives lands every few milliseconds
MARTS_BEHIND = timedelta(hours=2)
FORECAST_OLD = timedelta(hours=6)


@dataclass(frozen=True)
class Part:
    """One part's state; `figures` are what it rests on."""

    state: State
    detail: str
    figures: dict[str, Any] = field(default_factory=dict)

    def answer(self) -> dict[str, Any]:
        """As it is shown."""
        return {"state": self.state, "detail": self.detail, **self.figures}


@dataclass(frozen=True)
class Report:
    """All parts at one moment."""

    parts: dict[str, Part]
    checked_at: datetime

    @property
    def status(self) -> Literal["ok", "degraded", "down"]:
        """`down` if nothing can be served, `degraded` if some part is not ok."""
        if self.parts["database"].state == "down":
            return "down"
        return "ok" if all(part.state == "ok" for part in self.parts.values()) else "degraded"

    @property
    def is_ready(self) -> bool:
        """Whether requests, reading and ingest alike, can be taken."""
        return all(self.parts[name].state == "ok" for name in ("database", "kafka"))


class Doctor:
    """Examines the parts, at most every two seconds.

    Args:
        broker: None where no Kafka is configured: this service then only reads.
    """

    def __init__(self, database: Database, broker: Broker | None) -> None:
        self._database = database
        self._broker = broker
        self._lock = asyncio.Lock()
        self._last: tuple[float, Report] | None = None

    async def report(self) -> Report:
        """The state of every part; never raises because a part is broken."""
        async with self._lock:
            if self._last and time.monotonic() < self._last[0]:
                return self._last[1]
            report = await self._examine()
            self._last = (time.monotonic() + GOOD_FOR_S, report)
            return report

    async def _examine(self) -> Report:
        now = datetime.now(UTC)
        database, kafka = await asyncio.gather(self._examine_database(), self._examine_kafka())
        parts = {"database": database, "kafka": kafka}
        if database.state == "ok":
            landing = await self._landing(kafka.state == "ok", now)
            marts, forecast = await asyncio.gather(self._examine_marts(now), self._examine_forecast(now))
            parts |= {"lander": landing, "marts": marts, "forecast": forecast}
        else:
            unknown = Part("unknown", "The database does not answer, so this cannot be told.")
            parts |= {"lander": unknown, "marts": unknown, "forecast": unknown}
        return Report(parts, now)

    async def _examine_database(self) -> Part:
        started = time.perf_counter()
        try:
            await self._database.row("SELECT 1 AS one")
        except psycopg.Error:
            return Part("down", "PostgreSQL does not answer: is it running, and is DATABASE_URL right?")
        return Part("ok", "PostgreSQL answers.", {"latency_ms": round((time.perf_counter() - started) * 1000, 1)})

    async def _examine_kafka(self) -> Part:
        if self._broker is None:
            return Part("unknown", "Live ingest is off: no Kafka is configured (KAFKA_BOOTSTRAP_SERVERS).")
        if not await self._broker.answers():
            return Part("down", "Kafka does not answer: is the broker running, and is KAFKA_BOOTSTRAP_SERVERS right?")
        return Part("ok", "Kafka answers.")

    async def _landing(self, kafka_answers: bool, now: datetime) -> Part:
        try:
            rows = await self._database.rows(LANDING)
        except MISSING_RELATION:
            return Part("unknown", "The tables of the lander are missing: run `plimsoll migrate`.")
        except psycopg.Error as error:
            return _unreadable(error)
        lag = await self._lag(rows) if kafka_answers else None
        return landing_part(rows, lag, now)

    async def _lag(self, rows: list[Row]) -> int | None:
        assert self._broker is not None
        landed: dict[tuple[str, int], int] = {
            (row["topic"], int(partition)): offset
            for row in rows
            for partition, offset in (row["next_offsets"] or {}).items()
        }
        # Asked after the ledger was read: what lands meanwhile must not look like a topic that was created again.
        ends = await self._broker.end_offsets({topic for topic, _ in landed}) if landed else {}
        if ends is None:
            return None
        # A topic that ends before what was landed of it was created again, and nothing of it is landed yet.
        ahead = {partition: (ends.get(partition, offset), offset) for partition, offset in landed.items()}
        return sum(end - offset if end >= offset else end for end, offset in ahead.values())

    async def _examine_marts(self, now: datetime) -> Part:
        try:
            row = await self._database.row(MARTS_AGE)
        except MISSING_RELATION:
            return Part("unknown", "The marts are not built yet: run the job refresh_marts.")
        except psycopg.Error as error:
            return _unreadable(error)
        return marts_part(row or {"refreshed_at": None, "landed_at": None}, now)

    async def _examine_forecast(self, now: datetime) -> Part:
        try:
            row = await self._database.row(FORECAST_AGE)
        except MISSING_RELATION:
            return Part("unknown", "The tables of the forecast are missing: run `plimsoll migrate`.")
        except psycopg.Error as error:
            return _unreadable(error)
        if row is None:
            return Part("unknown", "No forecast was made yet: run train_forecasts, then score_forecasts.")
        age_s = _age(row["origin_at"], now)
        figures = {"origin": row["origin_at"], "age_s": age_s, "model_version": row["model_version"]}
        if now - row["origin_at"] > FORECAST_OLD:
            return Part("degraded", "The newest forecast is old: does score_forecasts run?", figures)
        return Part("ok", "The forecast is fresh.", figures)


def landing_part(rows: list[Row], lag: int | None, now: datetime) -> Part:
    """The lander's state.

    Args:
        rows: of `LANDING`.
        lag: messages in Kafka that are not landed; None if Kafka cannot be asked.
        now: the time to measure silence by.
    """
    last = max((row["last_landed_at"] for row in rows if row["last_landed_at"]), default=None)
    newest = max((row["newest_event_at"] for row in rows if row["newest_event_at"]), default=None)
    if last is None:
        return Part("unknown", "Nothing was ever landed: run `plimsoll lander run`.", {"lag_messages": lag})
    figures = {
        "lag_messages": lag,
        "last_landed_at": last,
        "age_s": _age(last, now),
        "newest_event_at": newest,
        "newest_event_age_s": _age(newest, now) if newest else None,
    }
    if lag is None:
        return Part("unknown", "Kafka cannot be asked how many messages wait.", figures)
    if lag and now - last > LANDING_SILENCE:
        return Part("down", f"{lag:,} messages wait and nothing is landed: is `plimsoll lander run` running?", figures)
    return Part("ok", f"{lag:,} messages wait." if lag else "Everything in Kafka is landed.", figures)


def marts_part(row: Row, now: datetime) -> Part:
    """The marts' state, of the row of `MARTS_AGE`: with nothing new landed, an old mart is a fresh one."""
    refreshed_at, landed_at = row["refreshed_at"], row["landed_at"]
    if refreshed_at is None:
        return Part("unknown", "The hourly mart is empty: run the job refresh_marts once events have landed.")
    figures = {"refreshed_at": refreshed_at, "age_s": _age(refreshed_at, now)}
    if landed_at and landed_at > refreshed_at and now - refreshed_at > MARTS_BEHIND:
        return Part(
            "degraded", "Events landed and the hourly mart does not know them: does refresh_marts run?", figures
        )
    return Part("ok", "The hourly mart is up to date.", figures)


def _unreadable(error: psycopg.Error) -> Part:
    return Part("unknown", f"The database could not tell ({type(error).__name__}).")


def _age(at: datetime, now: datetime) -> float:
    return max(0.0, round((now - at).total_seconds(), 1))
