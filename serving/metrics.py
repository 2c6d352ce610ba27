"""Prometheus metrics in text format 0.0.4: requests are counted here, the platform's figures read when asked."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

Labels = Mapping[str, str]


class RequestMetrics:
    """Counts and times of requests by method, route template and status: few series however many sites there are."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, int], int] = defaultdict(int)
        self._buckets: dict[str, list[int]] = defaultdict(lambda: [0] * (len(BUCKETS_S) + 1))
        self._sums: dict[str, float] = defaultdict(float)

    def observe(self, method: str, route: str, status: int, duration_s: float) -> None:
        """Count one answered request."""
        self._counts[method, route, status] += 1
        self._buckets[route][bisect_left(BUCKETS_S, duration_s)] += 1
        self._sums[route] += duration_s

    def lines(self) -> Iterable[str]:
        """The metrics in Prometheus' text format."""
        name = "plimsoll_http_requests_total"
        yield from header(name, "counter", "Requests answered, by method, route and status.")
        for (method, route, status), count in sorted(self._counts.items()):
            yield sample(name, count, {"method": method, "route": route, "status": str(status)})
        name = "plimsoll_http_request_duration_seconds"
        yield from header(name, "histogram", "Time to the end of the answer, by route.")
        for route, buckets in sorted(self._buckets.items()):
            running = 0
            for bound, count in zip((*BUCKETS_S, float("inf")), buckets, strict=True):
                running += count
                le = "+Inf" if bound == float("inf") else str(bound)
                yield sample(f"{name}_bucket", running, {"route": route, "le": le})
            yield sample(f"{name}_sum", self._sums[route], {"route": route})
            yield sample(f"{name}_count", running, {"route": route})


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
            route = getattr(scope.get("route"), "path", "unmatched")
            self._metrics.observe(scope["method"], route, status, time.perf_counter() - started)


def header(name: str, kind: str, text: str) -> Iterable[str]:
    """The two lines that introduce a metric."""
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def sample(name: str, value: float, labels: Labels | None = None) -> str:
    """One line with a value."""
    written = ",".join(f'{label}="{_escaped(text)}"' for label, text in (labels or {}).items())
    return f"{name}{{{written}}} {value}" if written else f"{name} {value}"


def gauge(name: str, text: str, values: Iterable[tuple[Labels, float | None]]) -> Iterable[str]:
    """A gauge with its values; what is not known is left out, which Prometheus shows as absent."""
    yield from header(name, "gauge", text)
    for labels, value in values:
        if value is not None:
            yield sample(name, value, labels)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
