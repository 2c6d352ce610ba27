"""Does a Kafka broker answer? Asked on a bare socket, before a client is built.

kafka-python's clients start a thread before they connect, and leave it and its descriptors behind when nobody answers:
whoever asks again and again while Kafka is away would run out of them.
"""

from __future__ import annotations

import socket
import struct

from plimsoll.errors import PlimsollError

# An ApiVersions request, version 0 (KIP-35): the one request that every broker answers to anybody who connects.
_CLIENT_ID = b"plimsoll-probe"
_API_VERSIONS = struct.pack(">hhih", 18, 0, 1, len(_CLIENT_ID)) + _CLIENT_ID
_LONGEST_ANSWER = 65_536


def speaks_kafka(server: str, timeout_s: float = 1.0) -> bool:
    """Whether a broker answers at `host:port`; `timeout_s` is for each step of the exchange."""
    try:
        host, _, port = server.strip().rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port)), timeout_s) as connection:
            connection.sendall(struct.pack(">i", len(_API_VERSIONS)) + _API_VERSIONS)
            size, correlation_id = struct.unpack(">ii", connection.recv(8, socket.MSG_WAITALL))
            return bool(correlation_id == 1 and 0 < size < _LONGEST_ANSWER)
    except (OSError, ValueError, struct.error):
        return False


def require_broker(bootstrap_servers: str) -> None:
    """Return if a broker answers at one of `host:port[,host:port]`.

    Raises:
        PlimsollError: none does.
    """
    if not any(map(speaks_kafka, bootstrap_servers.split(","))):
        raise PlimsollError(f"Kafka at {bootstrap_servers} cannot be reached: no broker answers")
