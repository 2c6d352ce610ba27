"""Plain files in bounded memory: CSV, Parquet and NDJSON as chunks of records, in the order of the file.

Only reading: what a column means to a contract is `columns`' part.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import msgspec

from plimsoll.errors import PlimsollError

CHUNK_ROWS = 10_000
CHUNK_BYTES = 32 * 1024 * 1024  # of lines that may be long; decoded, they take a multiple of it
MAX_LINE_BYTES = 16 * 1024 * 1024
_DELIMITERS = ",;\t|"
KINDS = ".csv, .parquet, .ndjson and .jsonl (also .csv.gz, .ndjson.gz, .jsonl.gz)"


class Broken(NamedTuple):
    """A record that the file's own format cannot read: the contract gets it as it is, and refuses it."""

    raw: bytes


Record = Sequence[Any] | dict[str, Any] | Broken
"""The values of the wanted columns in their order; all of a JSON object where no columns were named."""


class RowFile(Protocol):
    """An open file of rows."""

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The names in its header; None where every row names its own (NDJSON)."""

    @property
    def size(self) -> int:
        """In bytes."""

    def done(self) -> int:
        """Bytes behind the reader, for progress."""

    def chunks(self, columns: Sequence[str] | None) -> Iterator[list[Record]]:
        """Records by up to `CHUNK_ROWS`, fewer if large, reduced to these columns; blank lines are no records."""


@contextmanager
def open_rows(path: Path) -> Iterator[RowFile]:
    """Open a file by its suffix.

    Raises:
        PlimsollError: it is not there, of no kind that can be read, or damaged; also while it is being read.
    """
    if not path.is_file():
        raise PlimsollError(f"{path}: no such file")
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    try:
        if suffix == ".parquet":
            yield _Parquet(path)
        elif suffix in (".csv", ".ndjson", ".jsonl"):
            with path.open("rb") as raw, _unzipped(raw, path) as plain:
                yield (_Csv if suffix == ".csv" else _Ndjson)(path, raw, plain)
        else:
            raise PlimsollError(f"{path.name}: only {KINDS} can be read")
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        raise PlimsollError(f"{path.name}: cannot be read: {error}") from error


@contextmanager
def _unzipped(raw: IO[bytes], path: Path) -> Iterator[IO[bytes]]:
    if path.suffix != ".gz":
        yield raw
        return
    with gzip.open(raw) as plain:
        yield plain  # type: ignore[misc]


class _Csv:
    """Comma, semicolon, tab or bar, whichever the header uses most; UTF-8. Bytes that are not UTF-8 are passed on."""

    def __init__(self, path: Path, raw: IO[bytes], plain: IO[bytes]) -> None:
        self._name = path.name
        self._raw = raw
        self.size = path.stat().st_size
        self._text = io.TextIOWrapper(plain, encoding="utf-8-sig", errors="surrogateescape", newline="")
        header = self._text.readline(MAX_LINE_BYTES)
        if _is_other_encoding(header):
            raise PlimsollError(f"{path.name}: the first line is not UTF-8: save it as UTF-8")
        delimiter = max(_DELIMITERS, key=header.count)
        self.columns = tuple(name.strip() for name in next(csv.reader([header], delimiter=delimiter), []))
        self._rows = csv.reader(self._text, delimiter=delimiter)
        if not self.columns:
            raise PlimsollError(f"{path.name}: the first line must name the columns; it is empty")

    def done(self) -> int:
        return self._raw.tell()

    def chunks(self, columns: Sequence[str] | None) -> Iterator[list[Record]]:
        assert columns is not None
        width = len(self.columns)
        wanted = [self.columns.index(name) for name in columns]
        while True:
            try:
                rows = list(itertools.islice(filter(None, self._rows), CHUNK_ROWS))
            except csv.Error as error:
                line = self._rows.line_num + 1
                raise PlimsollError(
                    f"{self._name}: cannot be read beyond line {line}: {error}; is a quotation mark left open there?"
                ) from error
            if not rows:
                return
            yield [_picked(row, wanted, width) for row in rows]


def _is_other_encoding(text: str) -> bool:
    """Whether bytes are no UTF-8 (of a Windows code page, say), or UTF-16, of which every other one is NUL."""
    return any("\udc80" <= character <= "\udcff" or character == "\0" for character in text)


def _picked(row: list[str], wanted: list[int], width: int) -> Record:
    if len(row) > width:  # a delimiter too many: no telling which value belongs where
        text = [value.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for value in row]
        return Broken(msgspec.json.encode(text))
    if len(row) < width:  # many programs leave empty values at the end out
        row += [""] * (width - len(row))
    return [row[index] for index in wanted]


class _Ndjson:
    """One JSON object per line."""

    columns = None

    def __init__(self, path: Path, raw: IO[bytes], plain: IO[bytes]) -> None:
        self._name = path.name
        self._raw = raw
        self._plain = plain
        self.size = path.stat().st_size

    def done(self) -> int:
        return self._raw.tell()

    def chunks(self, columns: Sequence[str] | None) -> Iterator[list[Record]]:
        decode = msgspec.json.Decoder().decode
        lines = self._lines()
        while chunk := list(_some(lines)):
            yield [_parsed(line, decode, columns) for line in chunk]

    def _lines(self) -> Iterator[bytes]:
        for number in itertools.count(1):
            line = self._plain.readline(MAX_LINE_BYTES)
            if not line:
                return
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if len(line) == MAX_LINE_BYTES:
                raise PlimsollError(
                    f"{self._name}: line {number} is longer than {MAX_LINE_BYTES >> 20} MB; "
                    "write one JSON object per line"
                )
            if line := line.strip():
                yield line


def _some(lines: Iterator[bytes]) -> Iterator[bytes]:
    size = 0
    for line in itertools.islice(lines, CHUNK_ROWS):
        yield line
        size += len(line)
        if size >= CHUNK_BYTES:
            return


def _parsed(line: bytes, decode: Any, columns: Sequence[str] | None) -> Record:
    try:
        value = decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Broken(line)
    if not isinstance(value, dict):
        return Broken(line)
    return value if columns is None else [value.get(name) for name in columns]


class _Parquet:
    """Read by batches within row groups, only the columns that are wanted."""

    def __init__(self, path: Path) -> None:
        from pyarrow import parquet

        with _arrow_errors(path.name):
            self._file = parquet.ParquetFile(path, memory_map=True, pre_buffer=False)
        self._name = path.name
        self.size = path.stat().st_size
        self.columns = tuple(self._file.schema_arrow.names)
        self._rows_read = 0

    def done(self) -> int:
        return int(self.size * self._rows_read / max(1, self._file.metadata.num_rows))

    def chunks(self, columns: Sequence[str] | None) -> Iterator[list[Record]]:
        assert columns is not None
        unique = list(dict.fromkeys(columns))
        with _arrow_errors(self._name):
            for batch in self._file.iter_batches(batch_size=CHUNK_ROWS, columns=unique, use_threads=False):
                values = {name: _values(batch.column(name)) for name in unique}
                yield list(zip(*(values[name] for name in columns), strict=True))
                self._rows_read += batch.num_rows


@contextmanager
def _arrow_errors(name: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise PlimsollError(f"{name}: cannot be read: {error}") from error


def _values(column: Any) -> list[Any]:
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    # Strings are unchecked bytes, and many programs write text as bytes.
    kinds = pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_fixed_size_binary
    if any(is_kind(column.type) for is_kind in (*kinds, pa.types.is_large_binary)):
        texts = column.cast(pa.large_binary()).to_pylist()
        return [None if text is None else text.decode("utf-8", "surrogateescape") for text in texts]
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":  # Python's times end at microseconds
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    try:
        values: list[Any] = column.to_pylist()
    except OverflowError:  # a time beyond Python's years: as text the contract refuses that row alone
        values = column.cast(pa.string()).to_pylist()
    return values
