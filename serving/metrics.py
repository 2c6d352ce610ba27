"""The API's Prometheus metrics: requests are counted as they are answered, the platform's figures read when asked."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from prometheus_client import Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plimsoll.metrics import new_registry

MEDIA_TYPE = CONTENT_TYPE_PLAIN_0_0_4
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

Labels = Mapping[str, str]
Families = Iterable[GaugeMetricFamily]


class RequestMetrics:
    """Counts and times of requests by method, route template and status: few series however many sites there are."""

    def __init__(self) -> None:
        self.registry = new_registry()
        self._counts = Counter(
            "plimsoll_http_requests", "Requests answered, by method, route and status.", ["method", "route", "status"],
            registry=self.registry,
        )  # fmt: skip
        self._durations = Histogram(
            "plimsoll_http_request_duration_seconds", "Time to the end of the answer, by route.", ["route"],
            buckets=BUCKETS_S, registry=self.registry,
        )  # fmt: skip

    def observe(self, method: str, route: str, status: int, duration_s: float) -> None:
        """Count one answered request."""
        self._counts.labels(method, route, str(status)).inc()
        self._durations.labels(route).observe(duration_s)


class CountRequests:
    """ASGI middleware that tells `RequestMetrics` of every HTTP request."""

    def __init__(self, app: ASGIApp, metrics: RequestMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and look at the status of the answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            # Paths that no route matches are one label: a scanner must not fill the memory.
            route = getattr(scope.get("route"), "path_format", "unmatched")
            self._metrics.observe(scope["method"], route, status, time.perf_counter() - started)


def gauge(name: str, text: str, values: Iterable[tuple[Labels, float | None]]) -> GaugeMetricFamily:
    """A gauge with its values; what is not known is left out, which Prometheus shows as absent."""
    known = [(labels, value) for labels, value in values if value is not None]
    family = GaugeMetricFamily(name, text, labels=list(known[0][0]) if known else [])
    for labels, value in known:
        family.add_metric(list(labels.values()), value)
    return family


def exposition(requests: RequestMetrics, families: Families) -> bytes:
    """The requests' metrics and those read now, in Prometheus' text format 0.0.4."""
    now = CollectorRegistry(auto_describe=False)
    now.register(_Families(families))
    return bytes(generate_latest(requests.registry) + generate_latest(now))


class _Families(Collector):
    def __init__(self, families: Families) -> None:
        self._families = list(families)

    def collect(self) -> Families:
        return self._families
