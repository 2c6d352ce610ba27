"""The live state of a tenant's sites, read a few times a second at most and shared by all requests in between."""

from __future__ import annotations

import asyncio
import gzip
import time
from bisect import bisect_right
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from fastapi import Depends, Request, Response

from serving.database import Database, Row
from serving.levels import NO_DATA, Levels
from serving.queries.occupancy import SITES_NOW
from serving.schemas.occupancy import SiteNow

# A snapshot serves so long; a quick one shorter, so that taking them fills a tenth of the time and no more.
MIN_AGE_S, MAX_AGE_S = 0.1, 0.5
SHARE_OF_TIME = 0.1
MAX_TENANTS = 500
MAX_ANSWERS = 200
_QUICKLY = 1  # gzip's level: of 5,000 buses it makes 0.31 MB of 2.3 in 9 ms; level 6 makes 0.24 in 26 ms


@dataclass(frozen=True)
class Snapshot:
    """All active sites of a tenant at one moment.

    Attributes:
        sites: all of them, in the order of their ids' code points.
        by_id: the same by `site_id`.
    """

    at: datetime
    sites: list[SiteNow]
    by_id: dict[str, SiteNow]
    _answers: dict[Hashable, bytes] = field(default_factory=dict)

    def response(
        self, request: Request, question: Hashable, answer: Callable[[], object], media_type: str = "application/json"
    ) -> Response:
        """An answer made from this snapshot alone: put together, encoded and compressed once, sent often."""
        headers = {"Vary": "Accept-Encoding"}
        content = self._encoded((question, "plain"), lambda: msgspec.json.encode(answer()))
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            plain = content
            content = self._encoded((question, "gzip"), lambda: gzip.compress(plain, _QUICKLY))
        return Response(content, media_type=media_type, headers=headers)

    def _encoded(self, question: Hashable, encode: Callable[[], bytes]) -> bytes:
        known = self._answers.get(question)
        if known is None:
            known = encode()
            if len(self._answers) < MAX_ANSWERS:
                self._answers[question] = known
        return known

    def after(self, site_id: str | None) -> list[SiteNow]:
        """The sites whose id comes after this one; all for None."""
        start = 0 if site_id is None else bisect_right(self.sites, site_id, key=lambda site: site.site_id)
        return self.sites[start:]


class Snapshots:
    """The newest snapshot of each tenant that somebody asks for."""

    def __init__(self, database: Database, levels: Levels) -> None:
        self._database = database
        self._levels = levels
        self._known: dict[str, tuple[float, Snapshot]] = {}
        self._readings: dict[str, asyncio.Task[Snapshot]] = {}

    async def of(self, tenant_id: str) -> Snapshot:
        """A snapshot that is at most half a second old.

        Raises:
            psycopg.OperationalError: the database does not answer. An old state is not passed off as the present one.
        """
        if fresh := self._fresh(tenant_id):
            return fresh
        # One request reads; those that come meanwhile share what it finds, be it that the database does not answer.
        reading = self._readings.get(tenant_id)
        if reading is None:
            reading = self._readings[tenant_id] = asyncio.create_task(self._read(tenant_id))
            reading.add_done_callback(lambda _: self._readings.pop(tenant_id))
        return await asyncio.shield(reading)

    async def _read(self, tenant_id: str) -> Snapshot:
        begun = time.monotonic()
        rows = await self._database.rows(SITES_NOW, {"tenant_id": tenant_id})
        snapshot = build_snapshot(rows, self._levels, datetime.now(UTC))
        done = time.monotonic()
        if len(self._known) > MAX_TENANTS:
            self._known.clear()
        self._known[tenant_id] = (done + serves_for_s(done - begun), snapshot)
        return snapshot

    def _fresh(self, tenant_id: str) -> Snapshot | None:
        known = self._known.get(tenant_id)
        return known[1] if known and time.monotonic() < known[0] else None


def serves_for_s(taken_s: float) -> float:
    """How long a snapshot is good for, by the seconds that it took."""
    return min(max(taken_s / SHARE_OF_TIME, MIN_AGE_S), MAX_AGE_S)


def build_snapshot(rows: list[Row], levels: Levels, at: datetime) -> Snapshot:
    """Turn the rows of `SITES_NOW` into sites with level and age."""
    sites = sorted((site_now(row, levels, at) for row in rows), key=lambda site: site.site_id)
    return Snapshot(at, sites, {site.site_id: site for site in sites})


def site_now(row: Row, levels: Levels, at: datetime) -> SiteNow:
    """One site. After `hold_s` seconds of silence its count is unknown, which is not the same as empty."""
    # A device's clock may run ahead of ours; its count is not from the future, and not younger than its receipt.
    seen_at: datetime | None = row["seen_at"]
    age_s = None if seen_at is None else max(0.0, round((at - seen_at).total_seconds(), 1))
    last_count: int | None = row["last_count"]
    is_stale = last_count is None or age_s is None or age_s > row["hold_s"]
    count = None if is_stale else last_count
    capacity, seats = row["capacity"], row["seats"]
    level = NO_DATA if count is None else levels.level(row["kind"], count, capacity, seats)
    return SiteNow(
        site_id=row["site_id"],
        name=row["name"],
        kind=row["kind"],
        route_id=row["route_id"],
        direction_id=row["direction_id"],
        trip_id=row["trip_id"],
        stop_id=row["stop_id"],
        count=count,
        last_count=last_count,
        capacity=capacity,
        seats=seats,
        load_factor=ratio(count, capacity),
        seat_load_factor=ratio(count, seats),
        level=level,
        rider_level=levels.rider_of[level],  # type: ignore[arg-type]
        event_at=row["event_at"],
        age_s=age_s,
        is_stale=is_stale,
        lat=row["lat"],
        lon=row["lon"],
        time_zone=row["time_zone"],
        device_id=row["device_id"],
        is_registered=row["is_registered"],
    )


def ratio(people: float | None, places: float | None) -> float | None:
    """People per place, to four decimals; None where either is unknown or there are no places."""
    return round(people / places, 4) if people is not None and places else None


def _snapshots(request: Request) -> Snapshots:
    snapshots: Snapshots = request.app.state.snapshots
    return snapshots


LiveState = Annotated[Snapshots, Depends(_snapshots)]
"""The live state, as a route's parameter."""
