"""Contracts: what they refuse, and what is derived from them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.contracts import ContractError, Decoder, InvalidEvent, load_contracts
from plimsoll.contracts.ddl import migration, wanted_columns
from plimsoll.contracts.model import load_contract
from plimsoll.settings import PROJECT_DIR

CONTRACTS_DIR = PROJECT_DIR / "data" / "contracts"
CONTRACTS = load_contracts(CONTRACTS_DIR)
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
occupancy = Decoder(CONTRACTS["occupancy.events"])


def message(**changes: object) -> dict[str, object]:
    event = {"site_id": "TJ-0345", "ts_device": "2026-06-01T11:59:00Z", "occupancy": 37} | changes
    return {k: v for k, v in event.items() if v is not None}


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"site_id": None}, "missing_field", "site_id"),
        ({"site_id": ""}, "invalid_field", "site_id"),
        ({"occupancy": "37"}, "invalid_field", "occupancy"),
        ({"occupancy": 2**40}, "invalid_field", "occupancy"),
        ({"occupancy": None}, "incomplete", "occupancy"),
        ({"occupancy": None, "in_count": 3}, "incomplete", "occupancy"),
        ({"ts_device": "2026-06-01T11:59:00"}, "invalid_field", "ts_device"),
        ({"ts_device": "2026-06-01T14:00:00Z"}, "clock_ahead", "ts_device"),
        ({"ts_device": "1999-12-31T23:59:59Z"}, "clock_behind", "ts_device"),
        ({"lat": 91}, "invalid_field", "lat"),
        ({"count_mode": "guess"}, "invalid_field", "count_mode"),
        ({"colour": "a\x00b"}, "nul_character", None),
    ],
)
def test_a_refusal_names_the_field_and_the_reason(changes: dict[str, object], code: str, field: str | None) -> None:
    with pytest.raises(InvalidEvent) as refused:
        occupancy.validate(message(**changes), NOW)

    assert (refused.value.code, refused.value.field) == (code, field)


def test_door_counts_alone_are_an_event() -> None:
    event = occupancy.validate(message(occupancy=None, in_count=3, out_count=1), NOW)

    assert (event.values.in_count, event.values.occupancy) == (3, None)


def test_unknown_fields_are_kept_as_json() -> None:
    event = occupancy.decode(b'{"site_id":"a","ts_device":"2026-06-01T11:59:00Z","occupancy":1,"x":{"y":[1]}}', NOW)

    assert event.extra == '{"x":{"y":[1]}}'


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"x":' + b"[" * 100_000, b'{"site_id":"\\ud800"}']
)
def test_what_is_no_event_is_refused_without_a_crash(payload: bytes) -> None:
    with pytest.raises(InvalidEvent):
        occupancy.decode(payload, NOW)


@given(st.binary(max_size=300))
def test_no_bytes_crash_the_decoder(payload: bytes) -> None:
    with pytest.raises(InvalidEvent):
        occupancy.decode(payload, NOW)


@given(
    st.fixed_dictionaries(
        {
            "site_id": st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=64),
            "ts_device": st.datetimes(datetime(2001, 1, 1), datetime(2026, 1, 1)).map(
                lambda at: at.replace(tzinfo=UTC)
            ),
            "occupancy": st.integers(-1000, 10**6),
        }
    )
)
def test_an_event_survives_encoding_and_decoding(fields: dict[str, object]) -> None:
    event = occupancy.validate(fields, NOW)

    landed = occupancy.decode(occupancy.encode(event), NOW)

    assert msgspec.structs.astuple(landed.values) == msgspec.structs.astuple(event.values)


@pytest.mark.parametrize(
    ("text", "is_refused"),
    [(r'"a\u0000"', True), (r'"a\\u0000"', False), (r'"a\\\u0000"', True)],
    ids=["a NUL", "a backslash and letters", "a backslash and a NUL"],
)
def test_only_the_escape_of_a_nul_character_is_refused_as_one(text: str, is_refused: bool) -> None:
    payload = f'{{"site_id": {text}, "ts_device": "2026-01-15T12:00:00Z", "occupancy": 1}}'.encode()

    if is_refused:
        with pytest.raises(InvalidEvent, match="NUL character"):
            occupancy.decode(payload, NOW)
    else:
        assert occupancy.decode(payload, NOW).values.site_id == msgspec.json.decode(text)


def test_a_device_may_run_ahead_by_less_than_the_contract_allows() -> None:
    limit = CONTRACTS["occupancy.events"].max_ahead
    occupancy.validate(message(ts_device=NOW + limit - timedelta(seconds=1)), NOW)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (
            "logicalType: timestamp",
            "logicalType: moment",
            "property 'ts_device' has logicalType 'moment'; write one of",
        ),
        ("{property: key, value: device_id}", "{property: key, value: nobody}", "key names 'nobody'"),
        ("{property: topic, value: device.status}", "{property: tropic, value: x}", "'topic' is missing"),
        ("unit: d", "unit: moons", "retention needs element, a number as value and a unit"),
        ("description: The device., ", "", "property 'device_id' has no description"),
    ],
)
def test_a_wrong_contract_is_told_where_and_what(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    text = (CONTRACTS_DIR / "device.status.yaml").read_text()
    assert old in text
    file = tmp_path / "device.status.yaml"
    file.write_text(text.replace(old, new))

    with pytest.raises(ContractError, match=re.escape(complaint)) as raised:
        load_contract(file)

    assert str(raised.value).startswith("device.status.yaml: ")


@pytest.mark.parametrize(
    ("types", "complaint"),
    [
        ("logicalType: string, physicalType: varchar(64)", "has physicalType 'varchar(64)'; the types of string are"),
        ("logicalType: integer, physicalType: int4", "has physicalType 'int4'; the types of integer are bigint, "),
        ("logicalType: number, physicalType: numeric", "has physicalType 'numeric'; the types of number are double"),
        ("logicalType: array, physicalType: text", "has physicalType 'text'; the types of array are jsonb"),
        ("logicalType: string, logicalTypeOptions: {format: uuid}", "has format uuid without physicalType uuid"),
        ("logicalType: string, physicalType: uuid", "has physicalType uuid without format uuid"),
        ("logicalType: integer, enum: [{value: 1}]", "is a bigint with an enum; only text can have one"),
    ],
)
def test_a_type_that_could_not_be_landed_is_no_contract(tmp_path: Path, types: str, complaint: str) -> None:
    text = (CONTRACTS_DIR / "device.status.yaml").read_text()
    file = tmp_path / "device.status.yaml"
    added = f"    properties:\n      - {{name: door, description: The door., {types}}}\n"
    file.write_text(text.replace("    properties:\n", added, 1))

    with pytest.raises(ContractError, match=re.escape(f"device.status.yaml: property 'door' {complaint}")):
        load_contract(file)


def test_only_integers_can_be_accumulated(tmp_path: Path) -> None:
    file = tmp_path / "occupancy.events.yaml"
    text = (CONTRACTS_DIR / "occupancy.events.yaml").read_text()
    file.write_text(text.replace("accumulate: {column: occupancy,", "accumulate: {column: lat,"))

    with pytest.raises(ContractError, match="column, add and subtract must name integers"):
        load_contract(file)


def test_a_database_in_step_needs_no_migration() -> None:
    assert migration(CONTRACTS.values(), wanted_columns(CONTRACTS.values())) == ""


def test_a_new_field_is_one_added_column() -> None:
    present = wanted_columns(CONTRACTS.values())
    del present["raw.device_status"]["fw_version"]

    assert migration(CONTRACTS.values(), present) == 'ALTER TABLE raw.device_status ADD COLUMN "fw_version" text;\n'


def test_no_hour_is_computed_again_from_raw_rows_that_may_be_gone() -> None:
    """dbt has the days that raw rows are kept as a variable of its own."""
    project = yaml.safe_load((PROJECT_DIR / "dbt_project" / "dbt_project.yml").read_text())
    days = timedelta(days=project["vars"]["raw_retention_days"])
    kept = {table: kept for contract in CONTRACTS.values() for table, kept in contract.retention.items()}

    assert {table: kept for table, kept in kept.items() if table.startswith("raw.") and kept < days} == {}
    assert any(table.startswith("raw.") for table in kept)
