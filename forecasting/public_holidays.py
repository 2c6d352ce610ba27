"""Public holidays by country and subdivision, from the package `holidays`, and the country that a time zone lies in."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from functools import cache
from typing import TYPE_CHECKING

from forecasting.events import ALWAYS_KNOWN, EVERY_SITE, Event
from forecasting.local_grid import DAY_HOURS
from forecasting.panel import PanelError

if TYPE_CHECKING:
    from holidays import HolidayBase

# "Boxing Day (observed)", "Eid al-Fitr Second Day", "… Joint Holiday" move people as the day itself does.
_SAME_DAY = re.compile(r"\s*(\(.*?\)|Second Day|Joint Holiday)\s*", re.IGNORECASE)
# Bridge days that a government declares (Indonesia's cuti bersama) empty offices like any holiday.
_CATEGORIES = ("public", "government")
_EPOCH = date(1970, 1, 1)


def public_holidays(country: str, first: date, last: date, sites: Iterable[str] = (EVERY_SITE,)) -> list[Event]:
    """The public holidays of a country from `first` to `last`, one event per site and day, on the local clock.

    Args:
        country: ISO 3166 code, with a subdivision after a hyphen where it has holidays of its own: ID, US-CA, AU-VIC.
        first: first day.
        last: last day.
        sites: whose they are.

    Raises:
        PanelError: there is no such country or subdivision; the message says what to write.
    """
    events = []
    found = _holidays(country, tuple(range(first.year, last.year + 1)))
    for day, names in sorted(found.items()):
        if first <= day <= last:
            start_h = (day - _EPOCH).days * DAY_HOURS
            name = _SAME_DAY.sub(" ", names.split(";")[0]).strip()
            events += [Event(site, start_h, start_h + DAY_HOURS, True, "holiday", name, ALWAYS_KNOWN) for site in sites]
    return events


def require_country(country: str) -> None:
    """Refuse a country or subdivision that has no calendar.

    Raises:
        PanelError: the message says what to write.
    """
    _holidays(country, (date(2025, 1, 1).year,))


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


def _holidays(country: str, years: tuple[int, ...]) -> HolidayBase:
    import holidays

    code, _, subdivision = country.partition("-")
    known = holidays.list_supported_countries()
    if code not in known:
        raise PanelError(
            f"country {country!r}: there is no calendar for {code!r}; write an ISO code such as ID or US-CA"
        )
    if subdivision and subdivision not in known[code]:
        some = ", ".join(known[code]) or "none"
        raise PanelError(f"country {country!r}: {code} has no subdivision {subdivision!r}; it has {some}")
    plain = holidays.country_holidays(code, subdiv=subdivision or None)
    return holidays.country_holidays(
        code,
        subdiv=subdivision or None,
        years=years,
        # One name for a holiday whatever language the installation speaks: equal names are the same event.
        language="en_US" if "en_US" in plain.supported_languages else None,
        categories=tuple(name for name in _CATEGORIES if name in plain.supported_categories),
    )
