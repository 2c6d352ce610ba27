"""The ways to people: the log, and whatever Apprise can reach (webhooks, e-mail and a hundred services)."""

from __future__ import annotations

import logging
from collections.abc import Callable

from plimsoll.errors import PlimsollError

log = logging.getLogger("plimsoll.alerts")
LOG = "log"
_TYPES = {"critical": "failure", "high": "failure", "warning": "warning"}

Send = Callable[[str, str, str, str], str | None]
"""Sends title, body, state and severity; returns what went wrong, or None."""


def channels(configured: str) -> dict[str, Send]:
    """The channels by name; the log is always one.

    Args:
        configured: `name=URL` for each, separated by blanks; the URLs are Apprise's and may hold secrets.

    Raises:
        PlimsollError: an entry cannot be read; the message names it and never shows its URL.
    """
    found: dict[str, Send] = {LOG: _to_log}
    for entry in configured.split():
        name, equals, url = entry.partition("=")
        if not equals or not name.isidentifier() or name in found:
            raise PlimsollError(
                "PLIMSOLL_ALERT_CHANNELS: give name=URL for each channel, separated by blanks, each name once, "
                "such as hook=jsons://example.org/alerts mail=mailtos://user:password@example.org?to=ops@example.org"
            )
        found[name] = _by_apprise(name, url)
    return found


def _to_log(title: str, body: str, state: str, severity: str) -> None:
    log.log(logging.INFO if state == "resolved" else logging.WARNING, "%s: %s", title, " ".join(body.splitlines()))


def _by_apprise(name: str, url: str) -> Send:
    import apprise

    target = apprise.Apprise()
    if not target.add(url):
        raise PlimsollError(f"PLIMSOLL_ALERT_CHANNELS: Apprise does not know the kind of URL of channel {name!r}")

    def send(title: str, body: str, state: str, severity: str) -> str | None:
        kind = "success" if state == "resolved" else _TYPES[severity]
        with apprise.LogCapture(level=logging.WARNING) as said:  # type: ignore[no-untyped-call]
            if target.notify(title=title, body=body, notify_type=apprise.NotifyType(kind)):
                return None
            return said.getvalue().strip() or "not delivered, and no reason given"

    return send
