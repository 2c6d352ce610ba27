"""Bulk loads of files into a real PostgreSQL: the same rows as through Kafka, each once."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from ingest.bulk import bulk_session
from plimsoll.settings import PROJECT_DIR

pytestmark = pytest.mark.integration
Plimsoll = Callable[..., subprocess.CompletedProcess[str]]
LOTS = ("--map", "site_id=Lot", "--map", "capacity=Places", "--map", "occupancy=Cars", "--map", "ts_device=When",
        "--tz", "Europe/London")  # fmt: skip
COORDINATES = ("_partition", "_offset", "_broker_at", "_landed_at", "tenant_id")


@pytest.fixture
def tenant(connection: psycopg.Connection) -> str:
    """A tenant of the test's own."""
    return registered(connection, "load")


def registered(connection: psycopg.Connection, kind: str) -> str:
    name = f"{kind}-{uuid.uuid4().hex[:8]}"
    connection.execute("INSERT INTO registry.tenants (tenant_id, name) VALUES (%s, %s)", [name, name])
    return name


def awkward_file(folder: Path) -> Path:
    """Repeats, gaps, local times in both seasons and in the doubled hour, and rows of every kind that is refused."""
    good = [
        f"P{i % 7},{100 + i % 7},{i % 90},2016-0{1 + i // 200}-1{i % 9} {i % 24:02}:{i % 60:02}" for i in range(1500)
    ]
    night = [f"{site},100,{i},2016-10-30 0{1 + i // 12}:{i % 6}5:00" for i in range(15) for site in ("P1", "P2")]
    bad = ["P1,100,,2016-07-01 10:30", "P1,100,x,2016-07-01 10:30", "P1,100,5,soon", "P1,100,5,2016-07-01 10:30,9",
           "P1,0,5,2016-07-01 10:30", "P1", "P1,100,5,2031-07-01 10:30", "P1\0,100,5,2016-07-01 10:30"]  # fmt: skip
    lines = [*good[:700], *bad, *good[700:], good[3], good[3], *night]
    path = folder / "lots.csv"
    path.write_bytes("\n".join(["Lot,Places,Cars,When", *lines, ""]).encode() + b"caf\xe9,1,1,2016-07-01 10:30\n")
    return path


def raw_rows(connection: psycopg.Connection, tenant: str) -> list[dict[str, object]]:
    rows = connection.execute(
        "SELECT to_jsonb(r) FROM raw.occupancy_events AS r WHERE tenant_id = %s", [tenant]
    ).fetchall()
    kept = [{k: v for k, v in row.items() if k not in COORDINATES} for (row,) in rows]
    return sorted(kept, key=lambda row: json.dumps(row, sort_keys=True))


def rejected(connection: psycopg.Connection, tenant: str, since: int, kafka: bool) -> list[tuple[object, ...]]:
    rows = connection.execute(
        "SELECT topic, stage, reason_code, field, reason, key, value FROM ingest.rejected_messages"
        " WHERE rejected_id > %s AND (partition >= 0) = %s", [since, kafka],
    ).fetchall()  # fmt: skip
    return sorted(((*row[:-1], row[-1].replace(tenant.encode(), b"?")) for row in rows), key=repr)


def test_a_file_loaded_and_the_same_file_replayed_give_the_same_rows_and_rejects(
    tmp_path: Path, connection: psycopg.Connection, plimsoll: Plimsoll
) -> None:
    file, by_kafka, by_load = awkward_file(tmp_path), registered(connection, "kafka"), registered(connection, "load")

    plimsoll("lander", "run", "--until-caught-up")
    [(since,)] = connection.execute("SELECT coalesce(max(rejected_id), 0) FROM ingest.rejected_messages").fetchall()

    replayed = plimsoll("replay", str(file), *LOTS, "--tenant", by_kafka)
    plimsoll("lander", "run", "--until-caught-up")
    loaded = plimsoll("load", str(file), *LOTS, "--tenant", by_load)

    assert "sent 1,532 events, refused 9" in replayed.stdout
    assert "1,532 rows landed, 9 rejected" in loaded.stdout
    rows = raw_rows(connection, by_load)
    assert len(rows) == 1532
    assert rows == raw_rows(connection, by_kafka)
    refused = rejected(connection, by_load, since, kafka=False)
    assert len(refused) == 9
    assert refused == rejected(connection, by_kafka, since, kafka=True)
    for table, columns in {"live.occupancy": "site_id, occupancy, capacity, event_at",
                           "registry.sites": "site_id, kind, capacity, time_zone, hold_s"}.items():  # fmt: skip
        query = f"SELECT {columns} FROM {table} WHERE tenant_id = %s ORDER BY 1"
        found = connection.execute(query, [by_load]).fetchall()
        assert found == connection.execute(query, [by_kafka]).fetchall()
        assert len(found) == 7


