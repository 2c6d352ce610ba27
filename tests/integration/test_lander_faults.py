"""Whatever is taken away from the lander for a while, every event lands once, and its memory stays bounded.

Each test has a topic of its own and a database of its own in a PostgreSQL that it may stop.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient
from psycopg import sql

from plimsoll.contracts import load_contracts
from plimsoll.contracts.topics import create_topics
from plimsoll.database import migrate
from plimsoll.settings import PROJECT_DIR
from plimsoll.stack.local import LocalStack
from plimsoll.stack.ports import free_port
from plimsoll.stack.postgres import LocalPostgres

pytestmark = pytest.mark.integration

# What a lander may take at its peak: 80 MB of program, a batch of rows, what the Kafka client has fetched, what the
# dead letters' producer has in flight.
MAX_RSS_MB = 400
OCCUPANCY = PROJECT_DIR / "data" / "contracts" / "occupancy.events.yaml"


@dataclass
class Ground:
    """A topic on the run's broker, a migrated database, and the landers that were started between them."""

    postgres: LocalPostgres
    database_url: str
    bootstrap_servers: str
    topic: str
    contracts_dir: Path
    log: Path
    client: str
    landers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """The settings of a lander here."""
        return {
            **os.environ,
            "DATABASE_URL": self.database_url,
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "PLIMSOLL_KAFKA_GROUP": self.topic,
            "PLIMSOLL_KAFKA_CLIENT": self.client,
            "PLIMSOLL_LANDER_METRICS_PORT": "0",
            "PLIMSOLL_CONTRACTS_DIR": str(self.contracts_dir),
            "PLIMSOLL_HOME": str(self.contracts_dir.parent),
        }

    def start_lander(self, name: str | None = None) -> subprocess.Popen[bytes]:
        """A lander as a process of its own, logging to `log`."""
        command = [sys.executable, "-m", "plimsoll", "lander", "run", *(["--name", name] if name else [])]
        with self.log.open("ab") as log:
            lander = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        self.landers.append(lander)
        return lander

    def produce(self, values: Iterable[tuple[str | None, bytes]]) -> None:
        """Send (key, value) pairs and wait for the broker."""
        producer = KafkaProducer(
            bootstrap_servers=self.bootstrap_servers, linger_ms=5, batch_size=262_144, max_request_size=1_048_576
        )
        for key, value in values:
            producer.send(self.topic, key=key.encode() if key else None, value=value)
        producer.flush()
        producer.close()

    def query(self, query: str, *values: object) -> list[tuple[object, ...]]:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            return connection.execute(query, values).fetchall()  # type: ignore[arg-type]

    def execute(self, statements: str) -> None:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute(statements)  # type: ignore[arg-type]

    def landed(self) -> int:
        """How far the ledger is, in messages."""
        # The lander keeps a place of its own in the dead letters' topic.
        [(count,)] = self.query("SELECT coalesce(sum(next_offset), 0) FROM ingest.offsets WHERE topic = %s", self.topic)
        return int(str(count))

    def await_landed(self, count: int, timeout_s: float = 60) -> None:
        await_that(lambda: self.landed() >= count, f"{count} messages to land", timeout_s, self.log)

    def await_log(self, pattern: str, timeout_s: float = 30) -> None:
        await_that(lambda: re.search(pattern, self.said()) is not None, f"log '{pattern}'", timeout_s, self.log)

    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def assert_each_event_once(self, count: int) -> None:
        rows = self.query("SELECT count(*), count(DISTINCT event_id), min(event_id::int), max(event_id::int)"
                          " FROM raw.occupancy_events")  # fmt: skip
        assert rows == [(count, count, 0, count - 1)]


def await_that(condition: Callable[[], bool], what: str, timeout_s: float, log: Path, pause_s: float = 0.05) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            tail = log.read_text()[-3000:] if log.exists() else "(no log)"
            pytest.fail(f"waited {timeout_s} s in vain for {what}; the lander said:\n{tail}")
        time.sleep(pause_s)


def peak_rss_mb(process: subprocess.Popen[bytes]) -> int:
    status = Path(f"/proc/{process.pid}/status")
    if not status.exists():
        pytest.skip("no /proc here to read the peak of a process's memory from")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
    assert found is not None
    return int(found[1]) // 1024


