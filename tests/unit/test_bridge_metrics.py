"""What the MQTT bridge tells Prometheus."""

from __future__ import annotations

from ingest.gateways.metrics import BridgeMetrics
from ingest.gateways.mqtt import Bridge, BridgeSettings
from ingest.gateways.mqtt_session import Link
from plimsoll.contracts import load_contracts
from plimsoll.metrics import new_registry
from plimsoll.settings import PROJECT_DIR


def test_the_bridges_counts_are_read_when_they_are_asked_for() -> None:
    contracts = load_contracts(PROJECT_DIR / "data" / "contracts")
    link = Link(host="127.0.0.1", port=1, client_id="unconnected")
    bridge = Bridge(link, "127.0.0.1:1", "postgresql://", contracts, BridgeSettings("default", True, 1_000))
    registry = new_registry()
    registry.register(BridgeMetrics(bridge))

    bridge.received = 3
    bridge.accepted["occupancy.events"] += 2
    bridge.refused["occupancy.events", "not_json"] += 1

    value = registry.get_sample_value
    assert value("plimsoll_mqtt_received_total") == 3
    assert value("plimsoll_mqtt_in_flight") == 0
    assert value("plimsoll_gateway_produced_total", {"topic": "occupancy.events"}) == 2
    assert value("plimsoll_gateway_refused_total", {"topic": "occupancy.events", "reason": "not_json"}) == 1