def test_a_file_is_loaded_once_and_says_so(
    tmp_path: Path, connection: psycopg.Connection, tenant: str, plimsoll: Plimsoll
) -> None:
    file = tmp_path / "lots.csv"
    file.write_text("Lot,Places,Cars,When\nA,100,5,2016-07-01 10:00\nA,100,x,2016-07-01 10:00\n")
    plimsoll("load", str(file), *LOTS, "--tenant", tenant)
    moved = file.rename(tmp_path / "moved.csv")

    again = plimsoll("load", str(moved), *LOTS, "--tenant", tenant)
    otherwise = plimsoll("load", str(moved), *LOTS, "--set", "zone_id=west", "--tenant", tenant)

    assert "loaded already" in again.stdout
    assert "(1 rows landed, 1 rejected); nothing to do" in again.stdout
    assert "1 rows landed, 1 rejected" in otherwise.stdout, "read in another way it is another load"
    assert [row["zone_id"] for row in raw_rows(connection, tenant)] == ["west", None]


def big_file(folder: Path, rows: int) -> Path:
    path = folder / f"big-{uuid.uuid4().hex[:8]}.csv"
    with path.open("w") as file:
        file.write("site_id,event_id,occupancy,ts_device\n")
        file.writelines(
            f"P{i % 50},{i},{'x' if i % 1000 == 999 else i % 90},2016-07-01T10:{i // 60 % 60:02}:{i % 60:02}Z\n"
            for i in range(rows)
        )
    return path


def landed_of(connection: psycopg.Connection, tenant: str) -> tuple[int, int]:
    row = connection.execute(
        "SELECT count(*), count(DISTINCT event_id) FROM raw.occupancy_events WHERE tenant_id = %s", [tenant]
    ).fetchone()
    assert row is not None
    return row


