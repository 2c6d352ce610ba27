import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from plimsoll.stack.errors import NoBrokerError, StackError
from plimsoll.stack.guard import wait_for_exit
from plimsoll.stack.kafka import broker_answers
from plimsoll.stack.local import LocalStack, require_database
from plimsoll.stack.ports import free_port

pytestmark = pytest.mark.integration

HOLDS_A_STACK = """
import sys
from pathlib import Path
from plimsoll.stack.local import LocalStack, require_database
ports = [int(word) for word in sys.argv[2:]]
names = ("postgres_port", "kafka_port", "kafka_controller_port")
with LocalStack(Path(sys.argv[1]), **dict(zip(names, ports))):
    print("up", flush=True)
    sys.stdin.read()
"""


def own_stack(state_dir: Path, **given: Any) -> LocalStack:
    return LocalStack(
        state_dir, postgres_port=free_port(), kafka_port=free_port(), kafka_controller_port=free_port(), **given
    )


def server_pids(state_dir: Path) -> list[int]:
    files = (state_dir / "kafka" / "broker.pid", state_dir / "postgres" / "data" / "postmaster.pid")
    return [int(file.read_text().split()[0]) for file in files]


def test_both_servers_come_up_serve_a_second_stack_as_outside_servers_and_stop(state_dir: Path) -> None:
    with own_stack(state_dir) as stack:
        outside = LocalStack(
            state_dir / "other", database_url=stack.database_url, bootstrap_servers=stack.bootstrap_servers
        )
        with outside:
            assert outside.database_url == stack.database_url
            assert outside.bootstrap_servers == stack.bootstrap_servers
            assert not outside.postgres.is_running()
            assert not outside.kafka.is_running()

        psycopg.connect(stack.database_url).close()
        assert broker_answers(stack.bootstrap_servers)
        pids = server_pids(state_dir)

    assert all(wait_for_exit(pid, 0) for pid in pids)
    with pytest.raises(StackError, match="not running"):
        _ = stack.database_url


def test_one_server_that_cannot_start_stops_the_other(state_dir: Path) -> None:
    stack = own_stack(state_dir)

    with (
        socket.create_server(("127.0.0.1", stack.kafka.port)),
        pytest.raises(StackError, match="PLIMSOLL_KAFKA_PORT"),
    ):
        stack.start()

    assert not stack.postgres.is_running()
    assert not stack.kafka.is_running()


@pytest.mark.parametrize(
    ("outside", "sentence"),
    [
        (
            {"bootstrap_servers": "127.0.0.1:1"},
            "no Kafka broker answers at KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:1",
        ),
        (
            {"database_url": "postgresql://me:secret@127.0.0.1:1/x"},
            "the database of DATABASE_URL does not let us in",
        ),
    ],
)
def test_outside_server_that_does_not_answer_is_named(state_dir: Path, outside: dict[str, str], sentence: str) -> None:
    stack = own_stack(state_dir, **outside)

    with pytest.raises(StackError, match=sentence) as refused:
        stack.start()

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("needs_broker", [True, False])
def test_where_no_kafka_can_be_had_it_is_told_and_done_without_if_allowed(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch, needs_broker: bool
) -> None:
    monkeypatch.setenv("PATH", str(state_dir))  # no Java there
    said: list[str] = []
    stack = own_stack(state_dir, needs_broker=needs_broker, say=said.append)

    if needs_broker:
        with pytest.raises(NoBrokerError, match="no `java` is on the PATH"):
            stack.start()
        return
    with stack:
        require_database(stack.database_url)
        assert not stack.has_broker
    assert any("three ways to get a broker" in sentence for sentence in said)


def test_own_addresses_from_the_environment_are_no_outside_servers(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(state_dir))  # no Java there
    first = own_stack(state_dir, needs_broker=False)
    with first:
        exported = {"database_url": first.database_url, "bootstrap_servers": first.kafka.bootstrap_servers}
    ports = {"postgres_port": first.postgres.port, "kafka_port": first.kafka.port}

    with LocalStack(state_dir, needs_broker=False, **ports, **exported) as again:
        assert again.postgres.is_running()
        assert not again.has_broker


def test_second_stack_is_refused_and_a_killed_one_leaves_no_server(state_dir: Path) -> None:
    ports = [str(free_port()) for _ in range(3)]
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS_A_STACK, str(state_dir), *ports],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "up\n"
        pids = server_pids(state_dir)

        with pytest.raises(StackError, match=rf"another stack \(process {holder.pid}\) already uses"):
            own_stack(state_dir).start()
        assert not any(wait_for_exit(pid, 0) for pid in pids)

        os.kill(holder.pid, signal.SIGKILL)
        assert all(wait_for_exit(pid, 20) for pid in pids)
