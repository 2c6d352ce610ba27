"""The calendar from the command line and from CSV files, on a real PostgreSQL."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from counting import Counting

from ingest.registry.calendar import Imported, NewCalendarEvent, import_events

pytestmark = pytest.mark.integration
Plimsoll = Callable[..., subprocess.CompletedProcess[str]]
DAY = datetime(2026, 3, 1)


@pytest.fixture
def tenant(plimsoll: Plimsoll) -> str:
    name = f"t-{uuid.uuid4().hex[:8]}"
    plimsoll("sites", "add", "gym", "--kind", "venue", "--tz", "Asia/Jakarta", "--tenant", name)
    return name


def stored(connection: psycopg.Connection, tenant: str) -> list[tuple[str, ...]]:
    rows = connection.execute(
        "SELECT site_id, starts_at, ends_at, kind, name, known_at FROM registry.calendar_events"
        " WHERE tenant_id = %s ORDER BY starts_at",
        [tenant],
    )
    return [tuple(str(value) for value in row) for row in rows]


def test_an_event_is_added_listed_and_removed_by_its_tenant_only(
    connection: psycopg.Connection, plimsoll: Plimsoll, tenant: str
) -> None:
    mine = ["--tenant", tenant]
    event_id = plimsoll(
        "calendar", "add", "Winter break", "--kind", "closure", "--site", "gym", "--start", "2026-12-19",
        "--end", "2027-01-03", "--known-at", "2026-11-01T00:00+07:00", *mine,
    ).stdout.strip()  # fmt: skip
    listed = plimsoll("calendar", "list", "--site", "gym", "--ends-after", "2027-01-03", *mine).stdout
    foreign = plimsoll("calendar", "remove", event_id, check=False)

    assert stored(connection, tenant) == [
        ("gym", "2026-12-19 00:00:00", "2027-01-04 00:00:00", "closure", "Winter break", "2026-10-31 17:00:00+00:00")
    ]
    assert event_id in listed and "Winter break" in listed
    assert "none" in plimsoll("calendar", "list", "--ends-after", "2027-01-04", *mine).stdout
    assert foreign.returncode == 1 and f"no event '{event_id}' is in the calendar" in foreign.stderr
    plimsoll("calendar", "remove", event_id, *mine)
    assert stored(connection, tenant) == []


def test_a_file_can_be_imported_again_without_doubling_anything(
    connection: psycopg.Connection, plimsoll: Plimsoll, tenant: str, tmp_path: Path
) -> None:
    file = tmp_path / "events.csv"
    header, season = "start,end,kind,name,site_id,known_at", "2026-05-04,2026-05-22,season,Examinations,,"
    fair = "2026-06-01T18:00,2026-06-01T23:00,event,Fair,gym,"
    file.write_text(f"{header}\n{season}\n{fair}2026-05-01T00:00Z\n")
    first = plimsoll("calendar", "import", str(file), "--tenant", tenant).stdout
    told = stored(connection, tenant)
    again = plimsoll("calendar", "import", str(file), "--tenant", tenant).stdout
    file.write_text(f"{header}\n{season}\n{fair}2026-04-01T00:00Z\n")
    corrected = plimsoll("calendar", "import", str(file), "--tenant", tenant).stdout

    assert "added 2, known anew 0, unchanged 0" in first
    assert "added 0, known anew 0, unchanged 2" in again
    assert "added 0, known anew 1, unchanged 1" in corrected
    assert [row[:5] for row in told] == [
        ("*", "2026-05-04 00:00:00", "2026-05-23 00:00:00", "season", "Examinations"),
        ("gym", "2026-06-01 18:00:00", "2026-06-01 23:00:00", "event", "Fair"),
    ]
    assert stored(connection, tenant) == [told[0], (*told[1][:5], "2026-04-01 00:00:00+00:00")]


def test_the_registry_is_asked_as_often_for_a_thousand_events_as_for_one(
    connection: psycopg.Connection, plimsoll: Plimsoll, tenant: str
) -> None:
    connection.cursor_factory = Counting
    asked = []
    for count in (1, 1000):
        events = {
            line: NewCalendarEvent(
                site_id="gym", start=DAY + timedelta(hours=line), end=DAY + timedelta(hours=line + 1), kind="event",
                name=f"one of {count}",
            )
            for line in range(count)
        }  # fmt: skip
        for known_at in (None, DAY.replace(tzinfo=UTC)):
            again = {line: event.model_copy(update={"known_at": known_at}) for line, event in events.items()}
            Counting.executed = 0
            done = import_events(connection, tenant, again)
            asked.append((Counting.executed, done))

    assert [statements for statements, _ in asked[:2]] == [statements for statements, _ in asked[2:]]
    assert [done for _, done in asked[2:]] == [Imported(added=1000), Imported(changed=1000)]


def test_a_midnight_that_is_told_is_the_end_and_no_whole_day(
    connection: psycopg.Connection, plimsoll: Plimsoll, tenant: str, tmp_path: Path
) -> None:
    file = tmp_path / "events.csv"
    file.write_text(
        "start,end,kind,name\n2026-12-01T00:00,2026-12-02T00:00,closure,told\n2026-12-03,2026-12-04,closure,days\n"
    )
    plimsoll("calendar", "import", str(file), "--tenant", tenant)
    plimsoll(
        "calendar", "add", "typed", "--kind", "closure", "--start", "2026-12-05", "--end", "2026-12-06T00:00",
        "--tenant", tenant,
    )  # fmt: skip

    assert {name: (start, end) for _, start, end, _, name, _ in stored(connection, tenant)} == {
        "told": ("2026-12-01 00:00:00", "2026-12-02 00:00:00"),
        "days": ("2026-12-03 00:00:00", "2026-12-05 00:00:00"),
        "typed": ("2026-12-05 00:00:00", "2026-12-06 00:00:00"),
    }


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("2026-05-04,2026-05-05,party,x,", "line 3: kind: input should be 'holiday'"),
        ("2026-05-04,2026-05-03,event,x,", "line 3: end: must be after start"),
        ("soon,2026-05-03,event,x,", "line 3: start: input should be a valid datetime"),
        ("2026-05-04,2026-05-05,event,,", "line 3: name: field required"),
        ("2026-05-04,2026-05-05,event,x,nowhere", "line 3: site_id: no site or series 'nowhere' is known"),
        ("2026-05-04,3026-05-05,event,x,", "line 3: end: input should be less than 2200-01-01"),
        ("0206-05-04,2026-05-05,event,x,", "line 3: start: input should be greater than or equal to 1900-01-01"),
        ("2026-05-01,2026-05-02,event,Fair,", "stands in line 2 already"),
    ],
)
def test_a_bad_row_is_named_by_line_and_field_and_nothing_is_imported(
    connection: psycopg.Connection, plimsoll: Plimsoll, tenant: str, tmp_path: Path, row: str, says: str
) -> None:
    file = tmp_path / "events.csv"
    file.write_text(f"start,end,kind,name,site_id\n2026-05-01,2026-05-02,event,Fair,\n{row}\n")

    refused = plimsoll("calendar", "import", str(file), "--tenant", tenant, check=False)

    assert refused.returncode == 1
    assert says in refused.stderr and "nothing was imported" in refused.stderr
    assert stored(connection, tenant) == []


def test_a_word_that_is_no_kind_and_a_missing_column_are_told(plimsoll: Plimsoll, tmp_path: Path) -> None:
    file = tmp_path / "events.csv"
    file.write_text("start,end,name\n2026-05-01,2026-05-02,Fair\n")

    kind = plimsoll("calendar", "list", "--kind", "party", check=False)
    column = plimsoll("calendar", "import", str(file), check=False)
    typed = plimsoll(
        "calendar", "add", "Fair", "--kind", "event", "--start", "x", "--end", "2026-05-02", check=False
    )  # fmt: skip

    assert "--kind party: write holiday, school_holiday, closure, event or season" in kind.stderr
    assert "no column 'kind'" in column.stderr
    assert "start: input should be a valid datetime" in typed.stderr
