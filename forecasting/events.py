"""Calendar events: holidays, school holidays, closures, one-off events, seasons; each from when it was known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from forecasting.local_grid import DAY_HOURS, LocalGrid
from forecasting.panel import HOUR_NS, Ints, PanelError

if TYPE_CHECKING:
    import pandas as pd

Bools = npt.NDArray[np.bool_]

KINDS = ("holiday", "school_holiday", "closure", "event", "season")
HOLIDAY, SCHOOL_HOLIDAY, CLOSURE, EVENT, SEASON = (1 << number for number in range(len(KINDS)))
EVERY_SITE = "*"
ALWAYS_KNOWN = -(2**62)
# Local days kept beyond the last observation, for targets that lie ahead.
AHEAD_DAYS = 60
REQUIRED = ("site_id", "start", "end", "kind")
HOUR_S = 3600
# Those whose every instant can be counted in nanoseconds.
YEARS = range(1678, 2262)


@dataclass(frozen=True)
class Event:
    """One event of one site or of every site.

    Attributes:
        site_id: a site, or `*`.
        start_h: first hour, counted from 1970-01-01 00:00 on the clock that `is_local` names.
        end_h: the hour after the last.
        is_local: on the site's wall clock, in whole hours; otherwise UTC, with parts of hours, which are other hours
            on a clock that is half an hour off.
        kind: one of KINDS.
        name: what people call it; equal names are the same event in different years.
        known_ns: when it became known, UTC nanoseconds; ALWAYS_KNOWN where the calendar does not say.
    """

    site_id: str
    start_h: float
    end_h: float
    is_local: bool
    kind: str
    name: str
    known_ns: int


@dataclass(frozen=True)
class Events:
    """A calendar for all sites, ordered by when its entries became known."""

    entries: tuple[Event, ...] = ()

    @classmethod
    def of(cls, entries: Iterable[Event]) -> Events:
        """The calendar of these entries, each once."""
        return cls(tuple(sorted(set(entries), key=lambda entry: (entry.known_ns, astuple(entry)))))

    @classmethod
    def from_frame(cls, frame: pd.DataFrame | Events | None, *, end_is_included: bool = True) -> Events:
        """Read a calendar table; a calendar that was read already is given back.

        Args:
            frame: `site_id` (or `*` for every site), `start`, `end`, `kind` (one of KINDS), optionally `name`,
                `known_at`. Without a time zone, start and end are on the site's wall clock. If both have no time of
                day, the days are whole and `end` is included. An entry without `known_at` counts as always known; a
                `known_at` without a time zone is UTC.
            end_is_included: whether an end without a time of day means the whole of that day.

        Raises:
            PanelError: a column is missing or a cell cannot be read; the message names both.
        """
        if isinstance(frame, Events):
            return frame
        if frame is None or not len(frame):
            return cls()
        missing = [name for name in REQUIRED if name not in frame.columns]
        if missing:
            raise PanelError(f"calendar: column {missing[0]!r} is missing; it needs {', '.join(REQUIRED)}")
        rows = enumerate(frame.to_dict("records"), start=1)
        return cls.of(_entry(number, row, end_is_included) for number, row in rows)

    def to_json(self) -> list[dict[str, Any]]:
        """Plain records."""
        return [asdict(entry) for entry in self.entries]

    @classmethod
    def from_json(cls, stored: Iterable[dict[str, Any]]) -> Events:
        """The calendar that `to_json` wrote."""
        return cls(tuple(Event(**entry) for entry in stored))

    def for_grid(self, grid: LocalGrid, names: Sequence[str]) -> ZoneEvents:
        """The entries that concern a grid's sites, on its wall clock; the same event of many sites is one."""
        position = {name: row for row, name in enumerate(names)}
        sites: dict[tuple[int, int, int, str, str], list[str]] = {}
        for entry in self.entries:
            if entry.site_id != EVERY_SITE and entry.site_id not in position:
                continue
            start, end = int(entry.start_h), int(entry.end_h)
            if not entry.is_local:
                start = _local_seconds(entry.start_h, grid.tz) // HOUR_S
                end = -(-_local_seconds(entry.end_h, grid.tz) // HOUR_S)
            first = grid.first_day * DAY_HOURS
            sites.setdefault((entry.known_ns, start - first, end - first, entry.kind, entry.name), []).append(
                entry.site_id
            )
        entries = [
            ZoneEvent(kind, name, start, end, known, None if EVERY_SITE in those else _rows(those, position))
            for (known, start, end, kind, name), those in sorted(sites.items())
        ]
        known_ns = np.array([entry.known_ns for entry in entries], dtype=np.int64)
        return ZoneEvents(tuple(entries), known_ns, (len(names), grid.days + AHEAD_DAYS))


@dataclass(frozen=True)
class ZoneEvent:
    """One event on a grid's wall clock.

    Attributes:
        kind: one of KINDS.
        name: equal names are the same event in different years.
        start: first hour, counted from the grid's first day.
        end: the hour after the last.
        known_ns: when it became known.
        rows: the grid's rows that it concerns; None for all.
    """

    kind: str
    name: str
    start: int
    end: int
    known_ns: int
    rows: Ints | None

    @property
    def first_day(self) -> int:
        """Day index of its first hour."""
        return self.start // DAY_HOURS

    @property
    def last_day(self) -> int:
        """Day index of its last hour."""
        return (self.end - 1) // DAY_HOURS


@dataclass(frozen=True)
class ZoneEvents:
    """The calendar of one grid: which kinds of event lie on each site's hours, as known at an origin."""

    entries: tuple[ZoneEvent, ...]
    known_ns: Ints
    shape: tuple[int, int]
    _flags: dict[int, npt.NDArray[np.uint8]] = field(default_factory=dict)

    def known(self, origin_ns: int) -> int:
        """How many entries, in order, were known at an origin."""
        return int(np.searchsorted(self.known_ns, origin_ns, side="right"))

    def flags(self, origin_ns: int) -> npt.NDArray[np.uint8]:
        """[site, day, hour]: the kinds on each hour as known at the origin, one bit per kind."""
        count = self.known(origin_ns)
        if count not in self._flags:
            marked = np.zeros((self.shape[0], self.shape[1] * DAY_HOURS), dtype=np.uint8)
            for entry in self.entries[:count]:
                sites = slice(None) if entry.rows is None else entry.rows
                marked[sites, max(entry.start, 0) : max(entry.end, 0)] |= 1 << KINDS.index(entry.kind)
            # Origins come mostly in order of time: one more than the last known set is rarely asked for again.
            if len(self._flags) > 4:
                self._flags.clear()
            self._flags[count] = marked.reshape(*self.shape, DAY_HOURS)
        return self._flags[count]

    def ordinary(self, origin_ns: int, day: int) -> Bools | None:
        """[site, day] up to the origin's day: days without holiday, closure or event; None where all are ordinary."""
        if not self.known(origin_ns):
            return None
        special = self.flags(origin_ns)[:, : day + 1] & (HOLIDAY | CLOSURE | EVENT)
        return np.asarray(~special.any(axis=2))

    def closed(self, site: Ints, day: Ints, hour: Ints, origin_ns: int) -> Bools:
        """Whether a closure known at the origin lies on each (site, day, hour)."""
        if not self.known(origin_ns):
            return np.zeros(np.broadcast_shapes(site.shape, day.shape, hour.shape), dtype=bool)
        return np.asarray(self.flags(origin_ns)[site, np.minimum(day, self.shape[1] - 1), hour] & CLOSURE > 0)


def _rows(sites: Iterable[str], position: Mapping[str, int]) -> Ints:
    return np.array(sorted(position[site] for site in sites), dtype=np.int64)


def _entry(number: int, row: dict[Any, Any], end_is_included: bool) -> Event:
    kind = str(row["kind"]).strip().lower()
    if kind not in KINDS:
        raise PanelError(f"calendar: column 'kind', row {number}: {row['kind']!r} is none of {', '.join(KINDS)}")
    start, end = _stamp(number, "start", row["start"]), _stamp(number, "end", row["end"])
    if (start.tzinfo is None) != (end.tzinfo is None):
        raise PanelError(f"calendar: row {number}: give 'start' and 'end' both with a time zone or both without")
    is_local = start.tzinfo is None
    whole_days = is_local and start == start.normalize() and end == end.normalize()
    start_h, end_h = start.value / HOUR_NS, end.value / HOUR_NS
    if is_local:
        start_h, end_h = start.value // HOUR_NS, -(-end.value // HOUR_NS)
    end_h += DAY_HOURS if whole_days and end_is_included else 0
    if end_h <= start_h:
        raise PanelError(f"calendar: column 'end', row {number}: {row['end']} is not after the start {row['start']}")
    site = _text(row["site_id"])
    if not site:
        raise PanelError(f"calendar: column 'site_id', row {number} is empty; write * for every site")
    known = row.get("known_at")
    return Event(site, start_h, end_h, is_local, kind, _text(row.get("name")), _known_ns(number, known))


def _stamp(number: int, column: str, value: Any) -> Any:
    import pandas as pd

    try:
        stamp = pd.Timestamp(value)
        if pd.isna(stamp):
            raise PanelError(f"calendar: column {column!r}, row {number} is empty")
        return stamp.as_unit("ns")
    except (ValueError, TypeError) as error:
        raise PanelError(
            f"calendar: column {column!r}, row {number}: {str(value)!r} is not a date or time of the years "
            f"{YEARS[0]} to {YEARS[-1]}"
        ) from error


def _known_ns(number: int, value: Any) -> int:
    if _text(value) == "":
        return ALWAYS_KNOWN
    return int(_stamp(number, "known_at", value).value)


def _text(value: Any) -> str:
    import pandas as pd

    return "" if value is None or pd.isna(value) else str(value).strip()


def _local_seconds(utc_hours: float, tz: str) -> int:
    """Seconds since 1970-01-01 00:00 on a wall clock."""
    import pandas as pd

    stamp = pd.Timestamp(round(utc_hours * HOUR_S), unit="s", tz="UTC").tz_convert(tz).tz_localize(None)
    return int(stamp.value // 10**9)
