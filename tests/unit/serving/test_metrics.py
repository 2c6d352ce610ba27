"""The Prometheus text format."""

from __future__ import annotations

from serving.metrics import RequestMetrics, gauge, sample


def test_requests_are_counted_and_timed_in_cumulative_buckets() -> None:
    metrics = RequestMetrics()
    for duration in (0.001, 0.005, 0.3, 60.0):
        metrics.observe("GET", "/api/occupancy/{site_id}", 200, duration)

    text = "\n".join(metrics.lines())

    route = 'route="/api/occupancy/{site_id}"'
    assert f'plimsoll_http_requests_total{{method="GET",{route},status="200"}} 4' in text
    assert f'_bucket{{{route},le="0.005"}} 2' in text
    assert f'_bucket{{{route},le="0.5"}} 3' in text
    assert f'_bucket{{{route},le="+Inf"}} 4' in text
    assert f"_count{{{route}}} 4" in text


def test_labels_are_escaped() -> None:
    assert sample("m", 1, {"a": 'x"\\\n'}) == 'm{a="x\\"\\\\\\n"} 1'


def test_what_is_not_known_is_left_out() -> None:
    assert list(gauge("m", "A metric.", [({}, None)])) == ["# HELP m A metric.", "# TYPE m gauge"]
