"""The lander against real Kafka and PostgreSQL: everything once, whatever happens to it."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Callable

import psycopg
import pytest
from confluent_kafka import Producer
from kafka import KafkaConsumer, KafkaProducer

from plimsoll.stack.local import LocalStack

pytestmark = pytest.mark.integration
Plimsoll = Callable[..., subprocess.CompletedProcess[str]]


def produce(stack: LocalStack, topic: str, values: list[bytes], key: bytes | None = None) -> None:
    producer = KafkaProducer(bootstrap_servers=stack.bootstrap_servers, linger_ms=5, batch_size=262_144)
    for value in values:
        producer.send(topic, key=key, value=value)
    producer.flush()
    producer.close()


def occupancy(site_id: str, **fields: object) -> bytes:
    return json.dumps({"site_id": site_id, "ts_device": "2026-01-15T12:00:00Z", "occupancy": 1} | fields).encode()


def test_valid_events_land_and_invalid_ones_are_kept_with_their_reason(
    stack: LocalStack, connection: psycopg.Connection, plimsoll: Plimsoll
) -> None:
    site = f"mixed-{uuid.uuid4().hex[:8]}"
    bad = json.dumps({"site_id": site, "ts_device": "2026-01-15T12:00:00Z", "occupancy": "many"}).encode()
    produce(
        stack, "occupancy.events", [occupancy(site, event_id="a"), bad, occupancy(site, event_id="b", colour="red")]
    )

    plimsoll("lander", "run", "--until-caught-up")

    rows = connection.execute(
        "SELECT event_id, extra FROM raw.occupancy_events WHERE site_id = %s ORDER BY 1", [site]
    ).fetchall()
    assert rows == [("a", None), ("b", {"colour": "red"})]
    rejected = connection.execute(
        "SELECT field, reason_code, value FROM ingest.rejected_messages WHERE value = %s", [bad]
    ).fetchall()
    assert rejected == [("occupancy", "invalid_field", bad)]
    assert bad in _dead_letters(stack)


def _dead_letters(stack: LocalStack) -> dict[bytes, dict[str, bytes]]:
    consumer = KafkaConsumer(
        "occupancy.events.dlq", bootstrap_servers=stack.bootstrap_servers, auto_offset_reset="earliest",
        consumer_timeout_ms=3000,
    )  # fmt: skip
    found = {record.value: dict(record.headers) for record in consumer}
    consumer.close()
    return found


def test_dead_letters_carry_the_coordinates_and_the_reason(stack: LocalStack, plimsoll: Plimsoll) -> None:
    bad = f'{{"site_id": "{uuid.uuid4().hex}"}}'.encode()
    produce(stack, "occupancy.events", [bad])

    plimsoll("lander", "run", "--until-caught-up")

    headers = _dead_letters(stack)[bad]
    assert headers["__connect.errors.topic"] == b"occupancy.events"
    assert headers["__connect.errors.stage"] == b"decode"
    assert b"ts_device" in headers["__connect.errors.exception.message"]


def test_a_message_with_neither_key_nor_value_is_refused_like_any_other(
    stack: LocalStack, connection: psycopg.Connection, plimsoll: Plimsoll
) -> None:
    """Only other clients can send one: kafka-python, which produces the dead letters, refuses to."""
    site, where = f"null-{uuid.uuid4().hex[:8]}", []
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    producer.produce("occupancy.events", partition=0, on_delivery=lambda _, sent: where.append(str(sent.offset())))
    producer.produce("occupancy.events", occupancy(site), partition=0)
    producer.flush(20)

    plimsoll("lander", "run", "--until-caught-up", timeout=60)
    plimsoll("rejects", "replay", "--topic", "occupancy.events", "--reason", "empty")

    kept = connection.execute(
        """
        SELECT key, value, reason_code, replayed_at FROM ingest.rejected_messages
        WHERE topic = 'occupancy.events' AND partition = 0 AND "offset" = %s AND stage <> 'gateway'
        """,
        where,
    ).fetchall()
    assert kept == [(None, None, "empty", None)]
    assert _count(connection, site) == 1
    headers = _dead_letters(stack)[b""]
    assert headers["__connect.errors.value"] == b"null"


def _count(connection: psycopg.Connection, site: str) -> int:
    [(count,)] = connection.execute("SELECT count(*) FROM raw.occupancy_events WHERE site_id = %s", [site]).fetchall()
    return int(count)


def test_counts_that_only_together_are_more_than_a_level_may_be_land(
    stack: LocalStack, connection: psycopg.Connection, plimsoll: Plimsoll
) -> None:
    site = f"crowd-{uuid.uuid4().hex[:8]}"
    crowd = {"site_id": site, "in_count": 1_000_000_000, "out_count": 0}
    values = [json.dumps(crowd | {"ts_device": f"2026-01-15T12:00:0{n}Z"}).encode() for n in range(3)]
    produce(stack, "occupancy.events", values, key=site.encode())

    plimsoll("lander", "run", "--until-caught-up", timeout=60)

    assert _count(connection, site) == 3
    assert _level(connection, site) == 1_000_000


def _level(connection: psycopg.Connection, site: str) -> int | None:
    [(level,)] = connection.execute("SELECT occupancy FROM live.occupancy WHERE site_id = %s", [site]).fetchall()
    return level  # type: ignore[no-any-return]


def test_running_totals_make_a_known_level_unknown_until_it_is_told_again(
    stack: LocalStack, connection: psycopg.Connection, plimsoll: Plimsoll
) -> None:
    site, levels = f"totals-{uuid.uuid4().hex[:8]}", []
    totals = {"site_id": site, "in_count": 520, "out_count": 500, "count_mode": "cumulative"}
    for minute, fields in enumerate([{"occupancy": 30}, {}, {"count_mode": "delta"}, {"occupancy": 20}]):
        event = totals | {"ts_device": f"2026-01-15T12:0{minute}:00Z"} | fields
        produce(stack, "occupancy.events", [json.dumps(event).encode()], key=site.encode())
        plimsoll("lander", "run", "--until-caught-up")
        levels.append(_level(connection, site))

    assert levels == [30, None, None, 20]


def test_live_state_is_the_newest_event_and_a_late_one_does_not_replace_it(
    stack: LocalStack, connection: psycopg.Connection, plimsoll: Plimsoll
) -> None:
    site = f"live-{uuid.uuid4().hex[:8]}"
    produce(stack, "occupancy.events", [occupancy(site, ts_device="2026-01-15T12:05:00Z", occupancy=40)], site.encode())
    plimsoll("lander", "run", "--until-caught-up")
    late = occupancy(site, ts_device="2026-01-15T12:01:00Z", occupancy=7)
    boarding = json.dumps(
        {"site_id": site, "ts_device": "2026-01-15T12:06:00Z", "in_count": 5, "out_count": 2}
    ).encode()
    produce(stack, "occupancy.events", [late, boarding, boarding], key=site.encode())

    plimsoll("lander", "run", "--until-caught-up")

    live = connection.execute("SELECT occupancy FROM live.occupancy WHERE site_id = %s", [site]).fetchone()
    assert live == (43,)


def test_a_lander_killed_at_random_moments_lands_every_event_once(
    stack: LocalStack, connection: psycopg.Connection, platform_env: dict[str, str]
) -> None:
    run, total = uuid.uuid4().hex[:8], 200_000
    produce(
        stack,
        "occupancy.events",
        [occupancy(f"{run}-{i % 300}", event_id=str(i), occupancy=i % 90) for i in range(total)],
    )
    command = [sys.executable, "-m", "plimsoll", "lander", "run", "--until-caught-up", "--name", "killed"]
    randomness = random.Random(5)

    def landed() -> int:
        row = connection.execute(
            "SELECT coalesce(sum(next_offset), 0) FROM ingest.offsets WHERE topic = 'occupancy.events'"
        ).fetchone()
        return int(row[0]) if row else 0

    for _ in range(6):
        lander = subprocess.Popen(command, env=platform_env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        kill_at = landed() + randomness.randrange(1, 25_000)
        while landed() < kill_at:
            try:
                lander.wait(timeout=randomness.random() / 50)
            except subprocess.TimeoutExpired:
                continue
            pytest.fail("the lander ended before it could be killed")
        lander.kill()
        lander.wait()
    subprocess.run(command, env=platform_env, check=True, capture_output=True, timeout=120)

    counts = connection.execute(
        "SELECT count(*), count(DISTINCT event_id) FROM raw.occupancy_events WHERE site_id LIKE %s", [f"{run}-%"]
    ).fetchone()
    assert counts == (total, total)


def test_a_writer_with_a_stale_position_is_fenced(connection: psycopg.Connection) -> None:
    from datetime import UTC, datetime

    from ingest.lander.ledger import FencedError, advance, open_position

    stale = open_position(connection, "fence.test", 0, "cluster", "topic", 0)
    advance(connection, {stale: 10}, datetime.now(UTC))

    with pytest.raises(FencedError):
        advance(connection, {stale: 10}, datetime.now(UTC))


def test_a_topic_created_again_is_landed_from_its_start(connection: psycopg.Connection) -> None:
    from datetime import UTC, datetime

    from ingest.lander.ledger import advance, open_position

    first = open_position(connection, "again.test", 0, "cluster", "topic-1", 0)
    [moved] = advance(connection, {first: 500}, datetime.now(UTC))

    again = open_position(connection, "again.test", 0, "cluster", "topic-2", 0)

    assert again.next_offset == 0
    assert again.landed_at == moved.landed_at, "the watermark must go on growing"


def test_offsets_that_kafka_has_no_more_are_given_out_again(
    connection: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    from datetime import UTC, datetime

    from ingest.lander.ledger import advance, open_position

    first = open_position(connection, "lost.test", 0, "cluster", "topic", 0)
    advance(connection, {first: 500}, datetime.now(UTC))

    grown = open_position(connection, "lost.test", 0, "cluster", "topic", 0, 400, read_end=lambda: 510)
    lost = open_position(connection, "lost.test", 0, "cluster", "topic", 0, 400, read_end=lambda: 450)

    assert (grown.next_offset, lost.next_offset) == (500, 450)
    assert "Kafka has lost offsets 450 to 499" in caplog.text


def test_ctrl_c_finishes_the_batch_and_exits_cleanly(platform_env: dict[str, str]) -> None:
    import signal

    lander = subprocess.Popen(
        [sys.executable, "-m", "plimsoll", "lander", "run"], env=platform_env, stderr=subprocess.PIPE, text=True
    )
    assert lander.stderr is not None
    deadline = time.monotonic() + 30
    for line in lander.stderr:
        if "landing " in line or time.monotonic() > deadline:
            break
    lander.send_signal(signal.SIGINT)

    assert lander.wait(timeout=20) == 0
