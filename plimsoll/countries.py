"""Holidays and Ramadan by country and subdivision (package `holidays`), and the country a time zone lies in."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from datetime import date, timedelta
from functools import cache
from io import StringIO

from plimsoll.errors import PlimsollError

# "Boxing Day (observed)", "Eid al-Fitr Second Day", "… Joint Holiday" move people as the day itself does.
_SAME_DAY = re.compile(r"\s*(\(.*?\)|Second Day|Joint Holiday)\s*", re.IGNORECASE)
# Bridge days that a government declares (Indonesia's cuti bersama) empty offices like any holiday.
_CATEGORIES = ("public", "government")
# A Ramadan that ended before the first day still shows in the weeks after it.
_NEAR = timedelta(days=60)


class UnknownCountry(PlimsollError):
    """There is no calendar for a country or its subdivision."""


def holidays_of(country: str, first: date, last: date) -> dict[date, str]:
    """The public holidays of a country from `first` to `last`, by day, each with one name that is the same every year.

    Args:
        country: ISO 3166 code, with a subdivision after a hyphen where it has holidays of its own: ID, US-CA, AU-VIC.
        first: first day.
        last: last day.

    Raises:
        UnknownCountry: the message says what to write.
    """
    import holidays

    code, subdivision = _required(country)
    plain = holidays.country_holidays(code, subdiv=subdivision)
    found = holidays.country_holidays(
        code,
        subdiv=subdivision,
        years=range(first.year, last.year + 1),
        # One name for a holiday whatever language the installation speaks: equal names are the same event.
        language="en_US" if "en_US" in plain.supported_languages else None,
        categories=tuple(name for name in _CATEGORIES if name in plain.supported_categories),
    )
    return {
        day: _SAME_DAY.sub(" ", names.split(";")[0]).strip()
        for day, names in sorted(found.items())
        if first <= day <= last
    }


def ramadans_of(country: str, first: date, last: date) -> list[tuple[date, date]]:
    """First day of Ramadan, and Eid al-Fitr, of each near the days asked for; none where Eid is no holiday.

    Args:
        country: as for `holidays_of`.
        first: first day.
        last: last day.

    Raises:
        UnknownCountry: the message says what to write.
    """
    import holidays

    code, subdivision = _required(country)
    known = holidays.country_holidays(code, subdiv=subdivision, years=range(first.year - 1, last.year + 2))
    # The package knows when Ramadan begins by each country's reckoning, but names the day only where it is a holiday.
    moon = getattr(known, "_islamic_calendar", None)
    if moon is None:
        return []
    years = sorted(known.years)
    begins = sorted({day for year in years for day, _ in moon.ramadan_beginning_dates(year)})
    eids = sorted({day for year in years for day, _ in moon.eid_al_fitr_dates(year)})
    pairs = [(max(day for day in begins if day < eid), eid) for eid in eids if eid in known and begins[0] < eid]
    return [(begin, eid) for begin, eid in pairs if first - _NEAR <= eid and begin <= last + _NEAR]


def seed_text(countries: Iterable[str], first: date, last: date) -> str:
    """The dbt seed `holidays.csv`: calendar, day and name of the public holidays of countries."""
    written = StringIO()
    rows = csv.writer(written, lineterminator="\n")
    rows.writerow(["calendar", "holiday_date", "name"])
    rows.writerows(
        [country, day, name] for country in countries for day, name in holidays_of(country, first, last).items()
    )
    return written.getvalue()


def require_country(country: str) -> str:
    """The country, if it has a calendar.

    Raises:
        UnknownCountry: the message says what to write.
    """
    _required(country)
    return country


@cache
def country_of(time_zone: str) -> str | None:
    """The country in which a time zone's name lies (tz database, `zone.tab`); None for UTC and the like."""
    return _countries().get(time_zone)


@cache
def _countries() -> dict[str, str]:
    from importlib.resources import files

    lines = (files("tzdata") / "zoneinfo" / "zone.tab").read_text().splitlines()
    rows = (line.split("\t") for line in lines if line and not line.startswith("#"))
    return {row[2]: row[0] for row in rows}


def _required(country: str) -> tuple[str, str | None]:
    import holidays

    code, _, subdivision = country.partition("-")
    known = holidays.list_supported_countries()
    if code not in known:
        raise UnknownCountry(
            f"country {country!r}: there is no calendar for {code!r}; write a code such as ID or US-CA"
        )
    if subdivision and subdivision not in known[code]:
        some = ", ".join(known[code]) or "none"
        raise UnknownCountry(f"country {country!r}: {code} has no subdivision {subdivision!r}; it has {some}")
    return code, subdivision or None
