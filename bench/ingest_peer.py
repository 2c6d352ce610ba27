"""The peer: Kafka Connect with Debezium's JDBC sink, tuned, from the same broker into the same database.

The events are the same; they carry the schema envelope without which that sink knows no columns. It writes a table of
the event's own columns with a primary key, by upsert: its way to land an event once.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from ingest_ground import Ground, Row, await_that, console, cpu_seconds, event, fields, produce, stopping
from psycopg.conninfo import conninfo_to_dict

from plimsoll.stack.kafka_jars import LOG4J_CONFIG, default_cache_dir, find_java
from plimsoll.stack.ports import free_port
from plimsoll.stack.process import Child

POM = Path(__file__).parent / "ingest_connect" / "pom.xml"
TOPIC = "peer.occupancy"
PARTITIONS = 6
BATCH = 5_000
WANTED_FACTOR = 4.0
RESOLVE_TIMEOUT_S = 600
_TYPES = {str: "string", int: "int32"}
_COLUMNS = {"string": "text", "int32": "integer"}


def measure(ground: Ground, events: int, ours: float) -> list[Row]:
    """The sink's rows per second, and how many times that one lander lands."""
    try:
        libs = _libs()
    except RuntimeError as error:
        return [Row("Kafka Connect with the Debezium JDBC sink", f"not measured: {error}")]
    with console.status(f"producing {events:,} events with their schema"):
        _produce(ground, events)
    with ground.database() as url, psycopg.connect(url, autocommit=True) as watcher:
        watcher.execute(_table())
        with console.status("Kafka Connect"), _connect(ground, libs, url) as worker:
            rate, cpu_us = _watched(watcher, worker, events)
    figure = f"{rate:,.0f} rows/s, {cpu_us:.0f} µs of processor each; one lander (kafka-python) {ours / rate:.1f} ×"
    return [
        Row(
            "Kafka Connect with the Debezium JDBC sink",
            figure,
            f"lander ≥ {WANTED_FACTOR:.0f} ×",
            ours >= WANTED_FACTOR * rate,
        )
    ]


def _libs() -> Path:
    """The worker's jars, resolved by Maven into the cache beside the broker's.

    Raises:
        RuntimeError: there is no Java or Maven, or Maven failed.
    """
    maven = shutil.which("mvn")
    find_java()
    if maven is None:
        raise RuntimeError("no `mvn` on the PATH")
    versions = re.findall(r"<(?:kafka|debezium)\.version>(.+?)<", POM.read_text())
    folder = default_cache_dir().parent / f"connect-{'-'.join(versions)}"
    if not (folder / "complete").exists():
        with console.status(f"fetching Kafka Connect and the Debezium JDBC sink (75 MB, once) into {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(POM, folder / "pom.xml")
            goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder / 'libs'}"]
            done = subprocess.run(
                [maven, "-q", "-B", *goal], cwd=folder, capture_output=True, text=True, timeout=RESOLVE_TIMEOUT_S
            )
        if done.returncode:
            raise RuntimeError(f"Maven failed: {done.stdout[-500:]}")
        (folder / "complete").touch()
    return folder / "libs"


def _schema() -> dict[str, object]:
    columns: list[dict[str, object]] = [
        {"field": name, "type": _TYPES[type(value)], "optional": name != "event_id"}
        for name, value in fields(0).items()
    ]
    for column in columns:
        if column["field"] == "ts_device":
            column["name"] = "io.debezium.time.ZonedTimestamp"
    return {"type": "struct", "name": "occupancy", "optional": False, "fields": columns}


def _table() -> str:
    kinds = {n: "timestamptz" if n == "ts_device" else _COLUMNS[_TYPES[type(v)]] for n, v in fields(0).items()}
    return f"CREATE TABLE peer_occupancy ({', '.join(f'{n} {k}' for n, k in kinds.items())}, PRIMARY KEY (event_id))"


def _produce(ground: Ground, events: int) -> None:
    from kafka.admin import KafkaAdminClient, NewTopic

    admin = KafkaAdminClient(bootstrap_servers=ground.bootstrap_servers)
    admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])
    admin.close()
    head = b'{"schema":' + json.dumps(_schema(), separators=(",", ":")).encode() + b',"payload":'
    messages = ((key, head + value + b"}") for key, value in map(event, range(events)))
    produce(ground.bootstrap_servers, TOPIC, messages)


@contextmanager
def _connect(ground: Ground, libs: Path, database_url: str) -> Iterator[Child]:
    home = ground.folder / "connect"
    home.mkdir(exist_ok=True)
    _write(home / "worker.properties", _worker(ground, home))
    _write(home / "sink.properties", _sink(database_url))
    command = [
        find_java(), "-Xms512m", "-Xmx1g", f"-Dlog4j2.configurationFile={LOG4J_CONFIG}", "-cp", f"{libs}/*",
        "org.apache.kafka.connect.cli.ConnectStandalone",
        str(home / "worker.properties"), str(home / "sink.properties"),
    ]  # fmt: skip
    worker = Child("Kafka Connect", command, log_path=home / "connect.log", cwd=home, grace_s=30)
    with stopping(worker):
        yield worker


def _write(path: Path, properties: dict[str, object]) -> None:
    path.touch(mode=0o600)  # the sink's hold the database's password
    path.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))


def _worker(ground: Ground, home: Path) -> dict[str, object]:
    return {
        "bootstrap.servers": ground.bootstrap_servers,
        "listeners": f"http://127.0.0.1:{free_port()}",
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": "true",
        "offset.storage.file.filename": home / "offsets",
        "plugin.discovery": "hybrid_warn",
    }


def _sink(database_url: str) -> dict[str, object]:
    info = conninfo_to_dict(database_url)
    address = f"jdbc:postgresql://{info['host']}:{info['port']}/{info['dbname']}?reWriteBatchedInserts=true"
    return {
        "name": "peer",
        "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
        "tasks.max": 1,
        "topics": TOPIC,
        "connection.url": address,
        "connection.username": info["user"],
        "connection.password": info["password"],
        "insert.mode": "upsert",
        "primary.key.mode": "record_value",
        "primary.key.fields": "event_id",
        "schema.evolution": "none",
        "collection.name.format": "peer_occupancy",
        "batch.size": BATCH,
        "use.reduction.buffer": "true",
        "consumer.override.max.poll.records": BATCH,
        "consumer.override.auto.offset.reset": "earliest",
        "consumer.override.fetch.min.bytes": 1_000_000,
        "consumer.override.fetch.max.wait.ms": 100,
        "consumer.override.max.partition.fetch.bytes": 8_388_608,
    }


def _watched(watcher: psycopg.Connection, worker: Child, events: int) -> tuple[float, float]:
    def written() -> int:
        if worker.exit_code is not None:
            raise worker.died()
        row = watcher.execute("SELECT count(*) FROM peer_occupancy").fetchone()
        return int(row[0]) if row else 0

    await_that(lambda: written() > 0.1 * events, "Kafka Connect to begin", 120)
    first, started, cpu = written(), time.perf_counter(), cpu_seconds(worker.pid)
    await_that(lambda: written() >= events, "Kafka Connect to end", 300)
    seconds, cpu = time.perf_counter() - started, cpu_seconds(worker.pid) - cpu
    return (events - first) / seconds, 1e6 * cpu / (events - first)
