"""A tenant of the test's own and what it sees, counts and expects."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import psycopg
import pytest

from forecasting import store
from forecasting.hotspots import DetectionResult, detect

NOW = datetime(2026, 3, 2, 5, tzinfo=UTC)  # a Monday


class Scene:
    """Writes what detection reads, for one tenant."""

    def __init__(self, connection: psycopg.Connection, tenant: str) -> None:
        self.connection, self.tenant = connection, tenant

    def insert(self, table: str, rows: list[dict[str, Any]]) -> None:
        names = list(rows[0])
        query = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))})"
        with self.connection.cursor() as cursor:
            cursor.executemany(query.encode(), [list(row.values()) for row in rows])

    def site(self, site_id: str, **fields: Any) -> None:
        row = {"tenant_id": self.tenant, "site_id": site_id, "name": site_id, "kind": "venue", "capacity": 100} | fields
        row.setdefault("hold_s", 300 if row["kind"] == "bus" else 1800)
        self.insert("registry.sites", [row])

    def route(self, stops: int = 9, spare_vehicles: int = 1) -> None:
        known = {"tenant_id": self.tenant, "route_id": "1", "direction_id": 0}
        named = {"route_name": "1", "headsign": "Kota", "spare_vehicles": spare_vehicles, "headway_offpeak_s": 600}
        self.insert("registry.routes", [known | named])
        self.insert(
            "registry.route_stops",
            [
                known | {"stop_sequence": number, "stop_id": f"S{number}", "stop_name": f"Stop {number}"}
                | {"lat": -6.2 + number / 111.2, "lon": 106.8}
                for number in range(stops)
            ],
        )  # fmt: skip

    def count(self, site_id: str, occupancy: int, when: datetime, **fields: Any) -> None:
        row = {"tenant_id": self.tenant, "site_id": site_id, "occupancy": occupancy}
        self.connection.execute(
            "DELETE FROM live.occupancy WHERE tenant_id = %s AND site_id = %s", [self.tenant, site_id]
        )
        self.insert("live.occupancy", [row | {"event_at": when, "received_at": when} | fields])

    def bus(self, site_id: str, occupancy: int, when: datetime, stop: str) -> None:
        places = {"capacity": 80, "route_id": "1", "direction_id": 0, "stop_id": stop}
        self.count(site_id, occupancy, when, **places)

    def road(self, total: int, when: datetime, **fields: Any) -> str:
        """A watched road with 200 places; returns its stream."""
        stream = str(uuid.uuid4())
        row = {"tenant_id": self.tenant, "stream_id": stream, "location": "Monas", "total_in_area": total}
        row |= {"estimated_max_people": 200, "event_at": when, "received_at": when}
        self.insert("live.traffic", [row | fields])
        return stream

    def predict(self, series_id: str, loads: list[float], first: datetime, origin: datetime = NOW) -> None:
        hours = pd.date_range(first, periods=len(loads), freq="h")
        frame = pd.DataFrame({"hour": hours, "prediction": loads})
        store.append_predictions(
            self.connection, self.tenant, "v1",
            frame.assign(
                site_id=series_id, origin=pd.Timestamp(origin), horizon_h=range(1, len(loads) + 1),
                p10=frame["prediction"] * 0.9, p90=frame["prediction"] * 1.1, baseline=1.0, method="champion",
            ),
        )  # fmt: skip

    def snapshot(self) -> list[Any]:
        tables = ("hotspots", "hotspot_events", "recommendations", "recommendation_events")
        return [
            self.connection.execute(
                f"SELECT * FROM ops.{table} WHERE tenant_id = %s ORDER BY 1, 2".encode(), [self.tenant]
            ).fetchall()
            for table in tables
        ]

    def crowded_gym(self) -> DetectionResult:
        """A gym that has been crowded for ten minutes."""
        self.site("gym")
        for minutes in (0, 5, 10):
            when = NOW + timedelta(minutes=minutes)
            self.count("gym", 97, when)
            result = detect(self.connection, self.tenant, when)
        return result

    def crowded_route(self, spare_vehicles: int = 1) -> None:
        """A route whose forecast is crowded from 07:00 to 09:00 on its busiest stretch."""
        self.route(spare_vehicles=spare_vehicles)
        self.bus("A", 30, NOW, "S1")
        self.predict("route:1:0", [20.0, 50.0, 51.0, 30.0], NOW + timedelta(hours=1))
        detect(self.connection, self.tenant, NOW)


@pytest.fixture
def tenant(connection: psycopg.Connection) -> str:
    name = f"tenant-{uuid.uuid4().hex[:8]}"
    connection.execute("INSERT INTO registry.tenants (tenant_id, name) VALUES (%s, %s)", [name, name])
    return name


@pytest.fixture
def scene(connection: psycopg.Connection, tenant: str) -> Scene:
    return Scene(connection, tenant)
