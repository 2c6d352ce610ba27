"""Public holidays as calendar events."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from forecasting.calendar_file import read_calendar
from forecasting.country_calendar import country_calendar
from forecasting.panel import PanelError
from plimsoll.countries import UnknownCountry, country_of, seed_text
from plimsoll.settings import PROJECT_DIR


def days(country: str, year: int, name: str) -> list[str]:
    found = country_calendar(country, date(year, 1, 1), date(year, 12, 31))
    return [str(np.datetime64(e.start_h // 24, "D")) for e in found if e.name == name]


def test_lebaran_moves_with_the_moon_and_takes_its_bridge_days_along() -> None:
    assert days("ID", 2025, "Eid al-Fitr") == [
        "2025-03-31", "2025-04-01", "2025-04-02", "2025-04-03", "2025-04-04", "2025-04-07",
    ]  # fmt: skip
    assert days("ID", 2026, "Eid al-Fitr")[1] == "2026-03-21"


def test_a_day_observed_instead_has_the_name_of_its_holiday() -> None:
    assert days("AU-VIC", 2015, "Boxing Day") == ["2015-12-26", "2015-12-28"]
    assert days("AU-VIC", 2015, "Melbourne Cup Day") == ["2015-11-03"]
    assert days("AU", 2015, "Melbourne Cup Day") == []


def test_only_the_days_asked_for_come_and_each_site_has_its_own() -> None:
    found = country_calendar("US-CA", date(2016, 11, 24), date(2016, 11, 25), ["gym", "pool"])

    assert [(event.site_id, event.end_h - event.start_h) for event in found] == [
        ("gym", 24), ("pool", 24), ("gym", 24), ("pool", 24),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("country", "says"),
    [("XX", "there is no calendar for 'XX'"), ("AU-ZZ", "AU has no subdivision 'ZZ'; it has ACT, NSW"), ("", "''")],
)
def test_a_country_without_a_calendar_is_refused_in_words(country: str, says: str) -> None:
    with pytest.raises(UnknownCountry, match=says):
        country_calendar(country, date(2016, 1, 1), date(2016, 1, 2))


@pytest.mark.parametrize(
    ("zone", "country"),
    [("Asia/Jakarta", "ID"), ("Australia/Melbourne", "AU"), ("UTC", None), ("Etc/GMT+7", None)],
)
def test_a_time_zone_names_its_country(zone: str, country: str | None) -> None:
    assert country_of(zone) == country


def test_a_file_s_events_and_a_country_s_holidays_are_one_calendar(tmp_path) -> None:
    file = tmp_path / "events.csv"
    file.write_text("site_id,start,end,kind,name,known_at\ngym,2016-12-17,2017-01-08,closure,winter,2016-11-01\n")
    hours = pd.Series(pd.date_range("2016-11-01", "2016-12-01", freq="h", tz="UTC"))

    found = read_calendar(file, "US-CA", hours)

    assert [(e.kind, e.site_id, e.name) for e in found.entries] == [
        ("holiday", "*", "Veterans Day"), ("holiday", "*", "Thanksgiving Day"),
        ("holiday", "*", "Day After Thanksgiving"), ("closure", "gym", "winter"),
    ]  # fmt: skip


def test_a_bad_file_names_file_column_and_row(tmp_path) -> None:
    file = tmp_path / "events.csv"
    file.write_text("site_id,start,end,kind,name,known_at\n*,2016-12-17,2016-12-18,party,x,2016-11-01\n")

    with pytest.raises(PanelError, match=r"events\.csv: calendar: column 'kind', row 1: 'party'"):
        read_calendar(file, None, pd.Series(dtype="datetime64[ns, UTC]"))


def test_the_date_dimension_knows_the_same_holidays() -> None:
    seed = PROJECT_DIR / "dbt_project" / "seeds" / "holidays.csv"

    assert seed.read_text() == seed_text(["ID"], date(2015, 1, 1), date(2035, 12, 31)), "run `make holidays`"
