"""Runs the stack's long-lived programs: start, await readiness, restart after a crash, stop in order."""

import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from plimsoll.stack.errors import StackError
from plimsoll.stack.lock import StateLock
from plimsoll.stack.process import Child, describe_exit
from plimsoll.stack.readiness import Probe, await_ready

# Crashes in a row, each soon after the last start, that end the attempts.
_MAX_CRASHES = 5
_FIRST_PAUSE_S = 0.5
_STEADY_AFTER_S = 60.0

_ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class _Program:
    name: str
    command: Sequence[str]
    log_path: Path
    env: Mapping[str, str]
    cwd: Path | None
    grace_s: float
    background: bool

    def launch(self) -> Child:
        return Child(
            self.name,
            self.command,
            log_path=self.log_path,
            env={"PYTHONUNBUFFERED": "1", **self.env},
            cwd=self.cwd,
            grace_s=self.grace_s,
            background=self.background,
        )


class Supervisor:
    """Runs named programs on one state directory and leaves none behind.

    Use it as a context manager in the main thread: SIGTERM and a closed terminal (SIGHUP) then unwind the
    block like Ctrl-C does, and on leaving it every program is stopped, last started first. Should this
    process be killed, the guard process stops them.

    Args:
        state_dir: logs go to `logs/<name>.log` below it; one stack at a time.
        say: told in a sentence when a program crashed, was started again or was given up.
    """

    def __init__(self, state_dir: Path, say: Callable[[str], None] = lambda text: None) -> None:
        self._log_dir = state_dir / "logs"
        self._say = say
        self._lock = StateLock(state_dir)
        self._watchers: list[_Watcher] = []
        self._stopping = threading.Event()
        self._failed = threading.Event()
        self._old_handlers: dict[signal.Signals, Any] = {}

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        ready: Probe | None = None,
        ready_timeout_s: float = 60.0,
        restart: bool = True,
        grace_s: float = 10.0,
        background: bool = False,
    ) -> Child:
        """Start a program and wait until it is ready.

        Args:
            name: what people call it; also the name of its log file.
            command: program and arguments.
            env: variables added to this process's environment.
            cwd: its working directory.
            ready: a probe such as `http_ready(url)` or `port_ready(port)`; None does not wait.
            ready_timeout_s: seconds that it may take to become ready.
            restart: start it again when it ends by itself; for programs that are to run until the end.
            grace_s: seconds between SIGTERM and SIGKILL when it is stopped.
            background: it and what it starts leave the processor to others that want it.

        Returns:
            The child; after a crash another one takes its place.

        Raises:
            StackError: it ended or was not ready in time; with its last log lines.
        """
        program = _Program(name, command, self._log_dir / f"{name}.log", env or {}, cwd, grace_s, background)
        watcher = _Watcher(program, restart, self._stopping, self._failed, self._say)
        self._watchers.append(watcher)
        if ready is not None:
            await_ready(watcher.child, ready, ready_timeout_s)
        watcher.start()
        return watcher.child

    def wait(self, timeout_s: float | None = None) -> None:
        """Block until a program is given up, a signal arrives, or `timeout_s` has passed.

        Raises:
            StackError: a program crashed too often, or one that is not restarted failed.
        """
        self._failed.wait(timeout_s)
        for watcher in self._watchers:
            if watcher.failure is not None:
                raise watcher.failure

    def stop(self) -> None:
        """Stop every program, last started first."""
        self._stopping.set()
        for watcher in reversed(self._watchers):
            watcher.stop()
        self._watchers.clear()

    def __enter__(self) -> Self:
        self._lock.acquire()
        if threading.current_thread() is threading.main_thread():
            for number in _ENDING_SIGNALS:
                self._old_handlers[number] = signal.signal(number, _unwind)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Impatient Ctrl-C must not leave half of it running; every stop has a bound.
        if self._old_handlers:
            self._old_handlers[signal.SIGINT] = signal.getsignal(signal.SIGINT)
            for number in self._old_handlers:
                signal.signal(number, signal.SIG_IGN)
        try:
            self.stop()
        finally:
            for number, handler in self._old_handlers.items():
                signal.signal(number, handler)
            self._old_handlers.clear()
            self._lock.release()


class _Watcher(threading.Thread):
    """Watches one program from its first start to its last."""

    def __init__(
        self,
        program: _Program,
        restart: bool,
        stopping: threading.Event,
        failed: threading.Event,
        say: Callable[[str], None],
    ) -> None:
        super().__init__(name=f"watch {program.name}", daemon=True)
        self._program = program
        self._restart = restart
        self._stopping = stopping
        self._failed = failed
        self._say = say
        self._swap = threading.Lock()
        self.failure: StackError | None = None
        self.child = program.launch()

    def run(self) -> None:
        crashes = 0
        while True:
            started = time.monotonic()
            self.child.wait()
            if self._stopping.is_set() or (not self._restart and self.child.exit_code == 0):
                return
            crashes = 1 if time.monotonic() - started > _STEADY_AFTER_S else crashes + 1
            if not self._restart or crashes > _MAX_CRASHES:
                self._give_up(crashes)
                return
            if not self._start_again(_FIRST_PAUSE_S * 2 ** (crashes - 1)):
                return

    def stop(self) -> None:
        """Stop the program; the event `stopping` is set before."""
        with self._swap:
            self.child.stop()

    def _start_again(self, pause_s: float) -> bool:
        how = describe_exit(self.child.exit_code)
        self._say(f"{self._program.name} ended with {how}; starting it again in {pause_s:g} s")
        if self._stopping.wait(pause_s):
            return False
        with self._swap:
            if self._stopping.is_set():
                return False
            self.child = self._program.launch()
        return True

    def _give_up(self, crashes: int) -> None:
        self.failure = self.child.died()
        if self._restart:
            self._say(f"{self._program.name} crashed {crashes} times in a row and is given up")
        self._failed.set()


def _unwind(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
