"""TCP ports on the loopback address: is one free, and which one is."""

import random
import socket

from plimsoll.stack.errors import StackError

LOOPBACK = "127.0.0.1"

# Below the range that Linux hands out to outgoing connections (32768 and up), so that no client
# socket can take a port between the moment it is chosen and the moment its server binds it.
_FIRST, _LAST = 20_000, 32_000
_handed_out: set[int] = set()


def is_free(port: int) -> bool:
    """Tell whether a server could listen on `port` of the loopback address now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Servers set this too: connections in TIME_WAIT from an earlier run do not hold a port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def require_free(port: int, what: str, setting: str) -> None:
    """Raise StackError unless `port` is free.

    Args:
        port: the TCP port that a server is about to listen on.
        what: who needs it, as a person would say it ("PostgreSQL").
        setting: the environment variable that chooses another port.
    """
    if not is_free(port):
        raise StackError(f"port {port} is taken (needed by {what}): set {setting} to a free one")


def free_port() -> int:
    """Return a port that is free now and that this function has not returned before in this process."""
    for port in random.sample(range(_FIRST, _LAST), k=1_000):
        if port not in _handed_out and is_free(port):
            _handed_out.add(port)
            return port
    raise StackError(f"no free port was found between {_FIRST} and {_LAST}")
