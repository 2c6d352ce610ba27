"""Ten thousand messages that no contract can accept: each is refused with its reason, and its neighbours land."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from kafka import KafkaConsumer, KafkaProducer

from ingest.dead_letter_headers import from_headers
from plimsoll.contracts import Contract, load_contracts
from plimsoll.contracts.model import Field
from plimsoll.contracts.topics import create_topics
from plimsoll.settings import PROJECT_DIR
from plimsoll.stack.local import LocalStack

pytestmark = pytest.mark.integration
Plimsoll = Callable[..., subprocess.CompletedProcess[str]]
BAD_PER_STREAM = 2_500
CONTRACTS = load_contracts(PROJECT_DIR / "data" / "contracts")
NUMBER_LIMITS = {"smallint": 2**15, "integer": 2**31, "bigint": 2**63}


@dataclass(frozen=True)
class Bad:
    """A message that must be refused, with the reasons that are right for it, and the field to blame if it is known."""

    value: bytes | None
    codes: frozenset[str]
    field: str | None = None


def bad(value: bytes | None, *codes: str, field: str | None = None) -> Bad:
    return Bad(value, frozenset(codes), field)


def valid(contract: Contract) -> dict[str, Any]:
    """An event that the contract accepts."""
    samples = {"string": "A-1", "integer": 1, "number": 1.5, "timestamp": "2026-01-15T12:00:00Z"}
    event = {f.name: samples[f.logical_type] for f in contract.fields if f.is_required}
    event |= {f.name: f.allowed_values[0] for f in contract.fields if f.is_required and f.allowed_values}
    event |= {f.name: str(uuid.UUID(int=7)) for f in contract.fields if f.options.get("format") == "uuid"}
    for group in contract.require_one_of[:1]:
        event |= dict.fromkeys(group, 1)
    return event


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


def nested(depth: int) -> str:
    return '{"a":[' * depth + "1" + "]}" * depth


def wrong_values(field: Field) -> st.SearchStrategy[Any]:
    """JSON values that cannot be this field's: of other types, out of bounds, of the wrong form."""
    kind, options = field.logical_type, field.options
    text = st.text(max_size=20)
    anything = st.one_of(st.booleans(), st.lists(st.integers(), max_size=3), st.dictionaries(text, st.integers()))
    if kind == "string":
        strange = [anything, st.integers(), st.floats(allow_nan=False, allow_infinity=False)]
        if field.allowed_values:
            strange.append(text.filter(lambda t: t not in field.allowed_values and "\0" not in t))
        if options.get("format") == "uuid":
            strange.append(text.filter(lambda t: "\0" not in t and len(t) < 32))
        if "maxLength" in options:
            strange.append(st.integers(1, 3000).map(lambda n: "é" * (options["maxLength"] + n)))
        if options.get("minLength"):
            strange.append(st.just(""))
        return st.one_of(strange)
    if kind == "timestamp":
        impossible = ["yesterday", "", "2026-13-01T00:00:00Z", "2026-01-15T12:00:00", "10000-01-01T00:00:00Z",
                      "0000-01-01T00:00:00Z", "2026-01-15T25:00:00Z", "2026-01-15T12:00:00+99:00"]  # fmt: skip
        return st.one_of(anything, st.integers(), st.floats(allow_nan=False), st.sampled_from(impossible))
    words = text.filter(lambda t: "\0" not in t)
    if kind == "number":
        return st.one_of(anything, words, st.floats(min_value=1e6, max_value=1e300), st.integers(10**6, 10**40))
    limit = NUMBER_LIMITS[field.physical_type]
    low, high = max(-limit, options.get("minimum", -limit)), min(limit - 1, options.get("maximum", limit - 1))
    fractions = st.floats(-1000, 1000).filter(lambda x: not x.is_integer())
    return st.one_of(
        anything, words, fractions, st.integers(high + 1, high * 10**30 + 1), st.integers(-(10**40), low - 1)
    )


def wrong_field(contract: Contract) -> st.SearchStrategy[Bad]:
    event = valid(contract)

    def spoiled(field: Field, value: Any) -> Bad:
        text = json.dumps(event | {field.name: value})
        if "\\u0000" in text.replace("\\\\", ""):  # an escaped backslash begins no escape
            return bad(text.encode(), "nul_character")
        return bad(text.encode(), "invalid_field", "not_json", field=field.name)

    return st.one_of([wrong_values(field).map(partial(spoiled, field)) for field in contract.fields])


def missing_field(contract: Contract) -> st.SearchStrategy[Bad]:
    required = [f.name for f in contract.fields if f.is_required and f.default is None]

    def without(name: str, null: bool) -> Bad:
        event = {k: v for k, v in valid(contract).items() if k != name} | ({name: None} if null else {})
        return bad(dumped(event), "invalid_field" if null else "missing_field", field=name)

    return st.builds(without, st.sampled_from(required), st.booleans())


