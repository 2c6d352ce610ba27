"""What the API shows Prometheus."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from serving.metrics import RequestMetrics, exposition, gauge

ROUTE = "/api/occupancy/{site_id}"


def samples(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(text.decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def test_requests_are_counted_and_timed_in_cumulative_buckets() -> None:
    metrics = RequestMetrics()
    for duration in (0.001, 0.005, 0.3, 60.0):
        metrics.observe("GET", ROUTE, 200, duration)

    found = samples(exposition(metrics, []))

    request = (("method", "GET"), ("route", ROUTE), ("status", "200"))
    bucket = "plimsoll_http_request_duration_seconds_bucket"
    assert found["plimsoll_http_requests_total", request] == 4
    assert [found[bucket, (("le", le), ("route", ROUTE))] for le in ("0.005", "0.5", "+Inf")] == [2, 3, 4]


def test_labels_are_escaped() -> None:
    text = exposition(RequestMetrics(), [gauge("m", "A metric.", [({"a": 'x"\\\n'}, 1)])])

    assert samples(text)["m", (("a", 'x"\\\n'),)] == 1


def test_what_is_not_known_is_left_out() -> None:
    text = exposition(RequestMetrics(), [gauge("m", "A metric.", [({"a": "b"}, None)])])

    assert "m{" not in text.decode()
    assert "# TYPE m gauge" in text.decode()
