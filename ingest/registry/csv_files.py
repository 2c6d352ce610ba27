"""Sites, devices and calendar events from CSV files, everything checked before anything counts."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ingest.registry.entries import RegistryError
from ingest.registry.sites import first_error
from plimsoll.errors import PlimsollError

Entry = TypeVar("Entry", bound=BaseModel)
_SHOWN = 20


def read_entries(file: Path, kind: type[Entry], key: Sequence[str]) -> dict[int, Entry]:
    """The rows of a file by their lines, checked; an empty cell is a field that is left out.

    Args:
        file: UTF-8, separated by commas or semicolons, with a header.
        kind: what each row is.
        key: the fields that together may stand in one row only.

    Raises:
        PlimsollError: it cannot be read, or rows are wrong; each is named with its line.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            header = opened.readline()
            opened.seek(0)
            reader = csv.DictReader(opened, delimiter=";" if header.count(";") > header.count(",") else ",")
            columns = [name.strip() for name in reader.fieldnames or []]
            reader.fieldnames = columns
            rows = [(reader.line_num, row) for row in reader if any(map(_is_told, row.values()))]
    except UnicodeDecodeError as error:
        raise PlimsollError(f"{file} cannot be read: it is not UTF-8: save it as UTF-8") from error
    except (OSError, csv.Error) as error:
        raise PlimsollError(f"{file} cannot be read: {error}") from error
    _check_columns(file, columns, kind, key)
    entries, wrong, seen = dict[int, Entry](), list[str](), dict[tuple[str, ...], int]()
    for line, row in rows:
        try:
            if None in row:
                raise PlimsollError("more cells than the header has columns")
            entry = kind.model_validate({name: cell.strip() for name, cell in row.items() if _is_told(cell)})
            identity = tuple(str(getattr(entry, name)) for name in key)
            first = seen.setdefault(identity, line)
            if first != line:
                raise PlimsollError(f"{', '.join(key)}: '{', '.join(identity)}' stands in line {first} already")
            entries[line] = entry
        except ValidationError as error:
            field, reason = first_error(error)
            wrong.append(f"line {line}: {field}: {reason}" if field else f"line {line}: {reason}")
        except PlimsollError as error:
            wrong.append(f"line {line}: {error}")
    if wrong:
        more = f"\n… and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise PlimsollError(
            f"{file}: {len(wrong)} of {len(rows)} rows are wrong, nothing was imported\n"
            + "\n".join(wrong[:_SHOWN]) + more
        )  # fmt: skip
    return entries


def _is_told(cell: Any) -> bool:
    """Whether a cell, or those beyond the header, says anything; spreadsheets leave empty rows at the end."""
    return bool(cell.strip() if isinstance(cell, str) else cell)


@contextmanager
def at_line(line: int) -> Iterator[None]:
    """Let what the registry refuses name the line that asked for it."""
    try:
        yield
    except RegistryError as error:
        raise RegistryError(error.code, f"line {line}: {error.field}: {error}", error.field) from error


def _check_columns(file: Path, columns: list[str], kind: type[BaseModel], key: Sequence[str]) -> None:
    known = list(kind.model_fields)
    unknown = [name for name in columns if name not in known]
    twice = [name for name in columns if columns.count(name) > 1]
    missing = [name for name in key if name not in columns and kind.model_fields[name].is_required()]
    if twice:
        raise PlimsollError(f"{file}: two columns are called '{twice[0]}'")
    if unknown or missing:
        problem = f"unknown column '{unknown[0]}'" if unknown else f"no column '{missing[0]}'"
        raise PlimsollError(f"{file}: {problem}; columns may be {', '.join(known)}")
