"""What the ingest benchmarks stand on: one PostgreSQL, one Kafka, events in its topic, a database for each run."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from rich.console import Console

from plimsoll.contracts import Contract, load_contracts
from plimsoll.contracts.topics import create_topics
from plimsoll.database import migrate
from plimsoll.settings import PROJECT_DIR
from plimsoll.stack.local import LocalStack
from plimsoll.stack.ports import free_port
from plimsoll.stack.process import Child

CONTRACTS_DIR = PROJECT_DIR / "data" / "contracts"
TOPIC = "occupancy.events"
SITES = 1_000
console = Console()


@dataclass
class Row:
    """One line of the table: what was measured, the figure, what it is held against, whether that is met."""

    what: str
    figure: str
    wanted: str = ""
    is_met: bool | None = None


@dataclass
class Ground:
    """The servers, and what was produced so far.

    Attributes:
        stack: PostgreSQL and Kafka.
        contracts: all streams by topic.
        events: how many events the topic holds.
    """

    stack: LocalStack
    contracts: dict[str, Contract]
    folder: Path
    events: int = 0

    @property
    def bootstrap_servers(self) -> str:
        """The broker's address."""
        return self.stack.bootstrap_servers

    @contextmanager
    def database(self) -> Iterator[str]:
        """The address of a migrated database that nothing was landed in; dropped at the end."""
        name = f"bench_{uuid.uuid4().hex[:8]}"
        with psycopg.connect(self.stack.database_url, autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            parts = conninfo_to_dict(self.stack.database_url)
            url = f"postgresql://{parts['user']}:{parts['password']}@{parts['host']}:{parts['port']}/{name}"
            migrate(url, CONTRACTS_DIR)
            try:
                yield url
            finally:
                admin.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))

    def environment(self, database_url: str, **more: str) -> dict[str, str]:
        """For a command of the platform on that database."""
        return {
            **os.environ,
            "DATABASE_URL": database_url,
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "PLIMSOLL_HOME": str(self.folder / "home"),
            "PLIMSOLL_KAFKA_GROUP": str(conninfo_to_dict(database_url)["dbname"]),
            "PLIMSOLL_LANDER_METRICS_PORT": "0",
            **more,
        }

    @contextmanager
    def running(self, environment: dict[str, str], *command: str) -> Iterator[Child]:
        """`plimsoll COMMAND…` while the block runs; its last lines are shown if it or the block failed."""
        log_path = self.folder / f"{command[0]}-{uuid.uuid4().hex[:6]}.log"
        plimsoll = [sys.executable, "-m", "plimsoll", *command]
        with stopping(Child(f"plimsoll {command[0]}", plimsoll, log_path=log_path, env=environment)) as child:
            yield child

    def produce_until(self, count: int) -> None:
        """Bring the topic to `count` events."""
        if self.events >= count:
            return
        with console.status(f"producing {count - self.events:,} events"):
            produce(self.bootstrap_servers, TOPIC, (event(number) for number in range(self.events, count)))
        self.events = count


@contextmanager
def stopping(child: Child) -> Iterator[Child]:
    """Stop a process at the end of the block.

    Raises:
        StackError: it ended by itself, and badly.
    """
    try:
        yield child
        if child.exit_code:
            raise child.died()
    except BaseException:
        console.print(child.log_tail(30), markup=False)
        raise
    finally:
        child.stop()


@contextmanager
def ground() -> Iterator[Ground]:
    """The servers of the run, on free ports and in a folder that is deleted afterwards."""
    with tempfile.TemporaryDirectory(prefix="plimsoll-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # the account that PostgreSQL runs as must be able to pass
        ports = {"postgres_port": free_port(), "kafka_port": free_port(), "kafka_controller_port": free_port()}
        with console.status("starting PostgreSQL and Kafka"):
            stack = LocalStack(folder, **ports)
            stack.start()
        try:
            contracts = load_contracts(CONTRACTS_DIR)
            create_topics(stack.bootstrap_servers, contracts.values())
            yield Ground(stack, contracts, folder)
        finally:
            stack.stop()


_START = datetime(2026, 1, 15, tzinfo=UTC)


def fields(number: int) -> dict[str, object]:
    """Event `number` of a fleet whose vehicles report in turn, second by second; 254 bytes as JSON."""
    bus, second = number % SITES, number // SITES
    return {
        "tenant_id": "default",
        "site_id": f"TJ-{bus:04}",
        "device_id": f"EDGE-{bus:04}",
        "ts_device": (_START + timedelta(seconds=second)).isoformat().replace("+00:00", "Z"),
        "door_id": 1,
        "in_count": number % 7,
        "out_count": number % 5,
        "occupancy": number % 90,
        "capacity": 80,
        "event_id": str(number),
        "seq": second,
        "route_id": "1",
        "fw_version": "1.7.3",
    }


def event(number: int) -> tuple[bytes, bytes]:
    """Event `number` as Kafka's key and value."""
    return f"TJ-{number % SITES:04}".encode(), json.dumps(fields(number)).encode()


def produce(bootstrap_servers: str, topic: str, messages: Iterator[tuple[bytes, bytes]]) -> None:
    """Send all and wait until Kafka has them."""
    from confluent_kafka import Producer

    producer = Producer(
        {"bootstrap.servers": bootstrap_servers, "linger.ms": 20, "batch.size": 262_144,
         "queue.buffering.max.messages": 200_000, "acks": "all"}
    )  # fmt: skip
    for key, value in messages:
        while True:
            try:
                producer.produce(topic, value, key)
                break
            except BufferError:
                producer.poll(0.05)
    if producer.flush(120):
        raise RuntimeError("Kafka did not take all events")


def await_that(condition: Callable[[], bool], what: str, timeout_s: float) -> None:
    """Wait until the condition holds.

    Raises:
        RuntimeError: it does not within the time.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {timeout_s:.0f} s in vain for {what}")
        time.sleep(0.02)


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has taken so far; 0 where there is no /proc."""
    try:
        parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


def percentile(sorted_values: list[float], share: float) -> float:
    """The value below which that share lies."""
    return sorted_values[min(len(sorted_values) - 1, int(share * len(sorted_values)))]


def milliseconds(values: list[float]) -> str:
    """p50 and p99 of times in seconds, for people."""
    ordered = sorted(values)
    return f"p50 {1000 * percentile(ordered, 0.5):,.1f} ms, p99 {1000 * percentile(ordered, 0.99):,.1f} ms"
