"""What follows from a country: its public holidays, and Ramadan with the weeks around Eid al-Fitr where it is kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta

from forecasting.events import ALWAYS_KNOWN, EVERY_SITE, Event
from forecasting.local_grid import DAY_HOURS
from plimsoll.countries import holidays_of, ramadans_of

_EPOCH = date(1970, 1, 1)
# The days around Eid al-Fitr in which cities empty and fill again; Indonesia's transport watch spans as many.
EXODUS_DAYS = 7
DAY = timedelta(days=1)


def country_calendar(country: str, first: date, last: date, sites: Iterable[str] = (EVERY_SITE,)) -> list[Event]:
    """A country's public holidays and seasons from `first` to `last`, one event per site and period, on its clock.

    Raises:
        UnknownCountry: there is no such country or subdivision; the message says what to write.
    """
    sites = list(sites)
    days = [(day, day, "holiday", name) for day, name in holidays_of(country, first, last).items()]
    return [
        Event(site, _hours(start), _hours(end + DAY), True, kind, name, ALWAYS_KNOWN)
        for start, end, kind, name in [*days, *_seasons(country, first, last)]
        for site in sites
    ]


def _seasons(country: str, first: date, last: date) -> Iterator[tuple[date, date, str, str]]:
    for begin, eid in ramadans_of(country, first, last):
        around = EXODUS_DAYS * DAY
        yield begin, eid - DAY, "season", "Ramadan"
        # The eve has an effect of its own: that of Eid al-Fitr's.
        yield eid - around, eid - 2 * DAY, "season", "Week before Eid al-Fitr"
        yield eid, eid + around, "season", "Week after Eid al-Fitr"


def _hours(day: date) -> int:
    return (day - _EPOCH).days * DAY_HOURS
