"""From files to messages: formats, types, local times, and rows that cannot be read."""

from __future__ import annotations

import gzip
import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from ingest import files
from ingest.columns import Plan, Row, RowReader
from ingest.files import open_rows
from ingest.gateways.replay import read
from ingest.survey import SiteSurvey
from plimsoll.contracts import Decoder, InvalidEvent, load_contracts
from plimsoll.errors import PlimsollError
from plimsoll.settings import PROJECT_DIR

CONTRACT = load_contracts(PROJECT_DIR / "data" / "contracts")["occupancy.events"]
DECODER = Decoder(CONTRACT)
ZONES = ["Europe/London", "America/New_York", "Asia/Jakarta", "Australia/Lord_Howe"]
NOW = datetime(2026, 6, 1, tzinfo=UTC)
MAPPING = {"site_id": "Lot", "capacity": "Places", "occupancy": "Cars", "ts_device": "When"}


def plan(file: Path, mapping: dict[str, str] | None = None, tz: str | None = "Europe/London", **given: str) -> Plan:
    return Plan(file, CONTRACT, MAPPING if mapping is None else mapping, given, tz, "t1")


def rows(plan: Plan) -> list[Row]:
    with open_rows(plan.file) as file:
        return [row for chunk in RowReader(plan, file).chunks() for row in chunk]


def landed(plan: Plan) -> list[Any]:
    """What the contract makes of each row: the event, or the reason why not."""
    found: list[Any] = []
    for row in rows(plan):
        try:
            found.append(DECODER.decode(row.message(), NOW).values)
        except InvalidEvent as error:
            found.append((error.code, error.field))
    return found


