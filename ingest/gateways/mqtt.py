"""The way in over MQTT: a bridge that acknowledges a message to its broker only when Kafka has acknowledged it.

The bridge holds a persistent session: what it has not acknowledged the broker sends again when it comes back. So any
trouble — Kafka away, database away, connection cut — ends the session, and a new one begins when the trouble is over.
"""

from __future__ import annotations

import logging
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg.rows import dict_row

from ingest.dead_letter_headers import KEPT_OF_LONGER, LONGEST_WHOLE, to_headers
from ingest.gateways.admission import TOPICS, Admission, Opened
from ingest.gateways.devices import REGISTRATIONS, Registration, Registrations, registrable, registrations
from ingest.gateways.gateway import new_producer
from ingest.gateways.mqtt_session import Arrival, Link, Session
from plimsoll.contracts import Contract, InvalidEvent
from plimsoll.errors import PlimsollError
from plimsoll.settings import Settings

log = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 10.0
_REPORT_EVERY_S = 60.0
_DRAIN_S = 12.0


@dataclass(frozen=True)
class BridgeSettings:
    """What the bridge may accept, and for whom.

    Attributes:
        tenant_id: owner of everything that comes in here.
        unregistered_devices: whether devices that the registry lacks are welcome.
        max_message_bytes: larger messages are refused.
    """

    tenant_id: str
    unregistered_devices: bool
    max_message_bytes: int


class Bridge:
    """Moves messages from MQTT to Kafka until it is stopped.

    Attributes:
        received: messages taken from the broker, those that came again included.
        accepted: events that Kafka acknowledged, by topic.
        refused: messages that went to a dead-letter topic, by (topic, code).
    """

    def __init__(
        self,
        link: Link,
        bootstrap_servers: str,
        database_url: str,
        contracts: Mapping[str, Contract],
        settings: BridgeSettings,
    ) -> None:
        self.received = 0
        self.accepted: Counter[str] = Counter()
        self.refused: Counter[tuple[str, str]] = Counter()
        self._link = link
        self._bootstrap_servers = bootstrap_servers
        self._contracts = contracts
        self._settings = settings
        self._admission = Admission(
            contracts,
            unregistered_devices=settings.unregistered_devices,
            max_message_bytes=settings.max_message_bytes,
        )
        self._devices = _Registry(database_url)
        self._producer: Any = None
        self._stop = threading.Event()
        self._session: Session | None = None
        self._reported = (0, 0)

    @property
    def in_flight(self) -> int:
        """Messages that are not acknowledged to the broker yet."""
        session = self._session
        return session.in_flight if session is not None else 0

    def stop(self) -> None:
        """Ask the bridge to end when what it has in hand is acknowledged; safe to call from a signal handler."""
        self._stop.set()
        if self._session is not None:
            self._session.wake()

    def run(self) -> None:
        """Bridge until stopped; trouble is waited out."""
        pause_s = _FIRST_PAUSE_S
        try:
            while not self._stop.is_set():
                worked = self._broker_answers() and self._one_session()
                pause_s = _FIRST_PAUSE_S if worked else min(pause_s * 2, _LONGEST_PAUSE_S)
                self._stop.wait(pause_s)
        finally:
            if self._producer is not None:
                self._producer.close(timeout=5)
            self._devices.close()

    def _broker_answers(self) -> bool:
        from plimsoll.stack.kafka import broker_answers

        if broker_answers(self._bootstrap_servers):
            return True
        log.error("no Kafka broker answers at %s; MQTT messages wait at their broker", self._bootstrap_servers)
        return False

    def _one_session(self) -> bool:
        """Work through one connection to the MQTT broker; True if it brought anything."""
        before = self.accepted.total() + self.refused.total()
        session = self._session = Session(self._link, TOPICS, self._forward)
        try:
            session.open()
            while not session.is_over(self._stop, _REPORT_EVERY_S):
                self._report()
        except OSError as error:
            log.error("the MQTT broker at %s cannot be reached: %s", self._link.address, error)
        finally:
            trouble = session.close(_DRAIN_S if self._stop.is_set() else 0)
            self._session = None
        if trouble:
            log.error("%s; what is not acknowledged comes again", trouble)
        self._report()
        return self.accepted.total() + self.refused.total() > before

    def _forward(
        self, arrivals: Sequence[Arrival], done: Callable[[Arrival], None], fail: Callable[[str], None]
    ) -> None:
        """Send each message to Kafka and return without waiting; `done` and `fail` are called when Kafka has spoken."""
        from kafka.errors import KafkaError

        received_at = datetime.now(UTC)
        self.received += len(arrivals)
        try:
            opened = [self._admission.open(arrival.topic, arrival.payload) for arrival in arrivals]
            senders = {message.sender for message in opened if message.sender}
            registrations = self._devices.look_up(self._settings.tenant_id, senders)
            if self._producer is None:
                self._producer = new_producer(self._bootstrap_servers, self._link.client_id)
            for arrival, message in zip(arrivals, opened, strict=True):
                future, count = self._send(arrival, message, registrations, received_at)
                future.add_callback(partial(self._acknowledged, arrival, count, done))
                future.add_errback(lambda error: fail(f"Kafka did not acknowledge: {error}"))
        except KafkaError as error:
            fail(f"Kafka did not take a message: {error}")
        except psycopg.OperationalError as error:
            fail(f"the registry of devices cannot be read: {str(error).strip()}")

    def _acknowledged(
        self, arrival: Arrival, count: Callable[[], None], done: Callable[[Arrival], None], _: object
    ) -> None:
        count()
        done(arrival)

    def _send(
        self, arrival: Arrival, opened: Opened, registrations: Mapping[str, Registration], received_at: datetime
    ) -> tuple[Any, Callable[[], None]]:
        """Give one message to the producer; return its future and what counts it."""
        topic = opened.topic
        try:
            key, value = self._admission.judge(opened, registrations, self._settings.tenant_id, received_at)
        except InvalidEvent as error:
            log.info("refused %s: %s", arrival.topic, error)
            return self._bury(arrival, topic, error), partial(self.refused.update, [(topic, error.code)])
        return self._producer.send(topic, key=key, value=value), partial(self.accepted.update, [topic])

    def _bury(self, arrival: Arrival, topic: str, error: InvalidEvent) -> Any:
        """To the dead-letter topic, unchanged unless it is too large, with Kafka Connect's header names."""
        # Here also what is refused for another reason: what Kafka does not take would come again for ever.
        is_whole = len(arrival.payload) <= min(self._settings.max_message_bytes, LONGEST_WHOLE)
        facts = {
            "topic": arrival.topic,
            "stage": "gateway",
            "class.name": error.code,
            "exception.message": str(error),
            "tenant_id": self._settings.tenant_id,
            **({"field": error.field} if error.field else {}),
            **({} if is_whole else {"truncated": f"{len(arrival.payload)} bytes"}),
        }
        return self._producer.send(
            self._contracts[topic].dead_letter_topic,
            value=arrival.payload if is_whole else arrival.payload[:KEPT_OF_LONGER],
            headers=to_headers(facts),
        )

    def _report(self) -> None:
        counts = (self.accepted.total(), self.refused.total())
        if counts != self._reported:
            self._reported = counts
            refused = {f"{topic} {code}": count for (topic, code), count in self.refused.items()}
            log.info("accepted %s, refused %s", dict(self.accepted), refused)


