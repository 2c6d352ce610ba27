"""What the gateways tell Prometheus: read, when asked, from the counts that they keep anyway."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ingest.gateways.mqtt import Bridge


def event_counts(accepted: Mapping[str, int], refused: Mapping[tuple[str, str], int]) -> Iterable[Any]:
    """The two counters that every way in has."""
    from prometheus_client.core import CounterMetricFamily

    name = "plimsoll_gateway_{}".format
    produced = CounterMetricFamily(name("produced"), "Events that Kafka acknowledged.", labels=["topic"])
    for topic, count in dict(accepted).items():
        produced.add_metric([topic], count)
    yield produced
    rejected = CounterMetricFamily(name("refused"), "Events refused, by reason code.", labels=["topic", "reason"])
    for (topic, code), count in dict(refused).items():
        rejected.add_metric([topic, code], count)
    yield rejected


class BridgeMetrics:
    """A collector over one MQTT bridge."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    def collect(self) -> Iterable[Any]:
        """Every metric as it is now."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        bridge = self._bridge
        yield CounterMetricFamily("plimsoll_mqtt_received", "Messages taken from the broker.", bridge.received)
        yield GaugeMetricFamily("plimsoll_mqtt_in_flight", "Messages not acknowledged yet.", bridge.in_flight)
        yield from event_counts(bridge.accepted, bridge.refused)
