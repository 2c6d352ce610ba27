"""The panel that models learn from: a tenant's hourly series, read from the marts."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psycopg

from forecasting.events import Events
from plimsoll.errors import PlimsollError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Panel:
    """A tenant's hourly series.

    Attributes:
        hours: one row per series and hour: `site_id` (the series id, categorical), `hour` (UTC, start), `value`
            (people or vehicles, mean over the hour), `capacity` (NaN where unknown), `is_imputed`.
        tz: IANA time zone by series id.
        groups: the kind of each series, by series id: venue, area or route.
        events: the calendar of its sites.
    """

    hours: pd.DataFrame
    tz: Mapping[str, str]
    groups: Mapping[str, str]
    events: Events = field(default_factory=Events)

    def by_group(self) -> dict[str, Panel]:
        """The panel of each group of series."""
        group = self.hours["site_id"].map(self.groups).astype(str)
        return {
            name: Panel(
                rows.assign(site_id=rows["site_id"].cat.remove_unused_categories()),
                {site: zone for site, zone in self.tz.items() if self.groups[site] == name},
                {site: kind for site, kind in self.groups.items() if kind == name},
                self.events,
            )
            for name, rows in self.hours.groupby(group, observed=True)
        }


def read_panel(
    connection: psycopg.Connection,
    tenant_id: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    around: str | None = None,
    others_since: datetime | None = None,
) -> Panel:
    """The tenant's series from `marts.fct_series_hourly` with `since <= hour < until`, ordered by series and hour.

    Where a series is named by `around`, only hours from `others_since` on are read of the others.

    Raises:
        PlimsollError: the mart is not built yet.
    """
    query = """
        COPY (
            SELECT series_id, extract(epoch FROM hour)::bigint, value, capacity, coalesce(is_imputed, false)::int,
                   series_kind, time_zone
            FROM marts.fct_series_hourly
            WHERE
                tenant_id = %(tenant)s AND value IS NOT NULL AND hour >= %(since)s AND hour < %(until)s
                AND (%(around)s::text IS NULL OR series_id = %(around)s OR hour >= %(others_since)s)
            ORDER BY series_id, hour
        ) TO STDOUT (FORMAT csv)
    """
    text = io.BytesIO()
    first = since or datetime(1970, 1, 1, tzinfo=UTC)
    parameters = {
        "tenant": tenant_id, "since": first, "until": until or datetime(9999, 1, 1, tzinfo=UTC), "around": around,
        "others_since": others_since or first,
    }  # fmt: skip
    try:
        with connection.cursor() as cursor, cursor.copy(query, parameters) as copy:
            for block in copy:
                text.write(block)
    except psycopg.errors.UndefinedTable as error:
        raise PlimsollError("marts.fct_series_hourly does not exist yet: run `dbt build` first") from error
    text.seek(0)
    return _panel(text)


def _panel(text: io.BytesIO) -> Panel:
    import pandas as pd

    names = ["site_id", "hour", "value", "capacity", "is_imputed", "kind", "time_zone"]
    texts = dict.fromkeys(["site_id", "kind", "time_zone"], "category")
    # Only an empty field is missing: a site may well be called "NA".
    rows = pd.read_csv(
        text,
        names=names,
        dtype=texts | {"hour": "int64", "value": "float64", "capacity": "float64"},  # type: ignore[arg-type]
        keep_default_na=False,
        na_values={"value": [""], "capacity": [""], "time_zone": [""]},
    )
    rows["hour"] = pd.to_datetime(rows["hour"], unit="s", utc=True)
    rows["is_imputed"] = rows["is_imputed"].astype(bool)
    series = rows.drop_duplicates("site_id", keep="last")
    return Panel(
        hours=rows[["site_id", "hour", "value", "capacity", "is_imputed"]],
        tz={
            str(key): zone if isinstance(zone, str) else "UTC"
            for key, zone in zip(series["site_id"], series["time_zone"], strict=True)
        },
        groups={str(key): str(kind) for key, kind in zip(series["site_id"], series["kind"], strict=True)},
    )