class _Registry:
    """The registry's devices for the bridge's thread."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._remembered = Registrations()
        self._connection: psycopg.Connection[dict[str, Any]] | None = None

    def look_up(self, tenant_id: str, device_ids: Iterable[str]) -> dict[str, Registration]:
        """Device to its registration, with at most one query; without names that the registry cannot hold.

        Raises:
            psycopg.OperationalError: the database does not answer and nothing is remembered of some device.
        """
        device_ids = set(device_ids)
        known = self._remembered.of(tenant_id, device_ids)
        asked = registrable(device_ids - known.keys())
        if not asked:
            return known
        try:
            query = {"tenant_id": tenant_id, "device_ids": asked}
            answered = registrations(asked, self._connected().execute(REGISTRATIONS, query).fetchall())
        except psycopg.OperationalError as error:
            self.close()
            return known | self._remembered.bridge_outage(tenant_id, asked, error)
        self._remembered.remember(tenant_id, answered)
        return known | answered

    def _connected(self) -> psycopg.Connection[dict[str, Any]]:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.Connection[dict[str, Any]].connect(
                self._database_url, autocommit=True, connect_timeout=3, application_name="plimsoll-mqtt",
                options="-c statement_timeout=5000", row_factory=dict_row,  # type: ignore[arg-type]
            )  # fmt: skip
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def link_from(settings: Settings) -> Link:
    """How to reach the broker, by the settings.

    Raises:
        PlimsollError: no address, one that cannot be read, or production without a user.
    """
    url = settings.require_mqtt()
    parts = urlsplit(url)
    has_tls = parts.scheme in ("mqtts", "ssl")
    if parts.scheme not in ("mqtt", "tcp", "mqtts", "ssl") or not parts.hostname:
        raise PlimsollError(f"MQTT_URL={parts.scheme}://…: write mqtt://host:1883, or mqtts://host:8883 for TLS")
    if parts.username or parts.password:
        raise PlimsollError("MQTT_URL holds a user: set PLIMSOLL_MQTT_USERNAME and PLIMSOLL_MQTT_PASSWORD instead")
    if settings.mode == "production" and not (settings.mqtt_username and settings.mqtt_password):
        raise PlimsollError("production needs PLIMSOLL_MQTT_USERNAME and PLIMSOLL_MQTT_PASSWORD")
    return Link(
        host=parts.hostname,
        port=parts.port or (8883 if has_tls else 1883),
        client_id=settings.mqtt_client_id,
        username=settings.mqtt_username,
        password=settings.mqtt_password.get_secret_value() if settings.mqtt_password else None,
        tls=_tls(settings) if has_tls else None,
    )


def _tls(settings: Settings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(settings.mqtt_ca_file) if settings.mqtt_ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise PlimsollError(f"PLIMSOLL_MQTT_CA_FILE={settings.mqtt_ca_file} cannot be used: {error}") from error
