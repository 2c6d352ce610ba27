"""What the minute's round costs with 5,000 live sites, and how long advice for one site takes over HTTP.

`python bench/hotspot_speed.py` starts a PostgreSQL of its own (or uses an empty one in DATABASE_URL), fills it with a
city and plays ten minutes. Processor time is that of the round's process and its PostgreSQL backend together.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from hotspot_city import fill, move
from pydantic import SecretStr

from forecasting.alerts.watching import watch
from forecasting.hotspots import detect
from forecasting.recommendations import recommend
from plimsoll.database import connect, migrate
from plimsoll.settings import PROJECT_DIR, Settings
from plimsoll.stack.ports import free_port
from plimsoll.stack.postgres import LocalPostgres

ROUNDS, REQUESTS = 10, 300
TENANT = "default"


def main() -> None:
    """Fill, play, ask, print."""
    with _database() as url:
        migrate(url, PROJECT_DIR / "data" / "contracts")
        now = datetime.now(UTC).replace(second=0, microsecond=0)
        with connect(url, autocommit=True) as connection:
            fill(connection, TENANT, now)
            _rounds(connection, now)
        _requests(url)


@contextmanager
def _database() -> Iterator[str]:
    if outside := os.environ.get("DATABASE_URL"):
        yield outside
        return
    with tempfile.TemporaryDirectory(prefix="plimsoll-bench-") as folder:
        Path(folder).chmod(0o711)  # the account that PostgreSQL runs as must be able to pass
        server = LocalPostgres(Path(folder), free_port())
        try:
            yield server.start()
        finally:
            server.stop()


def _rounds(connection: psycopg.Connection, now: datetime) -> None:
    walls, cpus, parts = [], [], {"detect": 0.0, "recommend": 0.0, "alerts": 0.0}
    backend = connection.info.backend_pid
    for minute in range(ROUNDS):
        at = now + timedelta(minutes=minute)
        move(connection, TENANT, at)
        cpu, wall = time.process_time() + _backend_s(backend), time.perf_counter()
        started = wall
        found = detect(connection, TENANT, at)
        parts["detect"] += time.perf_counter() - started
        started = time.perf_counter()
        advised = recommend(connection, TENANT, at)
        parts["recommend"] += time.perf_counter() - started
        started = time.perf_counter()
        alerted = watch(connection, TENANT, at)
        parts["alerts"] += time.perf_counter() - started
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() + _backend_s(backend) - cpu)
    known = f"{found.entities_known:,} entities known, {found.entities_forecast:,} with a forecast"
    print(f"{known}; {len(found.open):,} hotspots, {len(advised):,} recommendations, {alerted.open:,} alerts open")
    print(
        f"a minute's round: median {statistics.median(walls):.2f} s, longest {max(walls):.2f} s; "
        f"processor {statistics.mean(cpus):.2f} s a minute = {statistics.mean(cpus) / 60:.1%} of one core"
    )
    print(", ".join(f"{name} {1000 * spent / ROUNDS:.0f} ms" for name, spent in parts.items()), "on average")


def _backend_s(pid: int) -> float:
    """Processor seconds of a process on this machine; 0 where it runs elsewhere."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _requests(url: str) -> None:
    from fastapi.testclient import TestClient

    from serving.app import create_app

    with tempfile.TemporaryDirectory() as home:
        app = create_app(Settings(home=Path(home), database_url=SecretStr(url)))
        with TestClient(app) as client:
            for kind, prefix in (("venues", "venue"), ("buses", "bus")):
                spent, cpu = [], time.process_time()
                for number in range(REQUESTS):
                    started = time.perf_counter()
                    answer = client.get("/api/recommendation", params={"site_id": f"{prefix}-{number * 6 % 2400}"})
                    spent.append(1000 * (time.perf_counter() - started))
                    answer.raise_for_status()
                spent.sort()
                print(
                    f"GET /api/recommendation, {kind}: p50 {spent[REQUESTS // 2]:.0f} ms, "
                    f"p99 {spent[REQUESTS * 99 // 100]:.0f} ms; "
                    f"{1000 * (time.process_time() - cpu) / REQUESTS:.0f} ms of this process's time each"
                )


if __name__ == "__main__":
    main()
