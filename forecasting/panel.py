"""The panel: every site's values on one regular grid of UTC hours, checked once, gaps explicit as NaN.

Everything else in this package works on these matrices; what a tidy table may look like is decided here only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from plimsoll.errors import PlimsollError

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.int64]

HOUR_NS = 3_600_000_000_000
# A wrong year in one row would otherwise make a grid of millions of empty hours.
MAX_SPAN_HOURS = 24 * 366 * 30
_FLAGS = {"": False, "false": False, "f": False, "0": False, "true": True, "t": True, "1": True}


class PanelError(PlimsollError):
    """The panel cannot be used: the message names the column, the row or site, and the reason."""


@dataclass(frozen=True)
class Panel:
    """Site × hour matrices.

    Attributes:
        sites: site ids, sorted; the rows of the matrices.
        first_hour_ns: start of the first column, nanoseconds since the epoch, UTC.
        values: [site, hour], float32; NaN where nothing was observed. Never negative.
        capacity: [site, hour], float32, NaN where unknown; None when the table has no such column.
    """

    sites: tuple[str, ...]
    first_hour_ns: int
    values: Floats
    capacity: Floats | None = None

    @property
    def hours_ns(self) -> Ints:
        """Start of each column, nanoseconds since the epoch, UTC."""
        return self.first_hour_ns + HOUR_NS * np.arange(self.values.shape[1], dtype=np.int64)

    @property
    def end_ns(self) -> int:
        """End of the last column that holds an observation: the first possible origin after all data."""
        seen = np.flatnonzero(np.isfinite(self.values).any(axis=0))
        return self.first_hour_ns + HOUR_NS * (int(seen[-1]) + 1 if seen.size else 0)

    def column(self, hour_ns: int) -> int:
        """The column of an hour; may lie outside the grid."""
        return int((hour_ns - self.first_hour_ns) // HOUR_NS)

    def at(self, hours_ns: Ints) -> Floats:
        """The values at these hours, [site, hour]; NaN outside the grid."""
        columns = (np.asarray(hours_ns, dtype=np.int64) - self.first_hour_ns) // HOUR_NS
        inside = (columns >= 0) & (columns < self.values.shape[1])
        found = np.full((len(self.sites), len(columns)), np.nan, dtype=np.float32)
        found[:, inside] = self.values[:, columns[inside]]
        return found


def build_panel(
    frame: pd.DataFrame,
    *,
    until: pd.Timestamp | None = None,
    since: pd.Timestamp | None = None,
    sites: Sequence[str] | None = None,
) -> Panel:
    """Check a tidy table and lay it out as a regular panel.

    Args:
        frame: columns `site_id`, `hour` (time-zone aware start of the hour), `value` (NaN allowed), optionally
            `capacity` and `is_imputed`. An imputed hour is read as a gap: it is neither learnt from nor scored.
            Negative values, which sensors that count in and out produce, are read as 0; a capacity of 0 or less, as
            unknown.
        until: keep only hours before this instant, and let the grid reach it.
        since: keep only hours from this instant on.
        sites: the rows wanted, in this order; a site without rows becomes a row of NaN.

    Raises:
        PanelError: a column is missing or of the wrong type, an hour is not a full hour, or a (site, hour) repeats.
    """
    _require_columns(frame)
    instants = _instants(frame)
    keep = np.ones(len(frame), dtype=bool)
    if until is not None:
        keep &= instants < until.value
    if since is not None:
        keep &= instants >= since.value
    rows = frame if keep.all() else frame.loc[keep]
    instants = instants[keep]
    names, codes = _site_codes(rows, sites)
    if len(instants) == 0:
        empty = np.full((len(names), 0), np.nan, dtype=np.float32)
        return Panel(names, until.value if until is not None else 0, empty)
    inside = codes >= 0
    return _fill(names, codes[inside], instants[inside], rows.loc[inside] if not inside.all() else rows, until)


def _require_columns(frame: pd.DataFrame) -> None:
    missing = [name for name in ("site_id", "hour", "value") if name not in frame.columns]
    if missing:
        raise PanelError(
            f"column {missing[0]!r} is missing; a panel has the columns site_id, hour, value and optionally "
            f"capacity (found: {', '.join(map(str, frame.columns))})"
        )


def _instants(frame: pd.DataFrame) -> Ints:
    import pandas as pd

    hours = frame["hour"]
    if not isinstance(hours.dtype, pd.DatetimeTZDtype):
        raise PanelError(f"column 'hour' must hold instants with a time zone, not {hours.dtype}")
    if hours.isna().any():
        raise PanelError(f"column 'hour' is empty in row {int(hours.isna().to_numpy().argmax()) + 1}")
    instants: Ints = hours.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy("datetime64[ns]").astype(np.int64)
    return instants


def _site_codes(rows: pd.DataFrame, wanted: Sequence[str] | None) -> tuple[tuple[str, ...], Ints]:
    import pandas as pd

    column = rows["site_id"]
    if column.isna().any():
        raise PanelError(f"column 'site_id' is empty in row {int(column.isna().to_numpy().argmax()) + 1}")
    codes, found = pd.factorize(column)
    found_names = [str(name) for name in found]
    names = tuple(wanted) if wanted is not None else tuple(sorted(set(found_names)))
    position = {name: row for row, name in enumerate(names)}
    translate = np.array([position.get(name, -1) for name in found_names], dtype=np.int64)
    return names, translate[codes] if found_names else np.empty(0, dtype=np.int64)


def _fill(names: tuple[str, ...], codes: Ints, instants: Ints, rows: pd.DataFrame, until: pd.Timestamp | None) -> Panel:
    if len(instants) == 0:
        return Panel(names, 0, np.full((len(names), 0), np.nan, dtype=np.float32))
    first, last = int(instants.min()), int(instants.max())
    columns = (instants - first) // HOUR_NS
    odd = (instants - first) % HOUR_NS != 0
    if odd.any():
        at = int(odd.argmax())
        raise PanelError(
            f"column 'hour': {rows['hour'].iloc[at]} (site {rows['site_id'].iloc[at]}) is not a whole number of hours "
            f"after {rows['hour'].iloc[int(instants.argmin())]}; give the start of each hour"
        )
    width = (last - first) // HOUR_NS + 1
    if until is not None:  # silence before it is known as well
        width = max(width, -(-(until.value - first) // HOUR_NS))
    if width > MAX_SPAN_HOURS:
        raise PanelError(f"column 'hour' spans {width // 8766} years; is the year of some rows wrong?")
    _refuse_repeats(codes * width + columns, rows)
    values = _numbers(rows, "value")
    if "is_imputed" in rows.columns:
        values = np.where(_flags(rows, "is_imputed"), np.nan, values)
    capacity = None
    if "capacity" in rows.columns:
        places = _numbers(rows, "capacity")
        capacity = _matrix(len(names), width, codes, columns, np.where(places > 0, places, np.nan))
    return Panel(
        sites=names,
        first_hour_ns=first,
        values=_matrix(len(names), width, codes, columns, np.where(values < 0, 0.0, values)),
        capacity=capacity,
    )


def _refuse_repeats(keys: Ints, rows: pd.DataFrame) -> None:
    order = np.argsort(keys, kind="stable")
    repeated = np.flatnonzero(np.diff(keys[order]) == 0)
    if repeated.size:
        row = rows.iloc[int(order[repeated[0] + 1])]
        raise PanelError(
            f"columns 'site_id', 'hour': {repeated.size} repeated pairs, the first is site {row['site_id']} at "
            f"{row['hour']}; give one row for each site and hour"
        )


def _numbers(rows: pd.DataFrame, column: str) -> Floats:
    import pandas as pd

    if not pd.api.types.is_numeric_dtype(rows[column].dtype):
        raise PanelError(f"column {column!r} must hold numbers, not {rows[column].dtype}")
    numbers = rows[column].to_numpy(dtype=np.float64, na_value=np.nan)
    if np.isinf(numbers).any():
        raise PanelError(f"column {column!r} is infinite in row {int(np.isinf(numbers).argmax()) + 1}")
    return numbers


def _flags(rows: pd.DataFrame, column: str) -> npt.NDArray[np.bool_]:
    """Whether each row is flagged; what is blank is not. Files write flags in several ways."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(rows[column].dtype) or pd.api.types.is_numeric_dtype(rows[column].dtype):
        return rows[column].fillna(0).to_numpy(dtype=bool)
    words = rows[column].astype(str).str.strip().str.lower().where(rows[column].notna(), "")
    flags = words.map(_FLAGS)
    if flags.isna().any():
        at = int(flags.isna().to_numpy().argmax())
        raise PanelError(f"column {column!r}, row {at + 1}: {rows[column].iloc[at]!r} is neither true nor false")
    return flags.to_numpy(dtype=bool)


def _matrix(height: int, width: int, codes: Ints, columns: Ints, numbers: Floats) -> Floats:
    matrix = np.full((height, width), np.nan, dtype=np.float32)
    matrix[codes, columns] = numbers
    return matrix


def zones(sites: Sequence[str], tz: str | Mapping[str, str]) -> dict[str, list[int]]:
    """Group the rows of a panel by IANA time zone.

    Raises:
        PanelError: a site has no time zone in the mapping, or the zone does not exist.
    """
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    grouped: dict[str, list[int]] = {}
    for row, site in enumerate(sites):
        name = tz if isinstance(tz, str) else tz.get(site)
        if name is None:
            raise PanelError(f"site {site!r} has no time zone; name one for each site, or one for all")
        grouped.setdefault(name, []).append(row)
    for name in grouped:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise PanelError(f"time zone {name!r} does not exist; give an IANA name such as Asia/Jakarta") from error
    return grouped
