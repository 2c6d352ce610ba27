"""Replay: any CSV or Parquet file through Kafka, as if its devices sent it, at a chosen speed.

A column mapping turns the file's columns into the contract's fields; times without zone are local times of the
given zone. What the contract refuses is counted, named by its line, and sent to the dead-letter topic.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plimsoll.contracts import Contract, Decoder, InvalidEvent
from plimsoll.errors import PlimsollError

if TYPE_CHECKING:
    import pandas as pd

CHUNK = 10_000
MAX_COMPLAINTS = 5
DEFAULT_HOLD_S = 1_800
MAX_HOLD_S = 6 * 3600


@dataclass(frozen=True)
class Replay:
    """What is replayed and how.

    Attributes:
        mapping: contract field to the file's column.
        constants: contract field to a value that every row gets.
        time_zone: IANA name for times that carry no zone.
        speed: times as fast as the file's own pace; None for as fast as Kafka takes it.
    """

    file: Path
    contract: Contract
    mapping: Mapping[str, str]
    constants: Mapping[str, str]
    time_zone: str | None
    tenant_id: str
    speed: float | None = None


@dataclass
class Replayed:
    """What came of it; `complaints` are the first refusals, each with the file's line (or row) number."""

    sent: int = 0
    refused: int = 0
    complaints: list[str] = field(default_factory=list)


def read(replay: Replay) -> pd.DataFrame:
    """The file as contract fields, sorted by event time (UTC); index = row number in the file, from 0.

    Raises:
        PlimsollError: the file, a column, a field or the time zone is not there or not readable; says which.
    """
    import pandas as pd

    frame = _load(replay.file)
    known = {f.name for f in replay.contract.fields}
    for name in [*replay.mapping, *replay.constants]:
        if name not in known:
            raise PlimsollError(
                f"--map {name}=…: '{name}' is no field of {replay.contract.name}; it has {_list(known)}"
            )
    for name, column in replay.mapping.items():
        if column not in frame.columns:
            raise PlimsollError(
                f"--map {name}={column}: {replay.file.name} has no column '{column}'; it has {_list(frame)}"
            )
    mapping = replay.mapping or {name: name for name in frame.columns if name in known}
    if replay.contract.event_time not in mapping:
        raise PlimsollError(
            f"say which column holds the time: --map {replay.contract.event_time}=COLUMN; there are {_list(frame)}"
        )
    mapped = pd.DataFrame({name: frame[column] for name, column in mapping.items()})
    for name, value in replay.constants.items():
        mapped[name] = value
    mapped[replay.contract.event_time] = _instants(mapped[replay.contract.event_time], replay.time_zone)
    return mapped.sort_values(replay.contract.event_time, kind="stable")


def _list(names: Any) -> str:
    return ", ".join(map(str, sorted(names)))


def _load(file: Path) -> pd.DataFrame:
    import pandas as pd

    if not file.exists():
        raise PlimsollError(f"{file}: no such file")
    try:
        if file.suffix == ".parquet":
            return pd.read_parquet(file)
        if file.suffix in (".csv", ".gz"):
            return pd.read_csv(file)
    except (ValueError, OSError) as error:
        raise PlimsollError(f"{file.name}: cannot be read: {error}") from error
    raise PlimsollError(f"{file.name}: only .csv, .csv.gz and .parquet can be replayed")


def _instants(column: pd.Series[Any], time_zone: str | None) -> pd.Series[Any]:
    """UTC instants; in the hour that comes twice in autumn, the order of the rows tells which one is meant."""
    import pandas as pd

    if not pd.api.types.is_datetime64_any_dtype(column):
        has_zone = column.astype(str).str.contains(r"(?:Z|[+-]\d{2}:?\d{2})$", regex=True)
        try:
            if has_zone.all():
                return pd.Series(pd.to_datetime(column, format="ISO8601", utc=True))
            column = pd.to_datetime(column, format="ISO8601")
        except ValueError as error:
            raise PlimsollError(f"the time column cannot be read: {error}") from error
    if column.dt.tz is not None:
        return pd.Series(column.dt.tz_convert("UTC"))
    if time_zone is None:
        raise PlimsollError("the times carry no zone: name it with --tz, such as --tz Europe/London")
    try:
        try:
            local = column.dt.tz_localize(time_zone, ambiguous="infer", nonexistent="shift_forward")
        except ValueError:  # no order to infer from
            local = column.dt.tz_localize(time_zone, ambiguous=False, nonexistent="shift_forward")
    except KeyError as error:
        raise PlimsollError(f"--tz {time_zone}: no such time zone") from error
    return pd.Series(local.dt.tz_convert("UTC"))


