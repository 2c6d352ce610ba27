"""Alerts reach people: a real web server, a real mail server, and what happens when these are down."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg
import pytest
from aiosmtpd.controller import Controller

from forecasting.alerts import Condition, raise_alert, resolve_alert
from forecasting.alerts.channels import channels
from forecasting.alerts.delivery import MOST_ATTEMPTS, deliver
from plimsoll.stack.ports import free_port

pytestmark = pytest.mark.integration
NOW = datetime(2026, 3, 2, 5, tzinfo=UTC)
FAILED = Condition("system_error", "system", "refresh_marts", "The job refresh_marts failed.")


class Hook:
    """A web server that keeps what it is sent and answers with `status`, after `delay_s`."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.status, self.delay_s = 200, 0.0
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                time.sleep(hook.delay_s)
                if hook.status == 200:
                    hook.received.append(json.loads(body))
                self.send_response(hook.status)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def channel(self) -> str:
        return f"hook=json://127.0.0.1:{self.server.server_port}/alerts"


@pytest.fixture
def hook() -> Iterator[Hook]:
    opened = Hook()
    yield opened
    opened.server.shutdown()
    opened.server.server_close()


class Mailbox:
    def __init__(self) -> None:
        self.received: list[Any] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.received.append((envelope.rcpt_tos, message_from_bytes(envelope.content, policy=policy.default)))
        return "250 OK"


@pytest.fixture
def mail() -> Iterator[tuple[Mailbox, str]]:
    mailbox = Mailbox()
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port())
    controller.start()
    address = f"127.0.0.1:{controller.port}?from=plimsoll@example.org&to=ops@example.org&mode=insecure"
    yield mailbox, f"mail=mailto://{address}"
    controller.stop()


@pytest.fixture(autouse=True)
def nothing_announced(connection: psycopg.Connection) -> None:
    connection.execute("TRUNCATE ops.alerts, ops.alert_announcements CASCADE")


def deliveries(connection: psycopg.Connection, channel: str = "hook") -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT attempts, delivered_at IS NOT NULL, given_up_at IS NOT NULL, last_error FROM ops.alert_deliveries "
        "WHERE channel = %s ORDER BY announcement_id",
        [channel],
    ).fetchall()


def test_an_alert_and_its_end_reach_the_log_the_webhook_and_the_mailbox_once(
    connection: psycopg.Connection, hook: Hook, mail: tuple[Mailbox, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "plimsoll.alerts")
    mailbox, mail_channel = mail
    ways = channels(f"{hook.channel} {mail_channel}")
    raise_alert(connection, "default", FAILED, NOW)
    assert deliver(connection, ways, NOW).delivered == 3
    assert deliver(connection, ways, NOW + timedelta(minutes=5)).delivered == 0
    resolve_alert(connection, "default", FAILED.fingerprint, "it ran", NOW + timedelta(minutes=6))
    assert deliver(connection, ways, NOW + timedelta(minutes=6)).delivered == 3

    titles = ["[high] system_error · refresh_marts", "[resolved] system_error · refresh_marts"]
    assert [one["title"] for one in hook.received] == titles
    assert [one["type"] for one in hook.received] == ["failure", "success"]
    assert [message["Subject"] for _, message in mailbox.received] == titles
    to, first = mailbox.received[0]
    assert to == ["ops@example.org"]
    assert "The job refresh_marts failed." in first.as_string()
    assert [message.partition(":")[0] for message in caplog.messages if "system_error" in message] == titles


def test_a_webhook_that_is_down_is_tried_again_with_growing_pauses_and_given_up(
    connection: psycopg.Connection, hook: Hook
) -> None:
    hook.status = 500
    ways = channels(hook.channel)
    raise_alert(connection, "default", FAILED, NOW)
    tried = [
        minute
        for minute in range(0, 120)
        if (done := deliver(connection, ways, NOW + timedelta(minutes=minute))).failed + done.given_up
    ]
    assert len(tried) == MOST_ATTEMPTS
    assert tried[1] - tried[0] < tried[-1] - tried[-2] and tried[-1] <= 70
    [(attempts, delivered, given_up, error)] = deliveries(connection)
    assert (attempts, delivered, given_up) == (MOST_ATTEMPTS, False, True)
    assert "500" in error


def test_a_webhook_that_comes_back_gets_what_it_missed_and_the_others_did_not_wait(
    connection: psycopg.Connection, hook: Hook
) -> None:
    hook.status = 503
    ways = channels(hook.channel)
    raise_alert(connection, "default", FAILED, NOW)
    first = deliver(connection, ways, NOW)
    assert (first.delivered, first.failed) == (1, 1)  # the log has it
    hook.status = 200
    assert deliver(connection, ways, NOW + timedelta(minutes=1)).delivered == 1
    assert len(hook.received) == 1
    assert deliveries(connection) == [(2, True, False, None)]


def test_an_end_never_arrives_before_the_beginning_that_its_channel_missed(
    connection: psycopg.Connection, hook: Hook
) -> None:
    hook.status = 503
    ways = channels(hook.channel)
    raise_alert(connection, "default", FAILED, NOW)
    other = Condition("system_error", "system", "train_forecasts", "The job train_forecasts failed.")
    for minute in range(9):  # by now its pause is minutes long
        deliver(connection, ways, NOW + timedelta(minutes=minute))
    hook.status = 200
    resolve_alert(connection, "default", FAILED.fingerprint, "it ran", NOW + timedelta(minutes=9))
    raise_alert(connection, "default", other, NOW + timedelta(minutes=9))
    for minute in range(9, 40):
        deliver(connection, ways, NOW + timedelta(minutes=minute))
    assert [one["title"] for one in hook.received] == [
        "[high] system_error · train_forecasts",  # another alert does not wait
        "[high] system_error · refresh_marts",
        "[resolved] system_error · refresh_marts",
    ]


def test_a_channel_that_hangs_holds_up_no_alert(connection: psycopg.Connection, database_url: str, hook: Hook) -> None:
    hook.delay_s = 1.5
    raise_alert(connection, "default", FAILED, NOW)

    def send() -> None:
        with psycopg.connect(database_url, autocommit=True) as own:
            deliver(own, channels(hook.channel), NOW)

    sending = threading.Thread(target=send)
    sending.start()
    while not any(attempts for attempts, *_ in deliveries(connection)):
        time.sleep(0.01)
    started = time.perf_counter()
    raise_alert(connection, "default", Condition("system_error", "system", "train_forecasts", "failed"), NOW)
    took_s = time.perf_counter() - started
    assert sending.is_alive(), "the message had arrived before anything could wait for it"
    sending.join()
    assert took_s < 0.5


def test_what_was_claimed_by_a_process_that_died_is_sent_by_the_next(
    connection: psycopg.Connection, hook: Hook
) -> None:
    raise_alert(connection, "default", FAILED, NOW)

    def dies(*message: str) -> str | None:
        raise SystemExit

    with pytest.raises(SystemExit):
        deliver(connection, {"hook": dies}, NOW)
    assert deliver(connection, {"hook": channels(hook.channel)["hook"]}, NOW + timedelta(minutes=1)).delivered == 1


def test_a_new_channel_is_not_told_old_news(connection: psycopg.Connection, hook: Hook) -> None:
    raise_alert(connection, "default", FAILED, NOW)
    deliver(connection, channels(""), NOW)
    deliver(connection, channels(hook.channel), NOW + timedelta(hours=3))
    assert hook.received == []
