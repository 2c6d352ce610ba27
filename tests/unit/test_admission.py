"""What came over MQTT, judged: no message may end the session that brought it, for it would come again for ever."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ingest.gateways.admission import Admission
from ingest.gateways.devices import Registration
from plimsoll.contracts import InvalidEvent, load_contracts
from plimsoll.settings import PROJECT_DIR

CONTRACTS = load_contracts(PROJECT_DIR / "data" / "contracts")
NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
ONLINE = b'{"status": "online", "device_id": "edge-1"}'


def refusal(admission: Admission, address: str, text: bytes) -> InvalidEvent:
    opened = admission.open(address, text)
    with pytest.raises(InvalidEvent) as refused:
        admission.judge(opened, {"edge-1": Registration(is_known=True, is_valid=True)}, "t", NOW)
    return refused.value


@pytest.mark.parametrize("address", ["oms/v1/device//status", "/oms/v1/device//heartbeat"])
def test_a_topic_with_an_empty_device_is_refused_whatever_the_payload_names(address: str) -> None:
    admission = Admission(CONTRACTS, unregistered_devices=True, max_message_bytes=1000)

    error = refusal(admission, address, ONLINE)

    assert (error.code, error.field) == ("invalid_field", "device_id")


def test_a_message_that_cannot_be_judged_is_refused_and_the_log_says_why(caplog: pytest.LogCaptureFixture) -> None:
    admission = Admission({}, unregistered_devices=True, max_message_bytes=1000)  # no contract to judge by

    error = refusal(admission, "oms/v1/device/edge-1/status", ONLINE)

    assert error.code == "unexpected"
    assert "KeyError" in error.reason
    assert caplog.records[0].exc_info
