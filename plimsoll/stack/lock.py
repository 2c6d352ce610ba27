"""The lock on a state directory: one stack at a time."""

import fcntl
import os
import select
import signal
import time
from pathlib import Path
from typing import Self

from plimsoll.stack.errors import StackError

LOCK = "stack.lock"
_held: dict[Path, tuple[int, int]] = {}


class StateLock:
    """Holds a state directory for this process; nested holds within one process are counted.

    The kernel drops the lock when the process ends in whatever way, so there is never a stale one.
    """

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir.resolve() / LOCK

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            StackError: another process holds it.
        """
        descriptor, holds = _held.get(self._path, (-1, 0))
        if not holds:
            descriptor = self._open()
        _held[self._path] = (descriptor, holds + 1)

    def release(self) -> None:
        """Give back one hold; the last one frees the directory."""
        descriptor, holds = _held.pop(self._path)
        if holds > 1:
            _held[self._path] = (descriptor, holds - 1)
        else:
            os.close(descriptor)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _open(self) -> int:
        make_state_dir(self._path.parent)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 32).decode().strip() or "unknown"
            os.close(descriptor)
            raise StackError(
                f"another stack (process {owner}) already uses {self._path.parent}: stop it first, "
                "or set PLIMSOLL_HOME to another directory"
            ) from None
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        return descriptor


def make_state_dir(path: Path) -> None:
    """Create a state directory that other accounts may pass through: PostgreSQL's must reach its data."""
    if not path.exists():
        path.mkdir(parents=True)
        path.chmod(0o755)


def stop_owner(state_dir: Path, timeout_s: float = 60.0) -> bool:
    """Ask the process that holds a state directory to stop, and wait until it has; False if none holds it.

    Raises:
        StackError: it did not stop in time.
    """
    path = state_dir.resolve() / LOCK
    if not path.exists():
        return False
    descriptor = os.open(path, os.O_RDWR)
    try:
        asked = False
        deadline = time.monotonic() + timeout_s
        while not _free(descriptor):
            if not asked:
                os.kill(int(os.pread(descriptor, 32, 0)), signal.SIGTERM)
                asked = True
            if time.monotonic() > deadline:
                raise StackError(f"the stack on {state_dir} did not stop within {timeout_s:.0f} s")
            select.select([], [], [], 0.1)
        return asked
    finally:
        os.close(descriptor)


def _free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
