import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from plimsoll.stack import supervisor as supervisor_module
from plimsoll.stack.errors import StackError
from plimsoll.stack.guard import wait_for_exit
from plimsoll.stack.ports import free_port
from plimsoll.stack.readiness import http_ready, port_ready
from plimsoll.stack.supervisor import Supervisor

pytestmark = pytest.mark.integration

# Ends politely on SIGTERM and writes when; has a grandchild that does not listen.
PARENT = """
import json, os, pathlib, signal, subprocess, sys
deaf = "from signal import *; signal(SIGTERM, SIG_IGN); print('deaf', flush=True); pause()"
grandchild = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
grandchild.stdout.readline()
def end(number, frame):
    with open(sys.argv[2], "a") as order:
        order.write(sys.argv[1] + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
pathlib.Path(sys.argv[1] + ".partial").write_text(json.dumps([os.getpid(), grandchild.pid]))
os.rename(sys.argv[1] + ".partial", sys.argv[1])
signal.pause()
"""

SUPERVISES = """
import sys
from pathlib import Path
from plimsoll.stack.supervisor import Supervisor
state_dir, program = Path(sys.argv[1]), sys.argv[2]
with Supervisor(state_dir) as supervisor:
    for name in ("first", "second"):
        pids = state_dir / name
        command = [sys.executable, "-c", program, str(pids), str(state_dir / "order")]
        supervisor.start(name, command, ready=pids.exists)
    print("up", flush=True)
    supervisor.wait()
"""


def start_family(supervisor: Supervisor, state_dir: Path, name: str) -> list[int]:
    pids = state_dir / name
    command = [sys.executable, "-c", PARENT, str(pids), str(state_dir / "order")]
    supervisor.start(name, command, ready=pids.exists)
    return json.loads(pids.read_text())


def test_leaving_stops_whole_groups_last_started_first(state_dir: Path) -> None:
    with Supervisor(state_dir) as supervisor:
        pids = [pid for name in ("first", "second") for pid in start_family(supervisor, state_dir, name)]
        assert not any(wait_for_exit(pid, 0) for pid in pids)

    assert all(wait_for_exit(pid, 1) for pid in pids)
    assert [Path(line).name for line in (state_dir / "order").read_text().split()] == ["second", "first"]


def test_child_that_ignores_sigterm_is_killed_after_its_grace(state_dir: Path) -> None:
    deaf = "from signal import *; signal(SIGTERM, SIG_IGN); print('deaf', flush=True); pause()"
    with Supervisor(state_dir) as supervisor:
        log = state_dir / "logs" / "deaf.log"
        command = [sys.executable, "-c", deaf]
        child = supervisor.start("deaf", command, ready=lambda: "deaf" in log.read_text(), grace_s=0.2)

    assert child.exit_code == -signal.SIGKILL


def test_background_program_stands_behind_others(state_dir: Path) -> None:
    with Supervisor(state_dir) as supervisor:
        command = [sys.executable, "-c", "import signal; signal.pause()"]
        background = supervisor.start("background", command, background=True)
        ordinary = supervisor.start("ordinary", command)
        priority = {child.name: os.getpriority(os.PRIO_PROCESS, child.pid) for child in (background, ordinary)}
        autogroup = Path(f"/proc/{background.pid}/autogroup")
        if autogroup.exists():
            assert autogroup.read_text().split()[-1] == str(priority["background"])

    assert priority["background"] > priority["ordinary"] == os.getpriority(os.PRIO_PROCESS, 0)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_supervisor_ended_by_a_signal_leaves_no_process(state_dir: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISES, str(state_dir), PARENT],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        pids = [pid for name in ("first", "second") for pid in json.loads((state_dir / name).read_text())]

        process.send_signal(number)

        assert all(wait_for_exit(pid, 10) for pid in pids)
        assert process.wait(10) != 0


