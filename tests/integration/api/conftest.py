"""The API over a real database: the tables that dbt builds stand here with the agreed columns, and are seeded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

import psycopg
import pytest
from fastapi.testclient import TestClient
from psycopg import sql
from psycopg.types.json import Jsonb
from pydantic import SecretStr

from plimsoll.settings import Settings
from plimsoll.stack.local import LocalStack
from plimsoll.stack.ports import free_port
from serving.app import create_app

KEYS = {"default": "k-default-0123456789abcdef", "other": "k-other-0123456789abcdef"}

MARTS = """
CREATE SCHEMA marts;
CREATE TABLE marts.fct_occupancy_hourly (
    occupancy_hour_key uuid PRIMARY KEY, tenant_id text, site_id text, hour timestamptz, service_date date,
    mean_occupancy double precision, max_occupancy double precision, p95_occupancy double precision, boardings integer,
    alightings integer, capacity integer, load_factor double precision, minutes_above_threshold double precision,
    crowded_passenger_minutes double precision, samples integer, coverage double precision, is_imputed boolean,
    first_landed_at timestamptz, last_landed_at timestamptz, refreshed_at timestamptz
);
CREATE INDEX ON marts.fct_occupancy_hourly (tenant_id, site_id, hour);
CREATE INDEX ON marts.fct_occupancy_hourly (refreshed_at);
CREATE TABLE marts.fct_occupancy_daily (
    occupancy_day_key uuid PRIMARY KEY, tenant_id text, site_id text, service_date date,
    mean_occupancy double precision, max_occupancy double precision, peak_hour timestamptz, boardings bigint,
    alightings bigint, capacity integer, load_factor double precision, minutes_above_threshold double precision,
    crowded_passenger_minutes double precision, samples integer, service_hours integer, coverage double precision,
    refreshed_at timestamptz
);
CREATE TABLE marts.fct_route_occupancy_hourly (
    route_hour_key uuid PRIMARY KEY, tenant_id text, route_id text, direction_id smallint, hour timestamptz,
    mean_occupancy double precision, capacity double precision, load_factor double precision,
    max_load_factor double precision, boardings integer, alightings integer, vehicles integer,
    vehicle_minutes double precision, crowded_passenger_minutes double precision, coverage double precision,
    refreshed_at timestamptz
);
CREATE TABLE marts.fct_traffic_hourly (
    traffic_hour_key uuid PRIMARY KEY, tenant_id text, stream_id uuid, hour timestamptz, service_date date,
    mean_count double precision, max_count double precision, capacity integer, load_factor double precision,
    samples integer, coverage double precision, refreshed_at timestamptz
);
CREATE VIEW marts.forecast_latest AS
SELECT DISTINCT ON (tenant_id, series_id, target_hour)
    tenant_id, series_id, target_hour, predicted, p10, p90, baseline, horizon_h, origin_at, model_version, method
