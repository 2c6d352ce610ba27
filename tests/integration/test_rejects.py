"""Dead letters: listed, shown, and landed once when their contract has learned to accept them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from kafka import KafkaProducer
from psycopg.conninfo import make_conninfo

from ingest import rejects
from ingest.gateways.admission import Admission
from plimsoll.contracts import load_contracts
from plimsoll.settings import PROJECT_DIR
from plimsoll.stack.local import LocalStack

pytestmark = pytest.mark.integration
Plimsoll = Callable[..., subprocess.CompletedProcess[str]]


def produce(stack: LocalStack, values: list[bytes]) -> None:
    producer = KafkaProducer(bootstrap_servers=stack.bootstrap_servers, linger_ms=5)
    for value in values:
        producer.send("occupancy.events", value=value)
    producer.flush()
    producer.close()


def event(site_id: str, **fields: object) -> bytes:
    return json.dumps({"site_id": site_id, "ts_device": "2026-01-15T12:00:00Z"} | fields).encode()


@pytest.fixture
def wider(tmp_path: Path) -> Callable[[str, str], dict[str, str]]:
    """Changes the occupancy contract in an installation's own copy, and returns the settings that use it."""
    contracts, dbt_project = tmp_path / "data" / "contracts", tmp_path / "dbt_project"
    shutil.copytree(PROJECT_DIR / "data" / "contracts", contracts)
    (dbt_project / "models" / "staging").mkdir(parents=True)

    def change(old: str, new: str) -> dict[str, str]:
        file = contracts / "occupancy.events.yaml"
        assert file.read_text().count(old) == 1
        file.write_text(file.read_text().replace(old, new))
        return {"PLIMSOLL_CONTRACTS_DIR": str(contracts), "PLIMSOLL_DBT_PROJECT_DIR": str(dbt_project)}

    return change


def replayed(done: subprocess.CompletedProcess[str]) -> tuple[int, int]:
    """How many landed and how many are still refused."""
    found = re.search(r"landed ([\d,]+) messages, ([\d,]+) are still refused", done.stdout)
    assert found is not None
    return int(found[1].replace(",", "")), int(found[2].replace(",", ""))


def landed(connection: psycopg.Connection, site: str) -> list[tuple[object, ...]]:
    return connection.execute(
        "SELECT occupancy, zone_id, _partition FROM raw.occupancy_events WHERE site_id = %s ORDER BY occupancy", [site]
    ).fetchall()


def test_after_a_contract_is_widened_a_replay_lands_what_is_valid_now_and_only_once(
    stack: LocalStack, connection: psycopg.Connection, plimsoll: Plimsoll, wider: Callable[[str, str], dict[str, str]]
) -> None:
    site = f"wide-{uuid.uuid4().hex[:8]}"
    zone = "z" * 100
    plimsoll("lander", "run", "--until-caught-up")
    [(now,)] = connection.execute("SELECT clock_timestamp()").fetchall()
    replay = ("rejects", "replay", "--since", now.isoformat())
    produce(stack, [event(site, occupancy=1), event(site, occupancy=2, zone_id=zone), event(site, occupancy="x")])
    plimsoll("lander", "run", "--until-caught-up")
    before = landed(connection, site)
    env = wider("description: Part of the site., logicalTypeOptions: {maxLength: 64}",
                "description: Part of the site., logicalTypeOptions: {maxLength: 128}")  # fmt: skip
    env = wider("    properties:\n", "    properties:\n      - {name: people_waiting, logicalType: integer, "
                "physicalType: integer, description: People at the stop.}\n")  # fmt: skip

    unchanged = plimsoll(*replay)
    plimsoll("contracts", "migrate", "--name", "wider", **env)
    plimsoll("migrate", **env)
    first = plimsoll(*replay, **env)
    second = plimsoll(*replay, **env)

    assert [replayed(done) for done in (unchanged, first, second)] == [(0, 2), (1, 1), (0, 1)]
    assert [row[:2] for row in before] == [(1, None)]
    assert landed(connection, site) == [*before, (2, zone, -2)]
    letters = connection.execute(
        "SELECT field, replayed_at IS NOT NULL, r._offset FROM ingest.rejected_messages"
        " LEFT JOIN raw.occupancy_events AS r ON r._partition = -2 AND r._offset = rejected_id"
        " WHERE value LIKE %s ORDER BY rejected_id", [f"%{site}%".encode()],
    ).fetchall()  # fmt: skip
    assert sorted((field, done, offset is not None) for field, done, offset in letters) == [
        ("occupancy", False, False), ("zone_id", True, True),
    ], "a landed row points at its dead letter"  # fmt: skip