def event(number: int, keys: int = 300, **fields: object) -> tuple[str, bytes]:
    """Event `number` of a stream in which each key's events follow each other second by second."""
    site = f"S{number % keys}"
    second = number // keys
    at = f"2026-01-15T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z"
    body = {"site_id": site, "ts_device": at, "occupancy": number % 997, "event_id": str(number)} | fields
    return site, json.dumps(body).encode()


def events(start: int, end: int, keys: int = 300) -> Iterator[tuple[str, bytes]]:
    return (event(number, keys) for number in range(start, end))


@pytest.fixture(scope="module")
def postgres() -> Iterator[LocalPostgres]:
    with tempfile.TemporaryDirectory(prefix="plimsoll-faults-") as folder:
        Path(folder).chmod(0o711)  # the account that PostgreSQL runs as must be able to pass
        server = LocalPostgres(Path(folder), free_port())
        url = server.start()
        migrate(url, PROJECT_DIR / "data" / "contracts")
        yield server
        server.stop()


with_both_clients = pytest.mark.parametrize("ground", ["kafka-python", "confluent"], indirect=True)


@pytest.fixture
def ground(
    stack: LocalStack, postgres: LocalPostgres, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Ground]:
    """Fresh ground; `with_both_clients` names the client of its landers."""
    name = f"faults_{uuid.uuid4().hex[:8]}"
    topic = name.replace("_", ".")
    contracts_dir = tmp_path / "contracts"
    contracts_dir.mkdir()
    text = OCCUPANCY.read_text()
    assert text.count("{property: topic, value: occupancy.events}") == 1
    (contracts_dir / OCCUPANCY.name).write_text(text.replace("value: occupancy.events}", f"value: {topic}}}"))
    create_topics(stack.bootstrap_servers, load_contracts(contracts_dir).values())
    with psycopg.connect(postgres.database_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE plimsoll").format(sql.Identifier(name)))
    made = Ground(
        postgres, postgres.database_url.rpartition("/")[0] + f"/{name}", stack.bootstrap_servers, topic, contracts_dir,
        tmp_path / "lander.log", getattr(request, "param", "kafka-python"),
    )  # fmt: skip
    yield made
    for lander in made.landers:
        lander.kill()
        lander.wait()
    admin_client = KafkaAdminClient(bootstrap_servers=stack.bootstrap_servers)
    admin_client.delete_topics([topic, f"{topic}.dlq"])
    admin_client.close()
    with psycopg.connect(postgres.start(), autocommit=True) as admin:
        # Without FORCE, which may not end an autovacuum; the sessions of killed landers are waited for.
        admin.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))


@with_both_clients
def test_postgres_may_stop_and_start_while_events_land(ground: Ground) -> None:
    ground.produce(events(0, 40_000))
    lander = ground.start_lander()
    sent = 40_000
    for _ in range(2):
        ground.await_landed(sent - 30_000)
        ground.postgres.stop()
        ground.await_log("nothing can land because of Postgres: ")
        ground.produce(events(sent, sent + 30_000))
        sent += 30_000
        ground.postgres.start()
    ground.await_landed(sent)

    ground.assert_each_event_once(sent)
    assert peak_rss_mb(lander) < MAX_RSS_MB
    said = ground.said()
    assert re.search(r"INFO .* landing again, after \d", said)
    assert "Traceback" not in said
    assert said.count("ERROR") < 30, "a trouble is said each time it is tried again, not all the time"


def test_catching_up_begins_when_postgres_is_there(ground: Ground) -> None:
    ground.produce(events(0, 100))
    ground.postgres.stop()
    with ground.log.open("ab") as log:
        command = [sys.executable, "-m", "plimsoll", "lander", "run", "--until-caught-up"]
        lander = subprocess.Popen(command, env=ground.environment, stdout=log, stderr=log)
    ground.landers.append(lander)
    ground.await_log("nothing can land because of Postgres: ")
    ground.postgres.start()

    assert lander.wait(60) == 0
    ground.assert_each_event_once(100)


def test_connections_cut_in_the_middle_of_copy_lose_and_repeat_nothing(ground: Ground) -> None:
    ground.produce(events(0, 60_000))
    ground.start_lander()
    cut = 0
    with psycopg.connect(ground.database_url, autocommit=True) as killer:

        def has_cut_enough() -> bool:
            nonlocal cut
            cut += killer.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'plimsoll-lander'"
                " AND state = 'active' AND query LIKE 'COPY \"raw\"%' AND datname = current_database()"
            ).rowcount
            return cut >= 4 or ground.landed() >= 50_000

        await_that(has_cut_enough, "four cuts or most events to land", 60, ground.log, pause_s=0)
    ground.await_landed(60_000)

    assert cut >= 3
    ground.assert_each_event_once(60_000)
    assert ground.query("SELECT count(*) FROM ingest.rejected_messages") == [(0,)]
    assert ground.said().count("nothing can land because of Postgres: ") >= 3