def incomplete(contract: Contract) -> st.SearchStrategy[Bad]:
    counted = {name for group in contract.require_one_of for name in group}
    event = {k: v for k, v in valid(contract).items() if k not in counted}
    some = st.sampled_from([{}, {"in_count": 3}, {"out_count": 3}, {"occupancy": None}])
    return some.map(lambda fields: bad(dumped(event | fields), "incomplete"))


def wrong_time(contract: Contract) -> st.SearchStrategy[Bad]:
    name = contract.event_time
    offset = st.sampled_from(["Z", "+14:00", "-12:00", "+00:00"])
    ahead = st.integers(2 * 24, 70_000 * 24).map(lambda hours: datetime.now(UTC) + timedelta(hours=hours))
    ancient = st.datetimes(max_value=datetime(1999, 12, 1))

    def at(time: datetime, code: str, zone: str) -> Bad:
        return bad(dumped(valid(contract) | {name: f"{time:%Y-%m-%dT%H:%M:%S}".zfill(19) + zone}), code, field=name)

    return st.one_of(
        st.builds(at, ahead, st.just("clock_ahead"), offset), st.builds(at, ancient, st.just("clock_behind"), offset)
    )


def spoiled_bytes(contract: Contract) -> st.SearchStrategy[Bad]:
    """What is no JSON, no UTF-8, or no object."""
    whole = dumped(valid(contract))
    return st.one_of(
        st.integers(1, len(whole) - 1).map(lambda n: bad(whole[:n], "not_json")),
        st.binary(min_size=1, max_size=60).map(lambda b: bad(b"\x80" + b.replace(b"\\", b"/"), "not_json")),
        st.sampled_from(["utf-16", "utf-32", "utf-16-be"]).map(
            lambda name: bad(json.dumps(valid(contract) | {"é": "ü"}, ensure_ascii=False).encode(name), "not_json")
        ),
        st.sampled_from([b"\xe9", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xc0\xaf", b"\xff\xfe"]).map(
            lambda raw: bad(whole[:-1] + b', "note": "' + raw + b'"}', "not_json")
        ),
        st.sampled_from(["NaN", "Infinity", "-Infinity", "01", "1.", "'a'", "True", "1e999", r'"\ud800"', r'"\x"']).map(
            lambda word: bad(whole[:-1] + f', "note": {word}}}'.encode(), "not_json")
        ),
        st.sampled_from([None, b""]).map(lambda nothing: bad(nothing, "empty")),
        st.sampled_from([b"null", b"[]", b"{}", b"1", b'"text"', b"[{}]", b"true"]).map(
            lambda other: bad(other, "invalid_field", "missing_field")
        ),
    )


def too_much(contract: Contract) -> st.SearchStrategy[Bad]:
    """Unknown fields that are too deep, too large, or that no table can store."""

    def noted(raw: str, *codes: str) -> Bad:
        return bad(dumped(valid(contract))[:-1] + f', "note": {raw}}}'.encode(), *codes)

    return st.one_of(
        st.integers(2_000, 30_000).map(lambda depth: noted(nested(depth), "too_deep")),
        st.integers(2_000, 30_000).map(lambda depth: bad(b"[" * depth, "too_deep", "not_json", "invalid_field")),
        st.integers(17_000, 60_000).map(lambda size: noted(json.dumps("x" * size), "too_large")),
        st.integers(4_400, 9_000).map(lambda digits: noted("9" * digits, "too_large", "not_json", "invalid_extra")),
        st.text(max_size=5).map(lambda text: noted(json.dumps(text + "\0"), "nul_character")),
    )


def bad_messages(contract: Contract) -> st.SearchStrategy[Bad]:
    kinds = [wrong_field(contract)] * 4 + [missing_field(contract), wrong_time(contract), spoiled_bytes(contract),
                                           too_much(contract)]  # fmt: skip
    if contract.require_one_of:
        kinds.append(incomplete(contract))
    return st.integers(0, len(kinds) - 1).flatmap(kinds.__getitem__)  # `one_of` would weigh by their alternatives


def generated(contract: Contract, count: int) -> list[Bad]:
    found: list[Bad] = []

    @seed(20_260_115)
    @settings(max_examples=count + count // 10, deadline=None, database=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(bad_messages(contract))
    def collect(message: Bad) -> None:
        found.append(message)

    collect()
    return found[:count]


@pytest.fixture
def own_topics(stack: LocalStack, tmp_path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Settings with every contract on a topic of the test's own; and those topics by the contract's usual topic."""
    run, folder = uuid.uuid4().hex[:6], tmp_path / "contracts"
    folder.mkdir()
    for file in (PROJECT_DIR / "data" / "contracts").glob("*.yaml"):
        text = file.read_text()
        for topic in CONTRACTS:
            text = text.replace(f"{{property: topic, value: {topic}}}", f"{{property: topic, value: {topic}.{run}}}")
        (folder / file.name).write_text(text)
    create_topics(stack.bootstrap_servers, load_contracts(folder).values())
    return {"PLIMSOLL_CONTRACTS_DIR": str(folder)}, {topic: f"{topic}.{run}" for topic in CONTRACTS}


def test_ten_thousand_bad_messages_are_refused_each_with_its_reason_and_valid_neighbours_land(
    stack: LocalStack,
    connection: psycopg.Connection,
    plimsoll: Plimsoll,
    own_topics: tuple[dict[str, str], dict[str, str]],
) -> None:
    settings_env, topics = own_topics
    producer = KafkaProducer(bootstrap_servers=stack.bootstrap_servers, linger_ms=5)
    sent: dict[tuple[str, int, int], Bad] = {}
    neighbours: dict[str, int] = {}
    for usual, contract in CONTRACTS.items():
        futures = []
        for number, message in enumerate(generated(contract, BAD_PER_STREAM)):
            key = bytes([number % 256, 0x80]) if number % 3 or message.value is None else None
            futures.append((producer.send(topics[usual], key=key, value=message.value), message))
            if number % 10 == 0:
                producer.send(topics[usual], key=key, value=dumped(valid(contract)))
                neighbours[usual] = neighbours.get(usual, 0) + 1
        producer.flush()
        for future, message in futures:
            where = future.get()
            sent[where.topic, where.partition, where.offset] = message
    producer.close()
    assert len(sent) == 4 * BAD_PER_STREAM

    plimsoll("lander", "run", "--until-caught-up", **settings_env)

    wrong = []
    rows = connection.execute(
        'SELECT topic, partition, "offset", reason_code, field, reason, value FROM ingest.rejected_messages'
        " WHERE topic = ANY(%s)", [list(topics.values())],
    ).fetchall()  # fmt: skip
    refused = {row[:3] for row in rows}
    accepted = [message for where, message in sent.items() if where not in refused]
    assert not accepted, f"{len(accepted)} landed, such as {accepted[:5]}"
    assert len(rows) == len(sent)
    for *where, code, field, reason, value in rows:
        message = sent.pop(tuple(where))
        blames = message.field is None or code == "not_json" or (field or "").startswith(message.field)
        if code not in message.codes or not blames or value != message.value or not reason:
            wrong.append((code, field, reason, message.codes, message.field, (value or b"")[:300]))
    assert not wrong, f"{len(wrong)} wrong, such as {wrong[:5]}"
    assert not sent
    for usual, count in neighbours.items():
        table = CONTRACTS[usual].table
        landed = connection.execute(f"SELECT count(*) FROM {table} WHERE _topic = %s", [topics[usual]]).fetchone()
        assert landed == (count,), usual


def test_messages_as_large_as_kafka_takes_are_refused_in_full_and_their_neighbours_land(
    stack: LocalStack,
    connection: psycopg.Connection,
    plimsoll: Plimsoll,
    own_topics: tuple[dict[str, str], dict[str, str]],
) -> None:
    """With its headers the dead letter would be larger than the message, which is as large as any producer may send."""
    settings_env, topics = own_topics
    topic, contract = topics["occupancy.events"], CONTRACTS["occupancy.events"]
    garbage = b"\x80" + b"g" * 1_048_399
    wordy = dumped(valid(contract) | {"count_mode": "x" * 550_000})  # the refusal would say it all again
    producer = KafkaProducer(bootstrap_servers=stack.bootstrap_servers)
    for value in (garbage, wordy, dumped(valid(contract))):
        producer.send(topic, value=value).get(20)
    producer.close()

    plimsoll("lander", "run", "--until-caught-up", timeout=40, **settings_env)

    rows = connection.execute(
        "SELECT reason_code, length(reason), value FROM ingest.rejected_messages WHERE topic = %s", [topic]
    ).fetchall()
    assert {(code, value) for code, _, value in rows} == {("not_json", garbage), ("invalid_field", wordy)}
    assert all(length <= 501 for _, length, _ in rows)
    landed = connection.execute(f"SELECT count(*) FROM {contract.table} WHERE _topic = %s", [topic]).fetchone()
    assert landed == (1,)
    letters = {letter.value: from_headers(letter.headers) for letter in dead_letters(stack, f"{topic}.dlq", 2)}
    assert letters[wordy]["class.name"] == "invalid_field"
    assert letters[garbage[:65_536]]["truncated"] == "1048400 bytes"


def dead_letters(stack: LocalStack, topic: str, count: int) -> list[Any]:
    consumer = KafkaConsumer(topic, bootstrap_servers=stack.bootstrap_servers, auto_offset_reset="earliest",
                             consumer_timeout_ms=20_000)  # fmt: skip
    found = [letter for _, letter in zip(range(count), consumer, strict=False)]
    consumer.close()
    return found