FROM forecast.occupancy_hourly
WHERE target_hour >= date_trunc('hour', now())
ORDER BY tenant_id, series_id, target_hour, origin_at DESC;
"""

NOW = datetime.now(UTC)
HOUR = NOW.replace(minute=0, second=0, microsecond=0)
MODEL = "test-1"


def _key(text: str) -> UUID:
    """A surrogate key as the marts have them."""
    return uuid5(NAMESPACE_OID, text)


class Seed:
    """Writes what the API reads; every method takes the tenant last, and fields that matter by name."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def insert(self, table: str, **values: Any) -> None:
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            sql.Identifier(*table.split(".")),
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(sql.Placeholder() * len(values)),
        )
        wrapped = [Jsonb(value) if isinstance(value, dict | list) else value for value in values.values()]
        self._connection.execute(statement, wrapped)

    def tenant(self, tenant_id: str) -> None:
        self._connection.execute(
            "INSERT INTO registry.tenants (tenant_id, name) VALUES (%s, %s) ON CONFLICT DO NOTHING", [tenant_id] * 2
        )

    def site(self, site_id: str, kind: str = "bus", tenant_id: str = "default", **values: Any) -> None:
        self.tenant(tenant_id)
        values = {"name": f"Site {site_id}", "capacity": 80, "time_zone": "Asia/Jakarta"} | values
        self.insert("registry.sites", tenant_id=tenant_id, site_id=site_id, kind=kind, **values)

    def live(
        self, site_id: str, occupancy: int | None, age_s: float = 5, tenant_id: str = "default", **values: Any
    ) -> None:
        at = datetime.now(UTC) - timedelta(seconds=age_s)
        values = {"event_at": at, "received_at": at, "landed_at": at} | values
        self.insert("live.occupancy", tenant_id=tenant_id, site_id=site_id, occupancy=occupancy, **values)

    def traffic(self, stream_id: str, total: int, age_s: float = 5, tenant_id: str = "default", **values: Any) -> None:
        at = datetime.now(UTC) - timedelta(seconds=age_s)
        values = {"event_at": at, "received_at": at} | values
        values = {"location": "Jakarta", "longitude": 106.8, "latitude": -6.2, "estimated_max_people": 200} | values
        self.insert("live.traffic", tenant_id=tenant_id, stream_id=stream_id, total_in_area=total, **values)

    def hour(self, site_id: str, ago_h: int, mean: float, tenant_id: str = "default", **values: Any) -> None:
        at = HOUR - timedelta(hours=ago_h)
        values = {
            "max_occupancy": int(mean) + 5, "p95_occupancy": mean + 3, "boardings": 10, "alightings": 8, "capacity": 80,
            "load_factor": mean / 80, "minutes_above_threshold": 0, "samples": 12, "coverage": 1.0, "is_imputed": False,
        } | values  # fmt: skip
        self.insert(
            "marts.fct_occupancy_hourly", occupancy_hour_key=_key(f"{tenant_id}|{site_id}|{at}"), tenant_id=tenant_id,
            site_id=site_id, hour=at, service_date=(at + timedelta(hours=7)).date(), mean_occupancy=mean,
            first_landed_at=at, last_landed_at=at, refreshed_at=NOW, **values,
        )  # fmt: skip

    def day(self, site_id: str, service_date: date, mean: float, tenant_id: str = "default") -> None:
        self.insert(
            "marts.fct_occupancy_daily", occupancy_day_key=_key(f"{tenant_id}|{site_id}|{service_date}"),
            tenant_id=tenant_id, site_id=site_id, service_date=service_date, mean_occupancy=mean,
            max_occupancy=mean + 20, boardings=100, alightings=98, capacity=80, load_factor=mean / 80,
            minutes_above_threshold=0, samples=288, service_hours=24, coverage=1.0, refreshed_at=NOW,
        )  # fmt: skip

    def traffic_hour(self, stream_id: str, at: datetime, mean: float) -> None:
        self.insert(
            "marts.fct_traffic_hourly", traffic_hour_key=_key(f"{stream_id}|{at}"), tenant_id="default",
            stream_id=stream_id, hour=at, service_date=at.date(), mean_count=mean, max_count=mean + 5,
            capacity=200, load_factor=mean / 200, samples=60, coverage=1.0, refreshed_at=NOW,
        )  # fmt: skip

    def route_hour(self, route_id: str, ago_h: int, mean: float, direction_id: int = 0, capacity: float = 100) -> None:
        at = HOUR - timedelta(hours=ago_h)
        self.insert(
            "marts.fct_route_occupancy_hourly", route_hour_key=_key(f"{route_id}|{direction_id}|{at}"),
            tenant_id="default", route_id=route_id, direction_id=direction_id, hour=at, mean_occupancy=mean,
            capacity=capacity, load_factor=mean / capacity, vehicles=4, vehicle_minutes=240, coverage=1.0,
            refreshed_at=NOW,
        )  # fmt: skip

    def forecast(
        self,
        series_id: str,
        predicted: list[float],
        origin_ago_h: int = 0,
        tenant_id: str = "default",
        model: str = MODEL,
    ) -> None:
        """One hour after the other from the present one."""
        origin = HOUR - timedelta(hours=origin_ago_h)
        for ahead, value in enumerate(predicted):
            self.insert(
                "forecast.occupancy_hourly", tenant_id=tenant_id, series_id=series_id, model_version=model,
                origin_at=origin, target_hour=HOUR + timedelta(hours=ahead), horizon_h=ahead + 1 + origin_ago_h,
                predicted=value, p10=value * 0.8, p90=value * 1.2, baseline=value - 1, method="champion",
            )  # fmt: skip

    def hotspot(self, entity_id: str, minutes: float, tenant_id: str = "default", **values: Any) -> str:
        values = {"entity_kind": "site", "state": "firing", "source": "live", "started_at": NOW} | values
        row = self._connection.execute("SELECT gen_random_uuid()").fetchone()
        assert row is not None
        self.tenant(tenant_id)
        self.insert(
            "ops.hotspots", tenant_id=tenant_id, hotspot_id=row[0], fingerprint=f"crowding|{row[0]}", rule="crowding",
            entity_id=entity_id, severity="high", threshold=0.9, load_factor=0.95, peak_load_factor=0.97,
            crowded_passenger_minutes=minutes, evidence={"count": 76}, first_seen_at=NOW, observed_at=NOW,
            updated_at=NOW, **values,
        )  # fmt: skip
        return str(row[0])

    def alert(self, entity_id: str, ago_s: float = 0, tenant_id: str = "default", **values: Any) -> str:
        values = {"rule": "device_offline", "state": "firing", "entity_kind": "device"} | values
        identity, at = str(uuid5(NAMESPACE_OID, f"{tenant_id} {entity_id}")), NOW - timedelta(seconds=ago_s)
        self.tenant(tenant_id)
        self.insert(
            "ops.alerts", tenant_id=tenant_id, alert_id=identity, fingerprint=f"{values['rule']}|{entity_id}",
            entity_id=entity_id, severity="warning", message=f"Nothing heard from {entity_id}.", evidence={},
            first_seen_at=at, started_at=at, updated_at=at, **values,
        )  # fmt: skip
        return identity

    def recommendation(self, entity_id: str, ago_s: float = 0, tenant_id: str = "default", **values: Any) -> str:
        usual = {"action": "add_trip", "state": "proposed", "entity_kind": "route", "direction_id": 0, "evidence": {}}
        values = usual | values
        row = self._connection.execute("SELECT gen_random_uuid()").fetchone()
        assert row is not None
        at = NOW - timedelta(seconds=ago_s)
        self.tenant(tenant_id)
        self.insert(
            "ops.recommendations", tenant_id=tenant_id, recommendation_id=row[0], fingerprint=f"add_trip|{row[0]}",
            entity_id=entity_id, summary=f"Send a standby bus to route {entity_id}.", preconditions=[],
            expected_effect={"crowded_minutes_avoided": 120, "low": 60, "high": 200, "assumption": "one more bus"},
            confidence=0.7, created_at=at, updated_at=at, expires_at=NOW + timedelta(hours=2), **values,
        )  # fmt: skip
        return str(row[0])


