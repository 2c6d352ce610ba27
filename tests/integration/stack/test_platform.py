"""`plimsoll up` as a person runs it, until its servers are there: what it finds, what it leaves."""

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from plimsoll.settings import STACK_ENV
from plimsoll.stack.demo import MAIN_JOB
from plimsoll.stack.guard import wait_for_exit
from plimsoll.stack.lock import StateLock
from plimsoll.stack.ports import free_port

pytestmark = pytest.mark.integration

SERVERS_ARE_UP = "Tables and topics"

# Nobody can stop a child between its first instant and the guard's hearing of it.
RUNS_A_STEP = """
import sys
from rich.console import Console
from plimsoll.settings import Settings
from plimsoll.stack.demo import Platform
from plimsoll.stack.guard import guard
from plimsoll.stack.supervisor import Supervisor
def protect(*group, tell=guard.protect):
    tell(*group)
    print("guarded", flush=True)
guard.protect = protect
settings = Settings.load()
with Supervisor(settings.home) as supervisor:
    platform = Platform(settings, Console(), supervisor, {"PYTHONPATH": sys.argv[1]})
    getattr(platform, sys.argv[2])(*sys.argv[3:])
"""


@pytest.fixture
def environment(state_dir: Path) -> dict[str, str]:
    """Of a shell that knows nothing but home and ports; no Java, as PostgreSQL alone starts sooner."""
    ports = ("POSTGRES", "KAFKA", "KAFKA_CONTROLLER", "API", "DAGSTER", "MQTT", "LANDER_METRICS", "MQTT_METRICS")
    outside = ("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS", "MQTT_URL")
    inherited = {name: value for name, value in os.environ.items() if name not in outside}
    own = {"PLIMSOLL_HOME": str(state_dir), "PATH": str(state_dir)}
    return inherited | own | {f"PLIMSOLL_{name}_PORT": str(free_port()) for name in ports}


@contextmanager
def platform_up(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """`plimsoll up` once its servers are up; ended with SIGTERM unless it has ended."""
    with subprocess.Popen(
        [sys.executable, "-m", "plimsoll", "up"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if SERVERS_ARE_UP in line:
                break
        else:
            pytest.fail(f"plimsoll up ended:\n{''.join(said)}")
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.stdout.read()


def test_killed_stack_starts_again_on_other_ports(environment: dict[str, str], state_dir: Path) -> None:
    with platform_up(environment) as killed:
        server = int((state_dir / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
        killed.send_signal(signal.SIGKILL)
        assert wait_for_exit(server, 30)
    left = (state_dir / STACK_ENV).read_text()
    port = str(free_port())

    with platform_up(environment | {"PLIMSOLL_POSTGRES_PORT": port}):
        assert port in (state_dir / STACK_ENV).read_text()
    assert port not in left
    assert not (state_dir / STACK_ENV).exists()


def test_second_stack_is_told_of_the_first_and_not_of_its_ports(environment: dict[str, str], state_dir: Path) -> None:
    with StateLock(state_dir), socket.create_server(("127.0.0.1", int(environment["PLIMSOLL_API_PORT"]))):
        second = subprocess.run(
            [sys.executable, "-m", "plimsoll", "up"], env=environment, capture_output=True, text=True
        )

    assert second.returncode == 1
    assert f"another stack (process {os.getpid()}) already uses {state_dir}" in second.stderr


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("step", [("run", "simulate", "history"), ("run_job", MAIN_JOB)])
def test_step_ends_with_the_platform(
    environment: dict[str, str], state_dir: Path, step: tuple[str, str], number: signal.Signals
) -> None:
    never_written = state_dir / "never_written"
    os.mkfifo(never_written)
    (state_dir / "sitecustomize.py").write_text(f"open({str(never_written)!r}).read()")
    with (
        subprocess.Popen(
            [sys.executable, "-c", RUNS_A_STEP, str(state_dir), *step],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
        never_written.open("wb") as pipe,  # opens once the step reads
    ):
        assert process.stdout is not None
        assert process.stdout.readline() == "guarded\n"
        reader = select.poll()
        reader.register(pipe, select.POLLERR)
        assert not reader.poll(0)

        process.send_signal(number)

        assert reader.poll(5_000), "the step is still there"
        assert process.wait(10) in (128 + number, -number)


def plimsoll_forget(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "plimsoll", "forget"], env=environment, capture_output=True, text=True)


def test_forgetting_leaves_alone_what_is_not_the_stacks(environment: dict[str, str], state_dir: Path) -> None:
    home = state_dir / "home"
    for name in ("logs/api.log", "dagster/dagster.yaml", "kafka/cluster.id", "postgres.password", "notes.txt"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).touch()

    shared = plimsoll_forget(environment | {"PLIMSOLL_HOME": str(home)})
    assert [path.name for path in home.iterdir()] == ["notes.txt"]
    assert "notes.txt" in shared.stdout

    (home / "notes.txt").unlink()
    assert plimsoll_forget(environment | {"PLIMSOLL_HOME": str(home)}).stdout == "forgotten\n"
    assert not home.exists()


def test_forgetting_says_what_it_cannot_remove(environment: dict[str, str], state_dir: Path) -> None:
    (state_dir / "elsewhere").mkdir()
    (state_dir / "logs").symlink_to(state_dir / "elsewhere")

    forgotten = plimsoll_forget(environment)

    assert forgotten.returncode == 1
    assert "could be removed" in forgotten.stderr
    assert "forgotten" not in forgotten.stdout