def test_what_is_still_refused_stays_with_its_newest_reason(
    stack: LocalStack, connection: psycopg.Connection, plimsoll: Plimsoll, wider: Callable[[str, str], dict[str, str]]
) -> None:
    site = f"still-{uuid.uuid4().hex[:8]}"
    produce(stack, [event(site, occupancy=1, zone_id="z" * 100)])
    plimsoll("lander", "run", "--until-caught-up")
    env = wider("description: Part of the site., logicalTypeOptions: {maxLength: 64}",
                "description: Part of the site., logicalTypeOptions: {maxLength: 90}")  # fmt: skip

    plimsoll("rejects", "replay", **env)

    rows = connection.execute(
        "SELECT reason, replayed_at FROM ingest.rejected_messages WHERE value LIKE %s", [f"%{site}%".encode()]
    ).fetchall()
    assert len(rows) == 1
    assert "90" in rows[0][0]
    assert rows[0][1] is None


def refuse(connection: psycopg.Connection, site: str, count: int) -> None:
    """Dead letters that the contract of today accepts."""
    with connection.cursor() as cursor:
        cursor.executemany(
            'INSERT INTO ingest.rejected_messages (topic, partition, "offset", stage, reason_code, reason, value,'
            " broker_at) VALUES ('occupancy.events', 0, %s, 'decode', 'invalid_field', 'old rule', %s, now())",
            [(number, event(site, occupancy=number)) for number in range(count)],
        )


def test_a_letter_of_which_the_gateway_kept_only_the_beginning_is_left_alone_and_it_is_said(
    connection: psycopg.Connection, plimsoll: Plimsoll
) -> None:
    stump = uuid.uuid4().hex.encode() * 2_048
    connection.execute(
        'INSERT INTO ingest.rejected_messages (topic, partition, "offset", stage, reason_code, reason, value,'
        " broker_at, address, tenant_id) VALUES ('occupancy.events', 0, 1, 'gateway', 'too_large', 'too much', %s,"
        " now(), 'oms/v1/occupancy', 'default')", [stump],
    )  # fmt: skip

    done = plimsoll("rejects", "replay", "--reason", "too_large")

    kept = connection.execute(
        "SELECT reason_code, reason, replayed_at FROM ingest.rejected_messages WHERE value = %s", [stump]
    ).fetchall()
    assert kept == [("too_large", "too much", None)]
    assert replayed(done) == (0, 0)
    assert "1 messages are kept only in part and cannot be replayed" in done.stdout


