"""The headers of dead letters: Kafka Connect's names for what went wrong, and a few of ours in the same manner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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