def test_a_load_killed_in_the_middle_goes_on_and_lands_every_row_once(
    tmp_path: Path, connection: psycopg.Connection, tenant: str, platform_env: dict[str, str], plimsoll: Plimsoll
) -> None:
    file = big_file(tmp_path, 150_000)
    command = [sys.executable, "-m", "plimsoll", "load", str(file), "--tenant", tenant]
    interrupted = []

    for at_least in (1, 60_000):
        process = subprocess.Popen(command, env=platform_env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while landed_of(connection, tenant)[0] < at_least:
            try:
                process.wait(timeout=0.01)
            except subprocess.TimeoutExpired:
                continue
            pytest.fail("the load ended before it could be killed")
        process.kill()
        process.wait()
        interrupted.append(landed_of(connection, tenant)[0])
    # Marts that are built between the two runs know the sites.
    sites = connection.execute("SELECT count(*) FROM registry.sites WHERE tenant_id = %s", [tenant]).fetchone()
    done = plimsoll("load", str(file), "--tenant", tenant)
    again = plimsoll("load", str(file), "--tenant", tenant)

    assert 0 < interrupted[0] < interrupted[1] < 149_850
    assert sites != (0,)
    assert "149,850 rows landed, 150 rejected" in done.stdout
    assert "by an earlier run" in done.stdout
    assert landed_of(connection, tenant) == (149_850, 149_850)
    assert "loaded already" in again.stdout


def test_ctrl_c_stops_after_the_chunk_in_hand_and_says_how_to_go_on(
    tmp_path: Path, connection: psycopg.Connection, tenant: str, platform_env: dict[str, str], plimsoll: Plimsoll
) -> None:
    import signal

    file = big_file(tmp_path, 150_000)
    command = [sys.executable, "-m", "plimsoll", "load", str(file), "--tenant", tenant]
    process = subprocess.Popen(command, env=platform_env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    while not landed_of(connection, tenant)[0]:
        time.sleep(0.01)

    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=20)

    assert process.returncode == 130
    assert "run the same command again to go on" in told
    plimsoll("load", str(file), "--tenant", tenant)
    assert landed_of(connection, tenant) == (149_850, 149_850)


def test_a_load_gives_up_on_a_lock_that_somebody_keeps_and_goes_on_when_it_is_run_again(
    tmp_path: Path, connection: psycopg.Connection, tenant: str, database_url: str, plimsoll: Plimsoll
) -> None:
    file = big_file(tmp_path, 30_000)
    check = f"event_id <> '15000' OR tenant_id <> '{tenant}' OR pg_advisory_xact_lock_shared(4711) IS NOT NULL"
    connection.execute(f"ALTER TABLE raw.occupancy_events ADD CONSTRAINT held_up CHECK ({check})")
    impatient = make_conninfo(database_url, options="-c lock_timeout=300ms")
    try:
        with psycopg.connect(database_url) as holder:
            holder.execute("SELECT pg_advisory_xact_lock(4711)")
            held_up = plimsoll("load", str(file), "--tenant", tenant, check=False, DATABASE_URL=impatient)
            before = landed_of(connection, tenant)
            holder.execute("LOCK TABLE registry.tenants IN ACCESS EXCLUSIVE MODE")
            at_once = plimsoll("load", str(file), "--tenant", tenant, check=False, DATABASE_URL=impatient)
        done = plimsoll("load", str(file), "--tenant", tenant)
    finally:
        connection.execute("ALTER TABLE raw.occupancy_events DROP CONSTRAINT held_up")

    for refused in (held_up, at_once):
        told = " ".join(refused.stderr.split())
        assert refused.returncode == 1 and "another session holds a lock that this one waited for in vain" in told
        assert "run the same command again: it goes on where it stopped" in told and "Traceback" not in told
    assert before == (9_990, 9_990)
    assert "29,970 rows landed, 30 rejected, 10,000 of them by an earlier run" in done.stdout
    assert landed_of(connection, tenant) == (29_970, 29_970)


def test_a_command_that_is_suspended_holds_up_nobody_for_ever(database_url: str) -> None:
    with bulk_session(database_url, "test") as session:
        [(waits, stands_still)] = session.execute(
            "SELECT current_setting('lock_timeout'), current_setting('idle_in_transaction_session_timeout')"
        ).fetchall()

    assert (waits, stands_still) == ("5s", "30s")


def test_two_loads_of_one_file_at_once_land_it_once(
    tmp_path: Path, connection: psycopg.Connection, tenant: str, platform_env: dict[str, str]
) -> None:
    file = big_file(tmp_path, 60_000)
    command = [sys.executable, "-m", "plimsoll", "load", str(file), "--tenant", tenant]

    both = [subprocess.Popen(command, env=platform_env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(2)]  # fmt: skip
    told = ["".join(process.communicate(timeout=60)) for process in both]

    assert sorted(process.returncode for process in both) in ([0, 0], [0, 1])
    assert sum("59,940 rows landed" in text and "already" not in text for text in told) == 1
    assert any("is being loaded by another process" in text or "loaded already" in text for text in told)
    assert landed_of(connection, tenant) == (59_940, 59_940)


def test_finished_loads_leave_their_partition_to_the_next(
    tmp_path: Path, connection: psycopg.Connection, tenant: str, plimsoll: Plimsoll
) -> None:
    files = []
    for number in range(5):
        files.append(tmp_path / f"lot-{number}.csv")
        files[-1].write_text(f"occupancy,ts_device\n{number},2016-07-01T10:00Z\n{number},2016-07-01T11:00Z\n")

    plimsoll("load", *map(str, files), "--tenant", tenant)

    rows = connection.execute(
        "SELECT site_id, _partition, _offset, _landed_at FROM raw.occupancy_events WHERE tenant_id = %s"
        " ORDER BY _offset", [tenant],
    ).fetchall()  # fmt: skip
    assert [row[0] for row in rows] == [f"lot-{number}" for number in range(5) for _ in range(2)]
    assert len({row[1] for row in rows}) == 1
    assert [b[2] - a[2] for a, b in pairwise(rows)] == [1] * 9
    landings = [row[3] for row in rows[::2]]
    assert landings == sorted(set(landings)), "watermarks need landings to grow"


def test_memory_does_not_follow_the_size_of_the_file(tmp_path: Path, platform_env: dict[str, str]) -> None:
    file = big_file(tmp_path, 400_000)
    script = (
        "import re, sys; from plimsoll.cli import main; sys.argv = ['plimsoll', *sys.argv[1:]]\n"
        "try: main()\n"
        # Not ru_maxrss: that counts what this test's own process held when it forked.
        "finally: print('peak', int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) // 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "load", str(file)],
        env=platform_env, capture_output=True, text=True, timeout=120,
    )  # fmt: skip

    assert "399,600 rows landed" in done.stdout, done.stderr
    assert int(done.stdout.split("peak")[1]) < 300, "MB"


def test_an_unknown_tenant_is_refused_before_anything_lands(
    tmp_path: Path, connection: psycopg.Connection, plimsoll: Plimsoll
) -> None:
    file = tmp_path / "lots.csv"
    file.write_text("occupancy,ts_device\n1,2016-07-01T10:00Z\n")

    done = plimsoll("load", str(file), "--tenant", "nobody", check=False)

    assert "--tenant nobody: is not registered; there are default" in " ".join(done.stderr.split())
    assert raw_rows(connection, "nobody") == []


def test_a_row_that_only_the_database_refuses_is_rejected_alone(
    tmp_path: Path, connection: psycopg.Connection, tenant: str, plimsoll: Plimsoll
) -> None:
    file = tmp_path / f"{tenant}.csv"
    file.write_text("occupancy,ts_device\n" + "".join(f"{i},2016-07-01T10:{i:02}Z\n" for i in range(30)))
    check = f"occupancy <> 17 OR tenant_id <> '{tenant}'"
    connection.execute(f"ALTER TABLE raw.occupancy_events ADD CONSTRAINT no_17 CHECK ({check})")
    try:
        done = plimsoll("load", str(file), "--tenant", tenant)
    finally:
        connection.execute("ALTER TABLE raw.occupancy_events DROP CONSTRAINT no_17")

    assert "29 rows landed, 1 rejected" in done.stdout
    row = connection.execute(
        "SELECT stage, reason_code FROM ingest.rejected_messages WHERE value LIKE %s", [f"%{tenant}%".encode()]
    ).fetchone()
    assert row == ("write", "refused_by_database")


def test_a_tides_stop_visits_table_is_loaded_with_the_documented_mapping(
    tmp_path: Path, connection: psycopg.Connection, tenant: str, plimsoll: Plimsoll
) -> None:
    file = tmp_path / "stop_visits.csv"
    file.write_text(
        "service_date,trip_id_performed,trip_stop_sequence,pattern_id,vehicle_id,stop_id,actual_departure_time,"
        "boarding_1,alighting_1,departure_load\n"
        "2025-03-03,T1,1,P,1001,500,2025-03-03 07:00:00,4,0,4\n"
        "2025-03-03,T1,2,P,1001,501,2025-03-03 07:03:00,3,1,6\n"
        "2025-03-03,T1,3,P,1001,502,NA,NA,NA,NA\n"
    )

    done = plimsoll(
        "load", str(file), "--kind", "bus", "--hold", "300", "--tz", "America/New_York", "--tenant", tenant,
        "--map", "site_id=vehicle_id", "--map", "ts_device=actual_departure_time", "--map", "occupancy=departure_load",
        "--map", "in_count=boarding_1", "--map", "out_count=alighting_1", "--map", "stop_id=stop_id",
        "--map", "trip_id=trip_id_performed",
    )  # fmt: skip

    assert "2 rows landed, 1 rejected" in done.stdout
    rows = connection.execute(
        "SELECT site_id, stop_id, trip_id, in_count, out_count, occupancy, to_char(ts_device, 'HH24:MI')"
        " FROM raw.occupancy_events WHERE tenant_id = %s ORDER BY ts_device", [tenant],
    ).fetchall()  # fmt: skip
    assert rows == [("1001", "500", "T1", 4, 0, 4, "12:00"), ("1001", "501", "T1", 3, 1, 6, "12:03")]


def test_a_tides_passenger_events_table_is_loaded_as_the_documentation_says(
    tmp_path: Path, connection: psycopg.Connection, tenant: str, plimsoll: Plimsoll
) -> None:
    (tmp_path / "passenger_events.csv").write_text(
        "passenger_event_id,service_date,event_timestamp,trip_id_performed,trip_stop_sequence,event_type,vehicle_id,"
        "device_id,stop_id,event_count\n"
        "e1,2025-03-03,2025-03-03 07:00:00,T1,1,Vehicle arrived at stop,1001,apc-1,0500,\n"
        "e2,2025-03-03,2025-03-03 07:00:05,T1,1,Passenger boarded,1001,apc-1,0500,3\n"
        "e3,2025-03-03,2025-03-03 07:00:09,T1,1,Passenger alighted,1001,apc-1,0500,\n"
    )
    page = (PROJECT_DIR / "docs" / "ingest.md").read_text().split("`passenger_events` has one row")[1]
    script = page.split("```python\n")[1].split("```")[0]
    command = shlex.split(page.split("```\nplimsoll ")[1].split("```")[0].replace("\\\n", " "))
    assert command[:2] == ["load", "door_counts.parquet"]

    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, timeout=60)
    done = plimsoll("load", str(tmp_path / command[1]), *command[2:], "--tenant", tenant)

    assert "2 rows landed, 0 rejected" in done.stdout
    rows = connection.execute(
        "SELECT event_id, site_id, stop_id, in_count, out_count, device_id, to_char(ts_device, 'HH24:MI:SS')"
        " FROM raw.occupancy_events WHERE tenant_id = %s ORDER BY ts_device", [tenant],
    ).fetchall()  # fmt: skip
    assert rows == [
        ("e2", "1001", "0500", 3, 0, "apc-1", "12:00:05"), ("e3", "1001", "0500", 0, 1, "apc-1", "12:00:09"),
    ]  # fmt: skip