def test_replays_at_the_same_time_land_each_message_once(
    connection: psycopg.Connection, platform_env: dict[str, str]
) -> None:
    site, count = f"both-{uuid.uuid4().hex[:8]}", 12_000
    refuse(connection, site, count)
    command = [sys.executable, "-m", "plimsoll", "rejects", "replay", "--since", "1h"]

    together = [subprocess.Popen(command, env=platform_env, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    told = [subprocess.CompletedProcess(command, p.wait(timeout=60), p.stdout.read()) for p in together if p.stdout]

    assert [process.returncode for process in told] == [0, 0, 0]
    assert sum(replayed(process)[0] for process in told) == count
    assert [row[0] for row in landed(connection, site)] == list(range(count))
    covered = connection.execute(
        "SELECT max(_landed_at) <= (SELECT landed_at FROM ingest.offsets WHERE topic = _topic AND partition = -2)"
        " FROM raw.occupancy_events WHERE site_id = %s GROUP BY _topic", [site],
    ).fetchone()  # fmt: skip
    assert covered == (True,), "what is above the ledger's watermark would never reach the marts"


def test_large_messages_are_replayed_by_fewer_at_once(
    connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = f"large-{uuid.uuid4().hex[:8]}"
    refuse(connection, site, 40)
    monkeypatch.setattr(rejects, "REPLAY_BYTES", 10 * len(event(site, occupancy=10)))
    contracts = load_contracts(PROJECT_DIR / "data" / "contracts")
    admission = Admission(contracts, unregistered_devices=True, max_message_bytes=1_000)

    rejects.replay(connection, contracts, admission, rejects.Selection(reason="invalid_field"))

    batches = connection.execute(
        "SELECT count(*) FROM raw.occupancy_events WHERE site_id = %s GROUP BY _landed_at", [site]
    ).fetchall()
    assert sum(count for (count,) in batches) == 40
    assert max(count for (count,) in batches) <= 10 + 1


def test_a_replay_that_is_killed_lands_each_message_once_when_run_again(
    connection: psycopg.Connection, platform_env: dict[str, str], plimsoll: Plimsoll
) -> None:
    site, count = f"killed-{uuid.uuid4().hex[:8]}", 30_000
    refuse(connection, site, count)
    process = subprocess.Popen([sys.executable, "-m", "plimsoll", "rejects", "replay"], env=platform_env,
                               stdout=subprocess.DEVNULL)  # fmt: skip
    while not (reached := len(landed(connection, site))):
        pass
    process.kill()
    process.wait()

    plimsoll("rejects", "replay")

    assert 0 < reached < count
    assert [row[0] for row in landed(connection, site)] == list(range(count))


def test_a_replay_gives_up_on_a_lock_that_somebody_keeps_and_goes_on_when_it_is_run_again(
    connection: psycopg.Connection, database_url: str, plimsoll: Plimsoll
) -> None:
    site, count = f"held-{uuid.uuid4().hex[:8]}", 6_000
    refuse(connection, site, count)
    impatient = make_conninfo(database_url, options="-c lock_timeout=300ms")
    check = f"occupancy < 5500 OR site_id <> '{site}' OR pg_advisory_xact_lock_shared(4711) IS NOT NULL"
    connection.execute(f"ALTER TABLE raw.occupancy_events ADD CONSTRAINT held_up CHECK ({check})")
    try:
        with psycopg.connect(database_url) as holder:
            holder.execute("SELECT pg_advisory_xact_lock(4711)")
            refused = plimsoll("rejects", "replay", check=False, DATABASE_URL=impatient)
            before = len(landed(connection, site))
        done = plimsoll("rejects", "replay")
    finally:
        connection.execute("ALTER TABLE raw.occupancy_events DROP CONSTRAINT held_up")

    told = " ".join(refused.stderr.split())
    assert refused.returncode == 1 and "another session holds a lock that this one waited for in vain" in told
    assert "run the same command again: it goes on where it stopped" in told and "Traceback" not in told
    assert 0 < before < count
    assert replayed(done)[0] == count - before
    assert [row[0] for row in landed(connection, site)] == list(range(count))


def test_list_counts_by_reason_and_show_gives_the_payload(
    stack: LocalStack, connection: psycopg.Connection, plimsoll: Plimsoll
) -> None:
    site = f"list-{uuid.uuid4().hex[:8]}"
    produce(stack, [event(site, occupancy="many"), event(site, occupancy=1, lat=91), b"\x1b[2Jno json \xff"])
    plimsoll("lander", "run", "--until-caught-up")

    listed = plimsoll("rejects", "list", "--since", "1h", "--topic", "occupancy.events", "--newest", "3", COLUMNS="160")
    fields = plimsoll("rejects", "list", "--reason", "not_json", COLUMNS="160")
    nothing = plimsoll("rejects", "list", "--until", "2020-01-01")
    row = connection.execute("SELECT max(rejected_id) FROM ingest.rejected_messages").fetchone()
    assert row is not None
    shown = [plimsoll("rejects", "show", str(row[0] - back)).stdout for back in range(3)]
    missing = plimsoll("rejects", "show", "999999999", check=False)

    assert re.search(r"occupancy.events\s+invalid_field\s+lat\s+\d+\s+\d+", listed.stdout)
    assert "invalid_field" not in fields.stdout
    assert "nothing was refused" in nothing.stdout
    together = "\n".join(shown)
    assert f'{{"site_id": "{site}", "ts_device": "2026-01-15T12:00:00Z", "occupancy": "many"}}' in together
    assert "\\x1b[2Jno json \\xff" in together, "signs that play with the terminal are shown, not sent"
    assert missing.returncode == 1
    assert "no refused message 999999999" in missing.stderr


@pytest.mark.parametrize("arguments", [["--since", "yesterday"], ["--until", "5w"], ["--topic", "nothing"]])
def test_a_wrong_selection_is_told_what_to_write(plimsoll: Plimsoll, arguments: list[str]) -> None:
    done = plimsoll("rejects", "replay", *arguments, check=False)

    assert done.returncode == 1
    assert arguments[1] in done.stderr
