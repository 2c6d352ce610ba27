"""The headers of dead letters: Kafka Connect's names for what went wrong, and a few of ours in the same manner.

And how much of a message fits beside them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

# Kafka's default limit of 1 MiB is for key, value and headers together, and an MQTT topic may have 64 kB.
LONGEST_WHOLE = 960_000
"""Bytes of key and value up to which a dead letter is the whole message."""
KEPT_OF_LONGER = 65_536
"""Bytes that are kept of the key and of the value of a longer one, which the fact `truncated` says."""
_PREFIX = "__connect.errors."

Headers = list[tuple[str, bytes]]


def to_headers(facts: Mapping[str, object]) -> Headers:
    """Facts such as topic, stage, class.name, exception.message as a message's headers."""
    return [(_PREFIX + name, str(value).encode("utf-8", "replace")) for name, value in facts.items()]


def from_headers(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, str]:
    """The facts that a message's headers tell."""
    return {
        name.removeprefix(_PREFIX): value.decode("utf-8", "replace")
        for name, value in headers
        if value is not None and name.startswith(_PREFIX)
    }