@pytest.fixture(scope="module")
def seed(database_url: str) -> Iterator[Seed]:
    """Writes into the module's database."""
    with psycopg.connect(database_url, autocommit=True, options="-c timezone=UTC") as connection:
        connection.execute(MARTS)
        yield Seed(connection)


@pytest.fixture
def api(
    database_url: str, stack: LocalStack, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> Iterator[Callable[..., Any]]:
    """`with api(mode=…, kafka=…) as client`: the API with its own life, over the module's database."""

    @contextmanager
    def opened(**changes: Any) -> Iterator[TestClient]:
        monkeypatch.setenv("PLIMSOLL_API_KEYS", ",".join(f"{key}:{tenant}" for tenant, key in KEYS.items()))
        values = {
            "home": tmp_path, "database_url": SecretStr(database_url),
            "kafka_bootstrap_servers": stack.bootstrap_servers,
        }  # fmt: skip
        app = create_app(Settings(**(values | changes)))
        with TestClient(app, raise_server_exceptions=False) as client:
            yield client

    yield opened


@pytest.fixture
def client(api: Callable[..., Any], seed: Seed) -> Iterator[TestClient]:
    """The API in development mode: everybody is the default tenant."""
    with api() as opened:
        yield opened


@pytest.fixture
def unreachable() -> str:
    """An address where nobody listens."""
    return f"127.0.0.1:{free_port()}"
