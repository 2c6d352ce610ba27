"""Prometheus metrics of a process that has no HTTP of its own: served at `/metrics` by a thread beside its work."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

log = logging.getLogger(__name__)


def new_registry() -> CollectorRegistry:
    """A registry with nothing in it; a process has one, a test as many as it likes."""
    from prometheus_client import CollectorRegistry, disable_created_metrics

    disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for every counter, which nobody reads
    return CollectorRegistry()


def serve(registry: CollectorRegistry, host: str, port: int, setting: str) -> None:
    """Answer `GET /metrics` until the process ends; port 0 is off.

    A port that is taken is said and not an error: the process has more important work.

    Args:
        registry: what to show.
        host: the address to listen on.
        port: the TCP port.
        setting: the variable that the port came from, for the person who reads the log.
    """
    from prometheus_client import start_http_server

    if port == 0:
        return
    try:
        start_http_server(port, host, registry)
    except OSError as error:
        log.warning("no metrics: %s:%d cannot be listened on (%s); %s chooses another port, 0 none",
                    host, port, error.strerror, setting)  # fmt: skip
        return
    log.info("metrics at http://%s:%d/metrics", host, port)
