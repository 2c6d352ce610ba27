"""The calendar of a panel of one's own: a file of events, the public holidays of a country, or both."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from forecasting.country_calendar import country_calendar
from forecasting.events import Events
from forecasting.panel import PanelError
from forecasting.panel_file import read_table

if TYPE_CHECKING:
    import pandas as pd

# Public holidays are looked up a little beyond the panel: the last forecast's day has a day after.
MARGIN = timedelta(days=14)


def read_calendar(path: Path | None, country: str | None, hours: pd.Series) -> Events:
    """Read the events of a file and add a country's public holidays over the panel's hours.

    Args:
        path: CSV or Parquet as `Events.from_frame` takes it; None for no file.
        country: as for `country_calendar`; None for none.
        hours: the panel's hours.

    Raises:
        PanelError: the file cannot be used; the message names column and row.
        UnknownCountry: there is no such country.
    """
    entries = list(_events(path).entries) if path is not None else []
    if country is not None and len(hours):
        entries += country_calendar(country, hours.min().date() - MARGIN, hours.max().date() + MARGIN)
    return Events.of(entries)


def _events(path: Path) -> Events:
    try:
        return Events.from_frame(read_table(path))
    except PanelError as error:
        raise PanelError(f"{path.name}: {error}") from error