def usual_hold_s(frame: pd.DataFrame, event_time: str) -> int:
    """How long an observation of this file holds: twice the usual (median) step of its sites, in whole minutes (s)."""
    import numpy as np

    unique = frame[["site_id", event_time]].drop_duplicates().sort_values(["site_id", event_time])
    same_site = (unique["site_id"] == unique["site_id"].shift()).to_numpy()
    steps_s = unique[event_time].diff().dt.total_seconds().to_numpy()[same_site]
    if not len(steps_s):
        return DEFAULT_HOLD_S
    return int(min(max(60, round(2 * float(np.median(steps_s)) / 60) * 60), MAX_HOLD_S))


def send(
    replay: Replay,
    frame: pd.DataFrame,
    bootstrap_servers: str,
    stop: threading.Event,
    on_sent: Callable[[int], None] = lambda rows: None,
) -> Replayed:
    """Produce the rows of `read` in the order of their time, and wait for Kafka's acknowledgement.

    Raises:
        PlimsollError: Kafka cannot be reached or does not acknowledge.
    """
    from kafka import KafkaProducer
    from kafka.errors import KafkaError

    result = Replayed()
    decoder = Decoder(replay.contract)
    pace = _Pace(replay.speed, stop)
    try:
        producer = KafkaProducer(
            bootstrap_servers=bootstrap_servers,
            client_id="plimsoll-replay",
            acks="all",
            linger_ms=10,
            batch_size=256 * 1024,
        )
        for number, row in _rows(frame, replay.contract.event_time):
            if not pace.wait_for(row[replay.contract.event_time]):
                break
            try:
                event = decoder.validate(row | {"tenant_id": replay.tenant_id}, datetime.now(UTC))
            except InvalidEvent as error:
                _refuse(producer, replay, number, row, error, result)
            else:
                key = str(getattr(event.values, replay.contract.key)).encode()
                producer.send(replay.contract.topic, key=key, value=decoder.encode(event)).add_errback(pace.fail)
                result.sent += 1
            if (result.sent + result.refused) % 1000 == 0:
                on_sent(1000)
        producer.flush()
        producer.close()
    except KafkaError as error:
        raise PlimsollError(f"Kafka at {bootstrap_servers} did not take the replay: {error}") from error
    if pace.failure is not None:
        raise PlimsollError(
            f"Kafka did not acknowledge every event: {pace.failure}; replay the file again, repeats do no harm"
        )
    return result


def _refuse(
    producer: Any, replay: Replay, number: int, row: dict[str, Any], error: InvalidEvent, result: Replayed
) -> None:
    import msgspec

    result.refused += 1
    if len(result.complaints) < MAX_COMPLAINTS:
        result.complaints.append(f"row {number + 1}: {error}")
    headers = {
        "topic": replay.contract.topic,
        "stage": "replay",
        "class.name": error.code,
        "exception.message": str(error),
    }
    producer.send(
        replay.contract.dead_letter_topic,
        value=msgspec.json.encode(row, enc_hook=str),
        headers=[(f"__connect.errors.{k}", v.encode()) for k, v in headers.items()],
    )


def _rows(frame: pd.DataFrame, event_time: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for start in range(0, len(frame), CHUNK):
        chunk = frame.iloc[start : start + CHUNK]
        times: Sequence[datetime] = chunk[event_time].dt.to_pydatetime()
        records = chunk.drop(columns=event_time).to_dict("records")
        for number, at, record in zip(chunk.index, times, records, strict=True):
            yield (
                int(number),
                {str(k): _plain(v) for k, v in record.items() if v == v and v is not None} | {event_time: at},
            )


def _plain(value: Any) -> Any:
    """Whole numbers that a gap in their column turned into floats are whole numbers again."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value.item() if hasattr(value, "item") else value


class _Pace:
    def __init__(self, speed: float | None, stop: threading.Event) -> None:
        self._speed = speed
        self._stop = stop
        self._first: tuple[datetime, float] | None = None
        self.failure: BaseException | None = None

    def fail(self, error: BaseException) -> None:
        self.failure = self.failure or error

    def wait_for(self, at: datetime) -> bool:
        """Wait until the row is due; False when stopped or when Kafka has failed meanwhile."""
        if self._stop.is_set() or self.failure is not None:
            return False
        if self._speed is None:
            return True
        if self._first is None:
            self._first = (at, time.monotonic())
        due = self._first[1] + (at - self._first[0]).total_seconds() / self._speed
        return not self._stop.wait(max(0.0, due - time.monotonic()))
