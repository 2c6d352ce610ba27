"""The city's days as one stream by arrival: what is history for a bulk load, and what comes next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from ingest.simulator.city import City, SimulatedDay
from ingest.simulator.clock import Ints, day_start
from ingest.simulator.wire import Payload, device_payloads, event_payloads, traffic_payloads

STREAMS = ("occupancy.events", "traffic.counts", "device.status", "device.heartbeats")
CHUNK = 2000

Delivery = tuple[datetime, str, dict[str, Any]]


def iter_history(city: City, start_date: date, end_at: datetime) -> Iterator[SimulatedDay]:
    """Yield the days from `start_date` on, each with what had arrived before `end_at`.

    Together with `upcoming(city, end_at)` this is everything that ever arrives from these days on, each once.

    Args:
        city: the city.
        start_date: first service day.
        end_at: an aware instant.

    Raises:
        ValueError: if `end_at` has no time zone.
    """
    last = service_date(city, end_at)
    on = start_date
    while on <= last:
        yield city.day(on).before(end_at)
        on += timedelta(days=1)


def upcoming(city: City, from_at: datetime) -> Iterator[Delivery]:
    """Yield (delivered_at, stream name, payload) from an instant on, in the order of delivery and without end.

    Payloads are JSON-ready. What a service day sends has arrived 48 hours after its midnight, so the day before is all
    that has to be looked at for what is still on its way.

    Raises:
        ValueError: if `from_at` has no time zone.
    """
    on = service_date(city, from_at) - timedelta(days=1)
    waiting = _Queue.of(city.day(on), city.config.time_zone).since(from_at)
    while True:
        on += timedelta(days=1)
        waiting = waiting.joined_by(_Queue.of(city.day(on), city.config.time_zone).since(from_at))
        midnight = day_start(on + timedelta(days=1), city.config.time_zone)
        due, waiting = waiting.split(midnight)
        yield from due.deliveries()


def service_date(city: City, at: datetime) -> date:
    """Return the local date of an instant.

    Raises:
        ValueError: if it has no time zone.
    """
    if at.tzinfo is None:
        raise ValueError(f"The simulator needs an instant with a time zone, got {at.isoformat()} without one.")
    return at.astimezone(ZoneInfo(city.config.time_zone)).date()


@dataclass(frozen=True)
class _Queue:
    """Tables of the four streams with the order in which their rows arrive.

    Attributes:
        tables: one for each of `STREAMS`, sorted by delivery.
        time_zone: of the city.
        stream: shape (n,), index of the stream of the n-th delivery.
        row: shape (n,), its position in the stream's table.
        at_us: shape (n,), its instant in microseconds since 1970.
    """

    tables: tuple[pd.DataFrame, ...]
    time_zone: str
    stream: Ints
    row: Ints
    at_us: Ints

    @classmethod
    def of(cls, day: SimulatedDay, time_zone: str) -> _Queue:
        return cls.ordered((day.events, day.traffic, day.statuses, day.heartbeats), time_zone)

    @classmethod
    def ordered(cls, tables: tuple[pd.DataFrame, ...], time_zone: str) -> _Queue:
        stream = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
        row = np.concatenate([np.arange(len(table)) for table in tables])
        at_us = np.concatenate([_microseconds(table["delivered_at"]) for table in tables])
        order = np.lexsort((row, stream, at_us))
        return cls(tables, time_zone, stream[order], row[order], at_us[order])

    def since(self, at: datetime) -> _Queue:
        return self._ordered_where(lambda delivered: delivered >= at)

    def split(self, at: datetime) -> tuple[_Queue, _Queue]:
        return self._ordered_where(lambda delivered: delivered < at), self.since(at)

    def joined_by(self, other: _Queue) -> _Queue:
        tables = tuple(
            pd.concat([mine, theirs], ignore_index=True) if len(mine) else theirs
            for mine, theirs in zip(self.tables, other.tables, strict=True)
        )
        return _Queue.ordered(tables, self.time_zone)

    def deliveries(self) -> Iterator[Delivery]:
        """Turn rows into payloads some thousand at a time: a large city's day need not fit into memory as objects."""
        for start in range(0, len(self.row), CHUNK):
            part = slice(start, start + CHUNK)
            stream, row = self.stream[part], self.row[part]
            payloads: list[Payload | None] = [None] * len(row)
            for number in range(len(STREAMS)):
                spots = np.flatnonzero(stream == number)
                for spot, payload in zip(spots, self._payloads(number, row[spots]), strict=True):
                    payloads[spot] = payload
            moments = pd.to_datetime(self.at_us[part], unit="us", utc=True).to_pydatetime()
            for moment, number, found in zip(moments, stream, payloads, strict=True):
                assert found is not None
                yield moment, STREAMS[number], found

    def _payloads(self, number: int, rows: Ints) -> list[Payload]:
        table = self.tables[number].iloc[rows]
        if number == 0:
            return event_payloads(table)
        return traffic_payloads(table, self.time_zone) if number == 1 else device_payloads(table)

    def _ordered_where(self, keeps: Callable[[pd.Series[Any]], pd.Series[Any]]) -> _Queue:
        return _Queue.ordered(tuple(table[keeps(table["delivered_at"])] for table in self.tables), self.time_zone)


def _microseconds(column: pd.Series[Any]) -> Ints:
    return np.asarray(column.dt.tz_convert(None).to_numpy().astype("datetime64[us]").astype(np.int64))
