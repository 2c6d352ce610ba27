"""A tenant's series by group, each with the calendar of its sites: what training, trial and prediction start from."""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg

from forecasting.store import Panel, read_calendar, read_countries, read_panel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from forecasting.events import Event, Events

log = logging.getLogger(__name__)
# Further ahead than any forecast, so that the day after its last one is known too.
CALENDAR_AHEAD = timedelta(days=14)


def read_groups(
    connection: psycopg.Connection,
    tenant_id: str,
    *,
    until: datetime,
    since: datetime | None = None,
    country: str | None = None,
    around: str | None = None,
    others_since: datetime | None = None,
) -> dict[str, Panel]:
    """The tenant's panels by group of series (venue, area, route), hours with `since <= hour < until`.

    Args:
        connection: an open connection.
        tenant_id: whose series.
        until: the first hour that is not wanted.
        since: the first hour wanted.
        country: whose holidays count where neither the site nor its time zone says.
        around: a series; of the others only hours from `others_since` on are read.
        others_since: see `around`.

    Raises:
        PlimsollError: the mart is not built yet.
    """
    whole = read_panel(connection, tenant_id, since=since, until=until, around=around, others_since=others_since)
    own = _own_events(connection, tenant_id, until)
    countries = read_countries(connection, tenant_id)
    return {
        group: replace(panel, events=_events(panel, own, countries, country, until))
        for group, panel in sorted(whole.by_group().items())
    }


def _own_events(connection: psycopg.Connection, tenant_id: str, known_at: datetime) -> tuple[Event, ...]:
    import pandas as pd

    from forecasting.events import YEARS, Events

    rows = []
    for row in read_calendar(connection, tenant_id, known_at):
        # The registry took such years once. One mistyped entry must not cost the tenant its forecasts.
        if row["start"].year in YEARS and row["end"].year in YEARS:
            rows.append(row)
        else:
            log.warning(
                "%s: the calendar's %r from %s to %s is left out: is the year right? `plimsoll calendar remove` takes "
                "it away", tenant_id, row["name"], row["start"], row["end"],
            )  # fmt: skip
    return Events.from_frame(pd.DataFrame(rows), end_is_included=False).entries if rows else ()


def _events(
    panel: Panel, own: tuple[Event, ...], countries: Mapping[str, str], default: str | None, until: datetime
) -> Events:
    """Public holidays where each site of the panel lies, and the tenant's own events there."""
    from forecasting.events import EVERY_SITE, Events

    mine = [event for event in own if event.site_id in {EVERY_SITE, *panel.tz}]
    return Events.of([*mine, *_holidays(panel, countries, default, until)])


def _holidays(panel: Panel, countries: Mapping[str, str], default: str | None, until: datetime) -> list[Event]:
    from forecasting.country_calendar import country_calendar
    from forecasting.events import EVERY_SITE
    from plimsoll.countries import country_of

    sites = defaultdict(list)
    for site, time_zone in panel.tz.items():
        if place := countries.get(site) or default or country_of(time_zone):
            sites[place].append(site)
    first: date = panel.hours["hour"].min().date()
    last = (until + CALENDAR_AHEAD).date()
    everywhere = {place: (EVERY_SITE,) for place, those in sites.items() if len(those) == len(panel.tz)}
    return [
        event
        for place, those in sorted(sites.items())
        for event in country_calendar(place, first, last, everywhere.get(place, those))
    ]
