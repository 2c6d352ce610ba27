"""The guard: a small process that stops what its parent started when the parent is gone.

A parent that is killed with SIGKILL cannot clean up, and PR_SET_PDEATHSIG reaches only direct children and
fires when the *thread* that started them ends. So one guard per parent holds the list of process groups and
stops them, last started first, as soon as the parent ends for whatever reason.

This file is also run as a script, isolated and without site-packages: standard library only.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_KILL_WAIT_S = 5.0


def wait_for_exit(pid: int, timeout_s: float) -> bool:
    """Wait until process `pid` has ended (a zombie has); return False if it has not within `timeout_s`."""
    if not hasattr(os, "pidfd_open"):
        return _poll_for_exit(pid, timeout_s)
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        return bool(poller.poll(timeout_s * 1000))
    finally:
        os.close(descriptor)


def _poll_for_exit(pid: int, timeout_s: float) -> bool:
    """Do the same where the system has no process descriptors (macOS)."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.05)


def stop_group(pid: int, polite: int, grace_s: float) -> None:
    """Ask the leader `pid` of a process group to end, wait `grace_s`, then kill what is left of the group."""
    _send(os.kill, pid, polite)
    wait_for_exit(pid, grace_s)
    _send(os.killpg, pid, signal.SIGKILL)
    wait_for_exit(pid, _KILL_WAIT_S)


def _send(how: Callable[[int, int], None], pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        how(pid, number)


class Guard:
    """The parent's side: starts the guard process before the first group and keeps it informed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: dict[int, str] = {}
        self._pipe: int | None = None

    def start(self) -> None:
        """Start the guard process unless it runs, so that a child is not alone while the guard begins."""
        with self._lock:
            self._started()

    def protect(self, pid: int, polite: int, grace_s: float) -> None:
        """Have the group led by `pid` stopped when this process ends: `polite`, then SIGKILL."""
        line = f"+ {pid} {int(polite)} {grace_s}"
        with self._lock:
            self._groups[pid] = line
            self._tell(line)

    def release(self, pid: int) -> None:
        """Forget the group led by `pid`: it has been stopped."""
        with self._lock:
            if self._groups.pop(pid, None) is not None:
                self._tell(f"- {pid}")

    def _tell(self, line: str) -> None:
        try:
            self._write(line)
        except BrokenPipeError:
            # Somebody killed the guard: the next one is told everything.
            self._pipe = _start_guard_process()
            for known in self._groups.values():
                self._write(known)

    def _write(self, line: str) -> None:
        os.write(self._started(), f"{line}\n".encode())

    def _started(self) -> int:
        if self._pipe is None:
            self._pipe = _start_guard_process()
        return self._pipe


def _start_guard_process() -> int:
    """Start the guard and return the end of the pipe whose closing tells it that this process is gone."""
    reading, writing = os.pipe()
    program = [sys.executable, "-I", "-S", str(Path(__file__).resolve()), str(os.getpid())]
    process = subprocess.Popen(
        program,
        stdin=reading,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )
    os.close(reading)
    # It outlives us, so nobody will reap it; saying so keeps the interpreter from complaining.
    process.returncode = 0
    return writing


guard = Guard()


def _watch(parent_pid: int) -> None:
    """Follow the parent's messages until it is gone, then stop the groups that it left, last first."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: dict[int, tuple[int, float]] = {}
    for line in _messages(parent_pid):
        sign, pid, *how = line.split()
        if sign == "+":
            groups[int(pid)] = (int(how[0]), float(how[1]))
        else:
            groups.pop(int(pid), None)
    for group, (polite, grace_s) in reversed(groups.items()):
        stop_group(group, polite, grace_s)


def _messages(parent_pid: int) -> Iterator[str]:
    """Yield the lines of standard input until it closes or the parent dies.

    The parent is watched beside the pipe because a process that it forked may hold the pipe open.
    """
    poller = select.poll()
    poller.register(0, select.POLLIN | select.POLLHUP)
    if hasattr(os, "pidfd_open"):
        with contextlib.suppress(ProcessLookupError):
            poller.register(os.pidfd_open(parent_pid), select.POLLIN)
    rest = b""
    while True:
        ready = dict(poller.poll())
        if 0 in ready:
            chunk = os.read(0, 65536)
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (line.decode() for line in lines)
            if not chunk:
                return
        elif ready:
            return


if __name__ == "__main__":
    _watch(int(sys.argv[1]))
