"""One child process of the stack: in its own session, its output in a log file or here, guarded against our death."""

import contextlib
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Self

from plimsoll.stack.errors import StackError
from plimsoll.stack.guard import guard, wait_for_exit

_ROTATE_BYTES = 10 * 1024 * 1024
# As `nice` counts: a tenth of what a program at 0 gets that wants the processor at the same moment.
_BACKGROUND_NICE = 10
_FOLLOW_PAUSE_S = 0.2


class Child:
    """A running child process.

    It leads its own session, so Ctrl-C in the terminal reaches only us and we stop things in order; when this
    process dies, the guard stops the child and everything in its process group. As a context manager it does
    not outlive the block.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log_path: Path | None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        identity: tuple[int, int] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        grace_s: float = 10.0,
        background: bool = False,
    ) -> None:
        """Start `command`.

        Args:
            name: what people call it; used in messages.
            command: program and arguments.
            log_path: its standard output and error are appended here; None leaves them where ours go.
            env: variables added to this process's environment.
            cwd: its working directory.
            identity: user and group id to run it with (only root may choose).
            stop_signal: the polite signal to end it.
            grace_s: seconds between the polite signal and SIGKILL.
            background: it and what it starts leave the processor to others that want it.

        Raises:
            StackError: the program is not there or may not be run.
        """
        self.name = name
        self.log_path = log_path
        self._stop_signal = stop_signal
        self._grace_s = grace_s
        self._burial = threading.Lock()
        self._buried = False
        user, group = identity or (None, None)
        guard.start()
        with _open_log(log_path) as log:
            self._log_start = log.seek(0, os.SEEK_END) if log else 0
            try:
                self._process = subprocess.Popen(
                    list(command),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, **(env or {})},
                    cwd=cwd,
                    start_new_session=True,
                    user=user,
                    group=group,
                    extra_groups=None if identity is None else [],
                )
            except OSError as error:
                raise StackError(f"{name} did not start ({shlex.join(command)}): {error}") from error
        guard.protect(self.pid, stop_signal, grace_s)
        if background:
            _stand_back(self.pid)

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its process group."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        return self._process.poll()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for its end; return False when it still runs after `timeout_s`."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        self._bury()
        return True

    def stop(self) -> None:
        """Ask it to end, wait, and kill what is left of its process group."""
        if self.exit_code is None:
            self._process.send_signal(self._stop_signal)
            if not self.wait(self._grace_s):
                _kill_group(self.pid)
        self.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def follow(self) -> Iterator[str]:
        """Yield the lines that this run writes to its log until it has ended; none without a log."""
        if self.log_path is None:
            return
        with self.log_path.open(errors="replace") as log:
            log.seek(self._log_start)
            ended = False
            while not ended:
                ended = self.wait(_FOLLOW_PAUSE_S)
                yield from log

    def _bury(self) -> None:
        """Kill what a leader that has ended left of its group; once, for its id may go to others later."""
        with self._burial:
            if not self._buried:
                self._buried = True
                _kill_group(self.pid)
                guard.release(self.pid)

    def log_tail(self, lines: int = 15) -> str:
        """Return the last `lines` lines that this run wrote to its log."""
        if self.log_path is None:
            return ""
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            text = log.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def died(self) -> StackError:
        """Build the error that tells how it ended, with its last words."""
        how = f"{self.name} ended with {describe_exit(self.exit_code)}"
        if self.log_path is None:
            return StackError(how)
        return StackError(f"{how}; its last lines ({self.log_path}):\n{self.log_tail() or '(it wrote nothing)'}")


def describe_exit(code: int | None) -> str:
    """Say an exit code in words ("exit code 3", "signal SIGKILL")."""
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"


def is_alive(pid: int) -> bool:
    """Tell whether process `pid` runs; a zombie does not."""
    return not wait_for_exit(pid, 0)


def command_line(pid: int) -> str:
    """Return the command line of process `pid`, or an empty text when it is gone."""
    if Path("/proc/self").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    listed = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True)
    return listed.stdout


def _stand_back(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, pid, _BACKGROUND_NICE)
    # Linux may weigh sessions against each other first; the value of a process then counts only within its own.
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(_BACKGROUND_NICE))


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _open_log(path: Path | None) -> contextlib.AbstractContextManager[BinaryIO | None]:
    if path is None:
        return contextlib.nullcontext()
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > _ROTATE_BYTES:
        path.replace(path.with_suffix(path.suffix + ".1"))
    return path.open("ab")
