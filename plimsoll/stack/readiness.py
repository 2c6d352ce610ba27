"""Waiting until a child is ready: probes, and the wait that notices when the child dies instead."""

import socket
import time
from collections.abc import Callable

from plimsoll.stack.errors import StackError
from plimsoll.stack.ports import LOOPBACK
from plimsoll.stack.process import Child

Probe = Callable[[], bool]

_PAUSE_S = 0.05


def http_ready(url: str) -> Probe:
    """Return a probe that is true once a GET of `url` answers with a 2xx status, asked past any proxy."""

    def probe() -> bool:
        import httpx

        try:
            return httpx.get(url, timeout=2, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    return probe


def port_ready(port: int, host: str = LOOPBACK) -> Probe:
    """Return a probe that is true once something accepts connections on `port`."""

    def probe() -> bool:
        try:
            with socket.create_connection((host, port), timeout=1):
                return True
        except OSError:
            return False

    return probe


def await_ready(child: Child, ready: Probe, timeout_s: float) -> None:
    """Wait until `ready` is true.

    Raises:
        StackError: the child ended first, or `timeout_s` passed; with its last log lines.
    """
    deadline = time.monotonic() + timeout_s
    while not ready():
        if child.wait(_PAUSE_S):
            raise child.died()
        if time.monotonic() > deadline:
            raise StackError(
                f"{child.name} was not ready after {timeout_s:.0f} s; its last lines ({child.log_path}):\n"
                f"{child.log_tail() or '(it wrote nothing)'}"
            )
    if child.exit_code is not None:
        # Something else answers in its place, such as an older server on the same port.
        raise child.died()
