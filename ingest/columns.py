"""From a file's columns to a contract's fields: names, types and local times. The contract still decides what is valid.

Text is read as what the field needs (`61` is a number for `occupancy` and a name for `site_id`); what cannot be read
so stays as it is, and the contract refuses that row alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from ingest.files import Broken, Record, RowFile
from plimsoll.contracts import Contract, Field
from plimsoll.errors import PlimsollError

# How programs write that there is no value, where the field is no text.
_MISSING = frozenset({"", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "<NA>", "#N/A"})
Convert = Callable[[Any], Any]


@dataclass(frozen=True)
class Plan:
    """Which file is read for which stream, and how.

    Attributes:
        mapping: contract field to the file's column; empty to take the columns that bear a field's name.
        constants: contract field to a value that every row gets.
        time_zone: IANA name for times that carry no zone.
        tenant_id: owner of every row.
        order_by: the column with the time at which each row was sent; None for the event's time.
    """

    file: Path
    contract: Contract
    mapping: Mapping[str, str]
    constants: Mapping[str, str]
    time_zone: str | None
    tenant_id: str
    order_by: str | None = None


class Row(NamedTuple):
    """One row of a file.

    Attributes:
        number: from 0.
        at: the event's time, if that can be read.
        fields: what it says, or what nobody can read.
        sent_at: when it was sent, if the plan names a column for that.
    """

    number: int
    at: datetime | None
    fields: dict[str, Any] | Broken
    sent_at: datetime | None = None

    def message(self) -> bytes:
        """The message that stands for this row, as a device would have sent it."""
        if isinstance(self.fields, Broken):
            return self.fields.raw
        try:
            return msgspec.json.encode(self.fields)
        except UnicodeEncodeError:  # bytes that are not UTF-8 reach the contract as they were, which refuses them
            text = json.dumps(self.fields, ensure_ascii=False, default=str)
            return text.encode("utf-8", "surrogateescape")


class RowReader:
    """Reads a file as rows of a contract.

    Args:
        plan: what is wanted.
        file: open; read once.

    Attributes:
        constants: as planned; a file of occupancy without a site is one site, named after the file.

    Raises:
        PlimsollError: a column, a field or the time zone is not there; says which.
    """

    def __init__(self, plan: Plan, file: RowFile) -> None:
        self._plan = plan
        self._file = file
        contract = plan.contract
        known = {f.name for f in contract.fields}
        _require_fields(plan, known)
        self._whole = file.columns is None and not plan.mapping
        mapping = _mapping(plan, file, known)
        self.constants = dict(plan.constants)
        if contract.key == "site_id" and not self._whole and "site_id" not in {*mapping, *self.constants}:
            self.constants["site_id"] = plan.file.name.split(".")[0]
        self._order_by = plan.order_by
        self.columns = None if self._whole else [*mapping.values(), *([plan.order_by] if plan.order_by else [])]
        for name in self.columns or []:
            if (file.columns or ()).count(name) > 1:
                raise PlimsollError(f"{plan.file.name}: two columns are called '{name}'; give each a name of its own")
        self._fields = [(name, _converter(contract.field(name))) for name in mapping]
        self._given = {n: _converter(contract.field(n))(v) for n, v in self.constants.items()}
        self._given["tenant_id"] = plan.tenant_id
        times = [f.name for f in contract.fields if f.logical_type == "timestamp"]
        self._times = [(name, _Instants(plan.time_zone, needed=not self._whole)) for name in times]
        self._sending = _Instants(plan.time_zone, needed=True)

    def chunks(self) -> Iterator[list[Row]]:
        """Rows in the order of the file, one chunk of it at a time.

        Raises:
            PlimsollError: no time of the first chunk can be read, or times lack their zone.
        """
        number = 0
        for records in self._file.chunks(self.columns):
            rows = [self._row(number + index, record) for index, record in enumerate(records)]
            if number == 0 and not self._whole:
                self._require_times(rows)
            yield rows
            number += len(rows)

    def _row(self, number: int, record: Record) -> Row:
        if isinstance(record, Broken):
            return Row(number, None, record)
        if isinstance(record, dict):
            fields, sent_at = record, record.get(self._order_by) if self._order_by else None
        else:
            *record, sent_at = record if self._order_by else (*record, None)
            fields = {
                name: value
                for (name, convert), raw in zip(self._fields, record, strict=True)
                if (value := convert(raw)) is not None
            }
        fields |= self._given
        for name, instants in self._times:
            if name in fields:
                fields[name] = instants.read(fields[name], fields.get(self._plan.contract.key))
        at = fields.get(self._plan.contract.event_time)
        if sent_at is not None:
            sent_at = self._sending.read(sent_at, fields.get(self._plan.contract.key))
        return Row(number, _instant(at), fields, _instant(sent_at))

    def _require_times(self, rows: Sequence[Row]) -> None:
        if any(row.at for row in rows):
            return
        name = self._plan.contract.event_time
        given = [row.fields[name] for row in rows if isinstance(row.fields, dict) and name in row.fields]
        if given:
            raise PlimsollError(
                f"{self._plan.file.name}: '{given[0]}' cannot be read as {name}; "
                "write times like 2016-10-04 07:59:42, with or without an offset"
            )


def _instant(value: Any) -> datetime | None:
    return value if isinstance(value, datetime) else None


def _require_fields(plan: Plan, known: set[str]) -> None:
    for option, names in (("--map", plan.mapping), ("--set", plan.constants)):
        for name in names:
            if name not in known:
                raise PlimsollError(
                    f"{option} {name}=…: '{name}' is no field of {plan.contract.name}; it has {_list(known)}"
                )


def _mapping(plan: Plan, file: RowFile, known: set[str]) -> Mapping[str, str]:
    event_time = plan.contract.event_time
    if file.columns is None:
        if plan.mapping and event_time not in {*plan.mapping, *plan.constants}:
            raise PlimsollError(f"say which key holds the time: --map {event_time}=KEY")
        return plan.mapping
    for name, column in plan.mapping.items():
        if column not in file.columns:
            raise PlimsollError(
                f"--map {name}={column}: {plan.file.name} has no column '{column}'; it has {_list(file.columns)}"
            )
    if plan.order_by and plan.order_by not in file.columns:
        raise PlimsollError(
            f"--order-by {plan.order_by}: {plan.file.name} has no such column; it has {_list(file.columns)}"
        )
    mapping = plan.mapping or {name: name for name in file.columns if name in known}
    if event_time not in {*mapping, *plan.constants}:
        raise PlimsollError(
            f"say which column holds the time: --map {event_time}=COLUMN; there are {_list(file.columns)}"
        )
    return mapping


def _list(names: Any) -> str:
    return ", ".join(map(str, sorted(names)))


def _converter(field: Field) -> Convert:
    return {
        "string": _text,
        "integer": _integer,
        "number": _number,
        "boolean": _boolean,
        "object": _json,
        "array": _json,
    }.get(field.logical_type, _other)


def _text(value: Any) -> Any:
    if isinstance(value, str):
        return value or None
    if isinstance(value, float):
        # A gap in a column of whole numbers makes many programs write it as 4.0.
        return None if value != value else str(int(value)) if value.is_integer() else str(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _integer(value: Any) -> Any:
    if isinstance(value, str):
        if value in _MISSING:
            return None
        try:
            return int(value) if "_" not in value else value
        except ValueError:
            number = _finite(value)
            return int(number) if number is not None and number.is_integer() else value
    if isinstance(value, float | Decimal):
        if value != value:
            return None
        whole = math.isfinite(value) and value == int(value)
        return int(value) if whole else str(value)
    return value


def _number(value: Any) -> Any:
    if isinstance(value, str):
        if value in _MISSING:
            return None
        number = _finite(value)
        return value if number is None else number
    if isinstance(value, float | Decimal):
        if value != value:
            return None
        return float(value) if math.isfinite(value) else str(value)
    return value


def _finite(text: str) -> float | None:
    try:
        number = float(text) if "_" not in text else float("nan")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _boolean(value: Any) -> Any:
    if isinstance(value, str):
        return None if value in _MISSING else {"true": True, "1": True, "false": False, "0": False}.get(
            value.lower(), value
        )  # fmt: skip
    return bool(value) if value in (0, 1) else value


def _json(value: Any) -> Any:
    if isinstance(value, str):
        if value in _MISSING:
            return None
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return value
    return value


def _other(value: Any) -> Any:
    return None if value != value or (isinstance(value, str) and value in _MISSING) else value


class _Instants:
    """Reads times as instants.

    In the hour that comes twice in autumn, the order of a site's rows tells which one is meant: the first until its
    clock goes back. A time that a spring leaves out belongs to a clock that nobody put forward.
    """

    def __init__(self, time_zone: str | None, *, needed: bool) -> None:
        self._zone = _zone(time_zone)
        self._needed = needed
        self._steady: dict[date, timezone | None] = {}
        self._last: dict[Any, datetime] = {}

    def read(self, value: Any, key: Any) -> Any:
        """The instant, with its offset; the value itself if it is none. `key` names whose clock it is."""
        try:
            at = datetime.fromisoformat(value) if isinstance(value, str) else _as_datetime(value)
            if at is None or at.tzinfo is not None:
                return value if at is None else at
            if self._zone is None:
                if not self._needed:
                    return value
                raise PlimsollError("the times carry no zone: name it with --tz, such as --tz Europe/London")
            return self._local(at, key, self._zone)
        except (ValueError, OverflowError):
            return value

    def _local(self, at: datetime, key: Any, zone: ZoneInfo) -> datetime:
        day = at.date()
        if day not in self._steady:
            around = {zone.utcoffset(at.combine(day, time(), None) + timedelta(hours=h)) for h in (-24, 0, 24, 48)}
            offset = around.pop()
            self._steady[day] = timezone(offset) if offset is not None and not around else None
        if steady := self._steady[day]:
            return at.replace(tzinfo=steady)
        first, second = zone.utcoffset(at), zone.utcoffset(at.replace(fold=1))
        assert first is not None
        assert second is not None
        if first > second:
            last = self._last.get(key)
            if last is not None and last.date() == day and (at < last or last.fold):
                at, first = at.replace(fold=1), second
            self._last[key] = at
        return at.replace(tzinfo=timezone(first), fold=0)


def _zone(name: str | None) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name is not None else None
    except (KeyError, ValueError, OSError) as error:
        raise PlimsollError(f"--tz {name}: no such time zone") from error


def _as_datetime(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value
    return datetime.combine(value, time()) if isinstance(value, date) else None
