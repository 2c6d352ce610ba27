"""Read a panel or a calendar from CSV or Parquet, and write predictions on the same clock as the input."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from forecasting.panel import PanelError, zones

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("site_id", "hour", "value", "capacity", "is_imputed")


@dataclass(frozen=True)
class PanelFile:
    """A tidy table with UTC hours, how its hours were written, and what a person should know about it."""

    frame: pd.DataFrame
    is_local: bool
    notes: tuple[str, ...]


def read_panel(path: Path, tz: str) -> PanelFile:
    """Read `site_id, hour, value[, capacity][, is_imputed]`; hours without an offset are on the clock of `tz`.

    The hour that a clock passes twice in autumn is taken as summer time first; an hour that it skips in spring cannot
    have been observed and is left out, with a note.

    Raises:
        PanelError: the file cannot be read, or a column is missing or cannot be understood.
    """
    zones([""], tz)
    frame = read_table(path)
    missing = [name for name in ("site_id", "hour", "value") if name not in frame.columns]
    if missing:
        raise PanelError(
            f"{path.name}: column {missing[0]!r} is missing; the file needs site_id, hour, value and may have capacity "
            f"(found: {', '.join(map(str, frame.columns))})"
        )
    frame = frame[[name for name in COLUMNS if name in frame.columns]].copy()
    frame["site_id"] = frame["site_id"].astype(str).where(frame["site_id"].notna())
    for column in ("value", "capacity"):
        if column in frame:
            frame[column] = _numbers(path, frame, column)
    hours, is_local = _instants(path, frame, tz)
    notes = []
    skipped = hours.isna()
    if skipped.any():
        notes.append(f"{int(skipped.sum())} rows lie in an hour that the clock of {tz} skips in spring; left out")
    frame = frame.assign(hour=hours).loc[~skipped]
    negative = int((frame["value"] < 0).sum())
    if negative:
        notes.append(f"{negative} negative values read as 0")
    return PanelFile(frame, is_local, tuple(notes))


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV or Parquet file by its ending."""
    import pandas as pd

    if not path.is_file():
        raise PanelError(f"{path} is not a file")
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return pd.read_parquet(path)
        if path.name.lower().endswith((".csv", ".csv.gz")):
            return pd.read_csv(path, dtype={"site_id": str})
    except (ValueError, OSError, UnicodeDecodeError) as error:
        raise PanelError(f"{path.name} cannot be read: {error}") from error
    raise PanelError(f"{path.name}: give a file that ends in .csv, .csv.gz or .parquet")


def write_predictions(predictions: pd.DataFrame, path: Path, tz: str, is_local: bool) -> None:
    """Write `site_id, origin, hour, prediction, p10, p90`, hours on the panel's clock: local without offset, or UTC."""
    out = predictions[["site_id", "origin", "hour", "prediction", "p10", "p90"]].copy()
    if is_local:
        for column in ("origin", "hour"):
            out[column] = out[column].dt.tz_convert(tz).dt.tz_localize(None)
    out[["prediction", "p10", "p90"]] = out[["prediction", "p10", "p90"]].round(4)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() in (".parquet", ".pq"):
        out.to_parquet(path, index=False)
    else:
        out.to_csv(path, index=False)


def _numbers(path: Path, frame: pd.DataFrame, column: str) -> pd.Series:
    import pandas as pd

    numbers = pd.to_numeric(frame[column], errors="coerce").astype("float64")
    broken = numbers.isna() & frame[column].notna()
    if broken.any():
        at = int(broken.to_numpy().argmax())
        raise PanelError(f"{path.name}: column {column!r}, row {at + 1}: {frame[column].iloc[at]!r} is not a number")
    return numbers


def _instants(path: Path, frame: pd.DataFrame, tz: str) -> tuple[pd.Series, bool]:
    """The hours in UTC, and whether they were written without an offset."""
    import pandas as pd

    column = frame["hour"]
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return column.dt.tz_convert("UTC").astype("datetime64[ns, UTC]"), False
    if column.isna().any():
        raise PanelError(f"{path.name}: column 'hour' is empty in row {int(column.isna().to_numpy().argmax()) + 1}")
    has_offset = column.dtype.kind != "M" and _has_offset(path, column)
    stamps = pd.to_datetime(
        column, utc=has_offset, errors="coerce", format="mixed" if column.dtype.kind != "M" else None
    )
    if stamps.isna().any():
        at = int(stamps.isna().to_numpy().argmax())
        raise PanelError(
            f"{path.name}: column 'hour', row {at + 1}: {column.iloc[at]!r} is not a time; write 2026-03-29 14:00, or "
            f"2026-03-29T14:00:00+07:00, the same way in every row"
        )
    stamps = stamps.astype("datetime64[ns, UTC]" if has_offset else "datetime64[ns]")
    return (stamps, False) if has_offset else (_localized(frame["site_id"], stamps, tz), True)


def _has_offset(path: Path, column: pd.Series) -> bool:
    with_offset = column.astype(str).str.contains(r"\d:\d{2}.*(?:Z|[+-]\d{2}(?::?\d{2})?)$", regex=True).to_numpy()
    if with_offset.any() and not with_offset.all():
        at = int(with_offset.argmin())
        raise PanelError(
            f"{path.name}: column 'hour', row {at + 1}: {column.iloc[at]!r} has no offset and other rows have; write "
            "all of them the same way"
        )
    return bool(with_offset.any())


def _localized(site: pd.Series, stamps: pd.Series, tz: str) -> pd.Series:
    # The first of two equal wall-clock hours of a site is the one still on summer time.
    summer = ~site.to_frame().assign(hour=stamps).duplicated().to_numpy()
    local = stamps.dt.tz_localize(tz, ambiguous=summer, nonexistent="NaT")
    utc: pd.Series = local.dt.tz_convert("UTC")
    return utc