def test_child_that_dies_before_it_is_ready_fails_at_once_with_its_last_lines(state_dir: Path) -> None:
    dying = "print('reading settings'); print('boom: no such table'); raise SystemExit(3)"
    with Supervisor(state_dir) as supervisor, pytest.raises(StackError) as failed:
        supervisor.start("lander", [sys.executable, "-c", dying], ready=lambda: False, ready_timeout_s=60)

    assert str(failed.value).startswith("lander ended with exit code 3; its last lines")
    assert str(failed.value).endswith("reading settings\nboom: no such table")


def test_child_that_is_not_ready_in_time_is_told_with_its_last_lines(state_dir: Path) -> None:
    slow = "import signal; print('still loading', flush=True); signal.pause()"
    log = state_dir / "logs" / "api.log"

    def never_ready() -> bool:
        return not log.exists()

    with (
        Supervisor(state_dir) as supervisor,
        pytest.raises(StackError, match="not ready after 1 s") as failed,
    ):
        supervisor.start("api", [sys.executable, "-c", slow], ready=never_ready, ready_timeout_s=1)

    assert "still loading" in str(failed.value)


def test_program_that_does_not_exist_is_named(state_dir: Path) -> None:
    with (
        Supervisor(state_dir) as supervisor,
        pytest.raises(StackError, match=r"ui did not start \(no-such-program"),
    ):
        supervisor.start("ui", ["no-such-program"])


def test_readiness_is_seen_over_http_and_tcp_past_a_proxy(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    assert not port_ready(port)()
    with Supervisor(state_dir) as supervisor:
        supervisor.start("pages", command, ready=http_ready(f"http://127.0.0.1:{port}/"))
        assert port_ready(port)()
        assert not http_ready(f"http://127.0.0.1:{port}/absent")()


def test_crashed_child_is_started_again(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "_FIRST_PAUSE_S", 0.01)
    said: list[str] = []
    runs = state_dir / "runs"
    crashes_twice = f"""
import os, pathlib, signal
runs = pathlib.Path({str(runs)!r})
runs.open("a").write("run\\n")
if len(runs.read_text().split()) < 3:
    os.kill(os.getpid(), signal.SIGKILL)
pathlib.Path({str(state_dir / "steady")!r}).touch()
signal.pause()
"""
    steady = threading.Event()
    with Supervisor(state_dir, said.append) as supervisor:
        supervisor.start("lander", [sys.executable, "-c", crashes_twice])
        for _ in range(100):
            if (state_dir / "steady").exists():
                break
            steady.wait(0.1)
        supervisor.wait(0)

    assert runs.read_text().split() == ["run"] * 3
    assert said == [
        "lander ended with signal SIGKILL; starting it again in 0.01 s",
        "lander ended with signal SIGKILL; starting it again in 0.02 s",
    ]


def test_child_that_crashes_again_and_again_is_given_up(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "_FIRST_PAUSE_S", 0.01)
    said: list[str] = []
    with Supervisor(state_dir, said.append) as supervisor:
        supervisor.start("lander", [sys.executable, "-c", "raise SystemExit('no broker')"])
        with pytest.raises(StackError, match="lander ended with exit code 1") as failed:
            supervisor.wait(30)

    assert str(failed.value).endswith("no broker")
    assert said[-1] == "lander crashed 6 times in a row and is given up"


def test_one_shot_that_succeeds_is_no_failure_and_one_that_fails_is(state_dir: Path) -> None:
    with Supervisor(state_dir) as supervisor:
        supervisor.start("migrate", [sys.executable, "-c", ""], restart=False).wait()
        supervisor.wait(0.2)
        supervisor.start("load", [sys.executable, "-c", "raise SystemExit(2)"], restart=False)
        with pytest.raises(StackError, match="load ended with exit code 2"):
            supervisor.wait(10)


def test_two_supervisors_of_two_processes_do_not_share_a_state_directory(state_dir: Path) -> None:
    with Supervisor(state_dir):
        second = subprocess.run(
            [sys.executable, "-c", SUPERVISES, str(state_dir), PARENT], capture_output=True, text=True
        )

    assert second.returncode != 0
    assert f"another stack (process {os.getpid()}) already uses {state_dir}" in second.stderr