def test_rows_that_only_the_database_refuses_are_rejected_and_the_rest_lands(ground: Ground) -> None:
    ground.execute(
        """
        ALTER TABLE raw.occupancy_events ADD CONSTRAINT fault CHECK (event_id <> '777');
        CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN IF new.event_id = '4000' THEN RAISE EXCEPTION 'not this one'; END IF; RETURN new; END$$;
        CREATE TRIGGER fault BEFORE INSERT ON raw.occupancy_events FOR EACH ROW EXECUTE FUNCTION fault()
        """
    )
    ground.produce(events(0, 5_000))
    ground.start_lander()
    ground.await_landed(5_000)

    rows = ground.query("SELECT count(*), count(DISTINCT event_id) FROM raw.occupancy_events")
    rejects = ground.query("SELECT stage, reason_code, reason ~ 'not this one', value FROM ingest.rejected_messages")
    assert rows == [(4_998, 4_998)]
    assert sorted(rejects) == [
        ("write", "refused_by_database", number == 4_000, event(number)[1]) for number in (777, 4_000)
    ]


def test_of_rows_that_clash_only_with_each_other_one_lands(ground: Ground) -> None:
    """Both halves of the batch could be written without the other."""
    ground.execute("CREATE UNIQUE INDEX ON raw.occupancy_events (event_id, _landed_at)")
    ground.produce([*events(0, 64), event(5), *events(64, 100)])
    ground.start_lander()
    ground.await_landed(101)

    ground.assert_each_event_once(100)
    assert ground.query("SELECT reason_code, value FROM ingest.rejected_messages") == [
        ("refused_by_database", event(5)[1])
    ]


def test_a_full_disk_is_waited_out_and_rejects_nothing(ground: Ground) -> None:
    ground.execute(
        """
        CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
            RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full';
        END$$;
        CREATE TRIGGER full_disk BEFORE INSERT ON raw.occupancy_events FOR EACH ROW EXECUTE FUNCTION full_disk()
        """
    )
    ground.produce(events(0, 30_000))
    lander = ground.start_lander()
    ground.await_log(r"(?s)(nothing can land because of Postgres: could not extend file: No space left.*){4}")
    nothing = ground.query("SELECT count(*) FROM raw.occupancy_events")

    ground.execute("DROP TRIGGER full_disk ON raw.occupancy_events")
    ground.await_landed(30_000)

    assert nothing == [(0,)]
    ground.assert_each_event_once(30_000)
    assert ground.query("SELECT count(*) FROM ingest.rejected_messages") == [(0,)]
    assert peak_rss_mb(lander) < MAX_RSS_MB
    waits = [float(wait) for wait in re.findall(r"trying again in ([\d.]+) s", ground.said())]
    assert waits[:4] == [0.2, 0.4, 0.8, 1.6], "it must not run against the wall all the time"


def test_tables_that_go_missing_are_waited_for(ground: Ground) -> None:
    ground.produce(events(0, 100))
    lander = ground.start_lander()
    ground.await_landed(100)

    ground.execute("ALTER SCHEMA raw RENAME TO away")
    ground.produce(events(100, 200))
    ground.await_log(r"(?s)(nothing can land because of Postgres: .* does not exist.*){3}")
    ground.execute("ALTER SCHEMA away RENAME TO raw")
    ground.await_landed(200)

    assert lander.poll() is None
    ground.assert_each_event_once(200)


def land_while_one_is_killed(ground: Ground, count: int, kills: int, step: int, keys: int) -> None:
    """Two landers share the topic; one of the two, at random, dies each time `step` more messages have landed at most.

    Every third time it comes back as somebody else, so that the group shares the partitions out anew.
    """
    ground.produce(events(0, count, keys))
    randomness = random.Random(11)
    running = {"a": ground.start_lander("a"), "b": ground.start_lander("b")}
    for number in range(kills):
        at = ground.landed() + randomness.randrange(1, step)
        await_that(lambda at=at: ground.landed() >= min(at, count), "progress", 60, ground.log)
        victim = randomness.choice(sorted(running))
        running[victim].kill()
        running.pop(victim).wait()
        name = victim if number % 3 else f"{victim}{number}"
        running[name] = ground.start_lander(name)
    ground.await_landed(count, 300)

    ground.assert_each_event_once(count)
    live = ground.query("SELECT site_id, occupancy, event_at FROM live.occupancy ORDER BY site_id")
    newest = ground.query(
        "SELECT DISTINCT ON (site_id) site_id, occupancy, ts_device FROM raw.occupancy_events"
        " ORDER BY site_id, event_id::int DESC"
    )
    assert len(live) == keys
    assert live == newest


