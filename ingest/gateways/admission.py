"""What devices publish over MQTT, judged: which stream it is for, whether its sender may send it, which event it is.

The bridge judges messages as they come, and a replay of dead letters judges them again by the rules of that day.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from ingest.gateways.devices import Registration, check_sender, sender_of
from ingest.gateways.gateway import Encoder, Normalise
from ingest.gateways.payloads import bus_event, device_report
from ingest.gateways.signatures import SentText
from plimsoll.contracts import Contract, InvalidEvent

log = logging.getLogger(__name__)
TOPICS = tuple(
    prefix + topic
    for prefix in ("oms/v1/", "/oms/v1/")
    for topic in ("occupancy", "device/+/status", "device/+/heartbeat")
)
_ADDRESS = re.compile(r"/?oms/v1/(?:occupancy|device/(?P<device_id>[^/]*)/(?P<report>status|heartbeat))")
_STREAM_OF_REPORT = {None: "occupancy.events", "status": "device.status", "heartbeat": "device.heartbeats"}


@dataclass(frozen=True, slots=True)
class Opened:
    """A message that has been opened.

    Attributes:
        text: as it came.
        topic: the stream that it is for.
        payload: what it says, or why it says nothing.
        device_id: the device that its address names, if it does; empty where it should and does not.
    """

    text: bytes
    topic: str
    payload: Any
    device_id: str | None

    @property
    def sender(self) -> str | None:
        """The device that it comes from."""
        return sender_of(self.payload, self.device_id)


class Admission:
    """Opens and judges messages.

    Args:
        contracts: by topic.
        unregistered_devices: whether devices that the registry lacks are welcome.
        max_message_bytes: larger messages are refused.
    """

    def __init__(
        self, contracts: Mapping[str, Contract], *, unregistered_devices: bool, max_message_bytes: int
    ) -> None:
        self.max_message_bytes = max_message_bytes
        self._unregistered_devices = unregistered_devices
        self._encoder = Encoder(contracts)

    def open(self, address: str, text: bytes) -> Opened:
        """Read what came under an address, one of `TOPICS`."""
        found = _ADDRESS.fullmatch(address)
        assert found is not None  # a broker sends what was subscribed to
        device_id = found["device_id"]
        # An empty level matches the subscription's `+`.
        nameless = InvalidEvent("invalid_field", "the topic's level for it is empty", "device_id")
        payload = nameless if device_id == "" else self._payload(text)
        return Opened(text, _STREAM_OF_REPORT[found["report"]], payload, device_id)

    def judge(
        self, opened: Opened, registrations: Mapping[str, Registration], tenant_id: str, received_at: datetime
    ) -> tuple[bytes, bytes]:
        """The Kafka key and value of a message.

        Args:
            opened: the message.
            registrations: what is registered about its sender.
            tenant_id: the owner of what comes in.
            received_at: when it came (UTC).

        Raises:
            InvalidEvent: it may not come in; with the code unexpected, judging it failed.
        """
        try:
            return self._judged(opened, registrations, tenant_id, received_at)
        except InvalidEvent:
            raise
        except Exception as error:  # it would end the session and be sent again in the next one, for ever
            log.exception("a message for %s could not be judged", opened.topic)
            raise InvalidEvent("unexpected", f"could not be judged: {error!r}; the log has more") from error

    def _judged(
        self, opened: Opened, registrations: Mapping[str, Registration], tenant_id: str, received_at: datetime
    ) -> tuple[bytes, bytes]:
        if isinstance(opened.payload, InvalidEvent):
            raise opened.payload
        check_sender(
            opened.payload, SentText(opened.text), 0, registrations,
            addressed=opened.device_id, unregistered_devices=self._unregistered_devices,
        )  # fmt: skip
        normalise: Normalise = bus_event
        if opened.device_id is not None:
            normalise = partial(device_report, device_id=opened.device_id, received_at=received_at)
        return self._encoder.encode(opened.topic, opened.payload, normalise, tenant_id, received_at)

    def _payload(self, text: bytes) -> Any:
        if len(text) > self.max_message_bytes:
            limit = f"{self.max_message_bytes:,} bytes"
            return InvalidEvent("too_large", f"{len(text):,} bytes are more than {limit}")
        try:
            return msgspec.json.decode(text)
        except RecursionError:
            return InvalidEvent("too_deep", "the JSON is nested too deeply")
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return InvalidEvent("not_json", f"not valid JSON: {error}")