def csv(folder: Path, text: str | bytes, name: str = "lots.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_csv_text_is_read_as_what_the_contract_needs(tmp_path: Path) -> None:
    [event] = landed(plan(csv(tmp_path, "Lot,Places,Cars,When,Door\n12,100.0,61,2016-07-01 10:00:00,NA\n")))

    assert (event.tenant_id, event.site_id, event.capacity, event.occupancy) == ("t1", "12", 100, 61)
    assert event.ts_device == datetime(2016, 7, 1, 9, tzinfo=UTC)


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_other_delimiters_and_a_byte_order_mark_are_understood(tmp_path: Path, delimiter: str) -> None:
    text = "\ufeffLot,Places,Cars,When\nA,100,61,2016-07-01T10:00:00Z\n".replace(",", delimiter)

    assert landed(plan(csv(tmp_path, text)))[0].site_id == "A"


@pytest.mark.parametrize(
    ("line", "refused"),
    [
        ("A,100,,2016-07-01 10:00:00", ("incomplete", "occupancy")),
        ("A,100,many,2016-07-01 10:00:00", ("invalid_field", "occupancy")),
        ("A,100,1.5,2016-07-01 10:00:00", ("invalid_field", "occupancy")),
        ("A,100,1_0,2016-07-01 10:00:00", ("invalid_field", "occupancy")),
        ("A,100,1e99,2016-07-01 10:00:00", ("invalid_field", "occupancy")),
        ("A,100,5,yesterday", ("invalid_field", "ts_device")),
        ("A,100,5", ("missing_field", "ts_device")),
        ("A,100,5,2016-07-01 10:00:00,stray", ("invalid_field", None)),
        ("A,100,5,1969-07-01 10:00:00", ("clock_behind", "ts_device")),
        ("A\0,100,5,2016-07-01 10:00:00", ("nul_character", None)),
        (b"caf\xe9,100,5,2016-07-01 10:00:00", ("not_json", None)),
    ],
)
def test_a_bad_row_is_refused_alone(tmp_path: Path, line: str | bytes, refused: tuple[str, str | None]) -> None:
    bad = line if isinstance(line, bytes) else line.encode()
    good = b"A,100,7,2016-07-01 10:30:00"

    found = landed(plan(csv(tmp_path, b"\n".join([b"Lot,Places,Cars,When", good, bad, b"", good, b""]))))

    assert [f if isinstance(f, tuple) else f.occupancy for f in found] == [7, refused, 7]


def test_every_format_gives_the_same_events(tmp_path: Path) -> None:
    records = [
        {"Lot": f"P{i % 3}", "Places": 100, "Cars": None if i == 7 else i, "When": f"2016-10-{i + 1:02} 10:00:00"}
        for i in range(20)
    ]
    lines = [",".join("" if v is None else str(v) for v in r.values()) for r in records]
    text = "\n".join(["Lot,Places,Cars,When", *lines])
    ndjson = "\ufeff" + "\n".join(json.dumps(r) for r in records)
    (tmp_path / "lots.csv.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "lots.ndjson.gz").write_bytes(gzip.compress(ndjson.encode()))
    table = pa.Table.from_pylist(records)
    when = pa.array([datetime.fromisoformat(r["When"]) for r in records], pa.timestamp("ns"))
    parquet.write_table(table, tmp_path / "lots.parquet")
    parquet.write_table(table.set_column(3, "When", when), tmp_path / "typed.parquet")
    wanted = landed(plan(csv(tmp_path, text)))

    assert wanted[7] == ("incomplete", "occupancy")
    for other in (
        csv(tmp_path, ndjson, "lots.jsonl"), tmp_path / "lots.csv.gz", tmp_path / "lots.ndjson.gz",
        tmp_path / "lots.parquet", tmp_path / "typed.parquet",
    ):  # fmt: skip
        assert landed(plan(other)) == wanted, other.name


def test_a_time_beyond_all_calendars_is_refused_alone(tmp_path: Path) -> None:
    times = pa.array([1_467_363_600, 10**12, None, -(10**12)], pa.timestamp("s"))
    table = pa.table({"Lot": ["A"] * 4, "Places": [100] * 4, "Cars": [5] * 4, "When": times})
    parquet.write_table(table, tmp_path / "lots.parquet")

    good, *refused = landed(plan(tmp_path / "lots.parquet"))

    assert good.ts_device == datetime(2016, 7, 1, 8, tzinfo=UTC)
    assert refused == [("invalid_field", "ts_device"), ("missing_field", "ts_device"), ("invalid_field", "ts_device")]


def test_columns_of_one_name_are_told(tmp_path: Path) -> None:
    names = ["Lot", "Places", "Cars", "When", "Cars"]
    file = tmp_path / "lots.parquet"
    parquet.write_table(pa.Table.from_arrays([pa.array(["1"])] * 5, names=names), file)

    for twice in (file, csv(tmp_path, ",".join(names) + "\nA,1,1,2016-07-01,2\n")):
        with pytest.raises(PlimsollError, match="two columns are called 'Cars'"):
            rows(plan(twice))


def test_parquet_text_that_was_written_as_bytes_is_text(tmp_path: Path) -> None:
    file = tmp_path / "lots.parquet"
    sites = pa.array([b"P1", "P\u00e4".encode(), b"\xe4", None, b""], pa.binary())

    for column in (sites, sites.dictionary_encode(), sites.view(pa.string()), sites.cast(pa.large_binary())):
        table = pa.table({"site_id": column, "occupancy": [1, 2, 3, 4, 5], "ts_device": ["2016-07-01"] * 5})
        parquet.write_table(table, file)
        first, second, *refused = landed(plan(file, {}))

        assert (first.site_id, second.site_id) == ("P1", "P\u00e4")
        assert refused == [("not_json", None), *[("missing_field", "site_id")] * 2]


def test_a_damaged_parquet_file_is_told_wherever_the_damage_is(tmp_path: Path) -> None:
    file, table = tmp_path / "lots.parquet", pa.table({"occupancy": [1] * 9, "ts_device": ["2016-07-01"] * 9})
    parquet.write_table(table, file, compression="none", use_dictionary=False, write_statistics=False)
    good = file.read_bytes()

    told = set()
    for place in range(4, len(good), 2):
        file.write_bytes(good[:place] + bytes([good[place] ^ 0x81]) + good[place + 1 :])
        with suppress(PlimsollError):
            rows(plan(file, {}))
            continue
        told.add(place)
    assert len(told) > len(good) / 4


def test_ndjson_without_a_mapping_is_the_messages_themselves(tmp_path: Path) -> None:
    good = '{"site_id":"A","occupancy":3,"ts_device":"2026-01-15T12:00:00Z","colour":"red","tenant_id":"another"}'
    file = csv(tmp_path, f'{good}\n\nnot json\n[1]\n{{"occupancy":3}}\n', "events.ndjson")

    first, *rest = rows(plan(file, {}, None))
    event = DECODER.decode(first.message(), NOW)

    assert (event.values.tenant_id, event.extra) == ("t1", '{"colour":"red"}'), "a file cannot choose its tenant"
    assert [row.message() for row in rest[:2]] == [b"not json", b"[1]"]
    assert landed(plan(file, {}, None))[3] == ("missing_field", "site_id")


def test_columns_that_bear_the_fields_names_need_no_mapping(tmp_path: Path) -> None:
    file = csv(tmp_path, "occupancy,ts_device,weather\n5,2026-01-15T12:00:00+07:00,fine\n", "gym.csv")

    [event] = landed(plan(file, {}, None, zone_id="hall"))

    assert (event.site_id, event.zone_id) == ("gym", "hall"), "a file without sites is one site, named after it"
    assert event.ts_device == datetime(2026, 1, 15, 5, tzinfo=UTC)


def test_the_hour_that_comes_twice_is_told_apart_by_each_sites_order(tmp_path: Path) -> None:
    """00:50 UTC and 01:20 UTC are both on the clock between 1:00 and 2:00 of that October night in London."""
    lines = [
        f"{site},100,5,2016-10-30 {clock}:00"
        for clock in ("00:50", "01:20", "01:50", "01:10", "01:40", "02:10")
        for site in "AB"
    ]

    events = landed(plan(csv(tmp_path, "\n".join(["Lot,Places,Cars,When", *lines]))))

    utc = ["23:50", "00:20", "00:50", "01:10", "01:40", "02:10"]
    assert [f"{e.ts_device.astimezone(UTC):%H:%M}" for e in events if e.site_id == "B"] == utc


@settings(max_examples=30, deadline=None)
@given(
    zone=st.sampled_from(["Europe/London", "America/New_York", "Asia/Jakarta", "Australia/Lord_Howe"]), data=st.data()
)
def test_local_times_of_a_clock_that_runs_on_come_back_as_they_were(
    zone: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from zoneinfo import ZoneInfo

    start = datetime(2016, data.draw(st.integers(1, 12)), data.draw(st.integers(1, 28)), tzinfo=UTC)
    step = timedelta(minutes=data.draw(st.integers(1, 29)))
    wanted = [start + i * step for i in range(200)]
    lines = [f"A,1,1,{at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}" for at in wanted]
    file = csv(tmp_path_factory.mktemp("zones"), "\n".join(["Lot,Places,Cars,When", *lines]))

    assert [row.at for row in rows(plan(file, tz=zone))] == wanted


@pytest.mark.parametrize("chunk_rows", [1, 3, 7])
def test_the_size_of_a_chunk_makes_no_difference(
    tmp_path: Path, chunk_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f"{'AB'[i % 2]},100,{i},2016-10-30 0{1 + i // 40}:{7 * i % 60:02}" for i in range(60)]
    file = csv(tmp_path, "\n".join(["Lot,Places,Cars,When", *lines]))
    parquet.write_table(pa.Table.from_pylist([r.fields for r in rows(plan(file))]), tmp_path / "lots.parquet")
    whole = [(r.number, r.message()) for r in rows(plan(file))]

    monkeypatch.setattr(files, "CHUNK_ROWS", chunk_rows)

    assert [(r.number, r.message()) for r in rows(plan(file))] == whole
    assert [r.number for r in rows(plan(tmp_path / "lots.parquet", {}))] == list(range(60))


def test_of_large_lines_fewer_are_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [json.dumps({"site_id": "A", "occupancy": n, "ts_device": "2026-01-15T12:00Z"}) for n in range(10, 35)]
    planned = plan(csv(tmp_path, "\n".join(lines), "events.ndjson"), {}, None)
    whole = [(r.number, r.message()) for r in rows(planned)]
    monkeypatch.setattr(files, "CHUNK_BYTES", 10 * len(lines[0]))

    with open_rows(planned.file) as file:
        chunks = list(RowReader(planned, file).chunks())

    assert [len(chunk) for chunk in chunks] == [10, 10, 5]
    assert [(r.number, r.message()) for chunk in chunks for r in chunk] == whole


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("lots.csv", b"", "first line must name the columns"),
        ("lots.csv", b'Lot,Places,Cars,When\nA,1,1,"2016-01-01\n' + b"x" * 200_000, "quotation mark left open"),
        ("lots.csv", b"Lot,Places,Cars,When\nA,1,1,soon\n", "'soon' cannot be read as ts_device"),
        ("lots.csv", "Lot,Places,Cars,When\n".encode("utf-16"), "not UTF-8: save it as UTF-8"),
        ("lots.csv", "Gr\u00f6\u00dfe,Places,Cars,When\n".encode("cp1252"), "not UTF-8: save it as UTF-8"),
        ("lots.csv.gz", b"Lot,Places", "Not a gzipped file"),
        ("lots.csv.gz", gzip.compress(b"Lot,Places", mtime=0)[:10] + b"\xff" * 20, "lots.csv.gz: cannot be read"),
        ("lots.parquet", b"Lot,Places", "cannot be read"),
        ("lots.xlsx", b"", "only .csv"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_told_why(tmp_path: Path, name: str, content: bytes, complaint: str) -> None:
    with pytest.raises(PlimsollError, match=complaint):
        rows(plan(csv(tmp_path, content, name)))


def test_a_survey_finds_the_usual_step_and_the_last_capacity_of_sites_that_can_be_registered(tmp_path: Path) -> None:
    lines = [f"{site},{100 + i},5,2016-07-01 {i // 6:02}:{i % 6}0:00" for i in range(40) for site in "AB"]
    odd = ["C,9999999999,5,2016-07-01 10:00", "D\0,1,5,2016-07-01 10:00", "D" * 200 + ",1,5,2016-07-01 10:00"]
    read = rows(plan(csv(tmp_path, "\n".join(["Lot,Places,Cars,When", *lines, *odd]))))
    survey = SiteSurvey(CONTRACT)

    survey.add(read)

    sites = survey.sites(plan(tmp_path), "venue", None)
    assert [(s["site_id"], s["capacity"], s["hold_s"]) for s in sites] == [
        ("A", 139, 1200), ("B", 139, 1200), ("C", None, 1200),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["lots.csv", "lots.ndjson"])
def test_a_replay_sends_in_the_order_of_a_column_that_says_when_a_row_was_sent(tmp_path: Path, name: str) -> None:
    """The second row came last; when the third was sent nobody knows, so it keeps its place."""
    minutes = [("10:00", "10:01"), ("10:05", "13:00"), ("10:10", None), ("10:15", "10:16")]
    day = "2016-12-01 "
    records = [
        {"Lot": "A", "Cars": number, "When": day + at, "Sent": day + sent if sent else None}
        for number, (at, sent) in enumerate(minutes)
    ]
    lines = [json.dumps(record) for record in records]
    if name == "lots.csv":
        lines = ["Lot,Cars,When,Sent", *(",".join(str(v or "") for v in record.values()) for record in records)]
    mapping = {"site_id": "Lot", "occupancy": "Cars", "ts_device": "When"}
    planned = replace(plan(csv(tmp_path, "\n".join(lines), name), mapping), order_by="Sent")

    due, _ = read(planned)

    assert [message.number for message in due] == [0, 2, 3, 1]