@with_both_clients
def test_two_landers_of_which_one_is_killed_again_and_again_land_every_event_once(ground: Ground) -> None:
    land_while_one_is_killed(ground, 200_000, kills=6, step=25_000, keys=300)


@pytest.mark.long
@pytest.mark.timeout(1200)
@with_both_clients
def test_a_million_events_land_once_while_landers_are_killed_at_random(ground: Ground) -> None:
    land_while_one_is_killed(ground, 1_000_000, kills=60, step=14_000, keys=1_000)


def create_again(ground: Ground, await_log: Callable[[str], None] | None) -> None:
    admin = KafkaAdminClient(bootstrap_servers=ground.bootstrap_servers)
    admin.delete_topics([ground.topic])
    await_that(lambda: ground.topic not in admin.list_topics(), "the topic to go", 20, ground.log)
    admin.close()
    if await_log:
        await_log(f"ERROR .*topic {re.escape(ground.topic)} was deleted")
    create_topics(ground.bootstrap_servers, load_contracts(ground.contracts_dir).values())


@with_both_clients
@pytest.mark.parametrize("is_watching", [True, False], ids=["while it watches", "while it cannot look"])
def test_a_topic_deleted_and_created_again_is_noticed_and_lands_from_its_start(
    ground: Ground, is_watching: bool
) -> None:
    """The new topic gets more messages than the old one had, so that the old position would look right."""
    ground.produce(events(0, 3_000))
    lander = ground.start_lander()
    ground.await_landed(3_000)

    if not is_watching:
        lander.send_signal(signal.SIGSTOP)
    create_again(ground, ground.await_log if is_watching else None)
    ground.produce(events(3_000, 10_000))
    lander.send_signal(signal.SIGCONT)
    ground.await_log("was created again")
    await_that(lambda: ground.query("SELECT count(*) FROM raw.occupancy_events") >= [(10_000,)], "all", 60, ground.log)

    ground.assert_each_event_once(10_000)
    assert ground.landed() == 7_000
    assert lander.poll() is None
    assert len(ground.said().splitlines()) < 40, "it says what is wrong, not that it is still wrong"


def test_what_is_in_a_topic_created_again_is_not_landed_because_its_predecessor_was(ground: Ground) -> None:
    ground.produce(events(0, 300))
    lander = ground.start_lander()
    ground.await_landed(300)
    lander.terminate()
    lander.wait()

    create_again(ground, await_log=None)
    ground.produce(events(300, 500))
    waited = subprocess.run(
        [sys.executable, "-m", "plimsoll", "lander", "wait", "--timeout", "1"],
        env=ground.environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert waited.returncode == 1, waited.stdout
    assert "200 messages are not landed" in waited.stderr


@with_both_clients
def test_a_producer_faster_than_the_database_does_not_fill_the_landers_memory(ground: Ground) -> None:
    """Small events and big refused messages, 200 MB in all, while each landing takes at least two seconds."""
    ground.execute(
        """
        CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(2); RETURN new; END$$;
        CREATE TRIGGER slow BEFORE INSERT ON ingest.landing_batches FOR EACH ROW EXECUTE FUNCTION slow()
        """
    )
    lander = ground.start_lander()
    big = "x" * 100_000
    ground.produce(events(0, 100_000))
    ground.produce((None, json.dumps({"site_id": "big", "note": big, "n": number}).encode()) for number in range(1_500))
    behind = 101_500 - ground.landed()
    ground.execute("DROP TRIGGER slow ON ingest.landing_batches")
    ground.await_landed(101_500, 120)

    assert behind > 1_500, "the producer was no faster, which proves nothing"
    ground.assert_each_event_once(100_000)
    assert ground.query("SELECT count(*), min(length(value)) > 100000 FROM ingest.rejected_messages") == [(1_500, True)]
    assert peak_rss_mb(lander) < MAX_RSS_MB
