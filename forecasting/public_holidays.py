"""Public holidays as calendar events."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from forecasting.events import ALWAYS_KNOWN, EVERY_SITE, Event
from forecasting.local_grid import DAY_HOURS
from plimsoll.countries import holidays_of

_EPOCH = date(1970, 1, 1)


def public_holidays(country: str, first: date, last: date, sites: Iterable[str] = (EVERY_SITE,)) -> list[Event]:
    """The public holidays of a country from `first` to `last`, one event per site and day, on the local clock.

    Raises:
        UnknownCountry: there is no such country or subdivision; the message says what to write.
    """
    events = []
    for day, name in holidays_of(country, first, last).items():
        start_h = (day - _EPOCH).days * DAY_HOURS
        events += [Event(site, start_h, start_h + DAY_HOURS, True, "holiday", name, ALWAYS_KNOWN) for site in sites]
    return events
