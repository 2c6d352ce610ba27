"""Reads a GTFS feed (https://gtfs.org/documentation/schedule/reference) from a folder or a zip file.

Feeds are full of gaps. What is missing is left out and told in one sentence per kind of gap; only a feed without
routes, stops or trips with stops is refused.
"""

from __future__ import annotations

import csv
import io
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from pathlib import Path, PurePosixPath
from zoneinfo import available_timezones

from ingest.registry.gtfs.cells import degrees, seconds, whole
from ingest.registry.gtfs.repeated_ids import choose_shapes, tell_shapes_apart, tell_trips_apart
from ingest.registry.gtfs.service_days import ServiceDays
from ingest.registry.gtfs.timetable import Frequency, ShapePoint, Stop, Timetable, Trip
from plimsoll.errors import PlimsollError

_LAST_LOCATION_TYPE = 4  # boarding area
_STOP_TIMES = ("trip_id", "stop_id", "stop_sequence", "departure_time", "arrival_time")
"""What is read of stop_times.txt: it may have millions of rows, and as many columns again that nobody needs."""
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError)
Row = dict[str, str]


def read_feed(path: Path, today: date | None = None) -> Timetable:
    """The timetable of a feed.

    Args:
        path: a folder or zip file.
        today: headways are those of the weeks after it; by default the present day (UTC).

    Raises:
        PlimsollError: it cannot be read, or has no routes, no stops or no trip that calls at one.
    """
    tables = _Tables(path)
    gaps = Counter[str]()
    names = {
        row["route_id"]: row.get("route_long_name") or row.get("route_short_name") or row["route_id"]
        for row in tables.required("routes.txt", "route_id")
    }
    stops = _stops(tables, gaps)
    trip_rows = tables.required("trips.txt", "trip_id", "route_id")
    stop_times = tables.optional("stop_times.txt", *_STOP_TIMES) or []
    shape_rows = tables.optional("shapes.txt") or []
    tell_trips_apart(trip_rows, stop_times, gaps)
    own_shapes = tell_shapes_apart(shape_rows, gaps)
    trips = _trips(trip_rows, names, gaps)
    has_times = _add_stop_times(stop_times, trips, stops, gaps)
    if not any(trip.stop_ids for trip in trips.values()):
        what = "fits trips.txt and stops.txt in no row" if stop_times else "is missing or empty"
        raise PlimsollError(f"{path}: no trip has a known stop: stop_times.txt {what}")
    frequencies = _frequencies(tables, trips, gaps)
    shapes = _shapes(shape_rows, gaps)
    choose_shapes(trips.values(), stops, shapes, own_shapes)
    counts = Counter(trip.service_id for trip in trips.values())
    calendar = tables.optional("calendar.txt") or [], tables.optional("calendar_dates.txt") or []
    services = ServiceDays.of(*calendar, gaps).usual(counts, today or datetime.now(UTC).date())
    timetable = Timetable(
        time_zone=_time_zone(tables, gaps),
        route_names=names,
        stops=stops,
        trips={trip_id: trip for trip_id, trip in trips.items() if trip.stop_ids},
        frequencies=[f for f in frequencies if trips[f.trip_id].stop_ids],
        shapes=shapes,
        weekday_services=services or frozenset(service for service, _ in counts.most_common(1)),
        warnings=[],
    )
    _count_what_is_left_out(timetable, trips, gaps)
    warnings = [f"{count:,} {what}" for what, count in gaps.items()]
    timetable.warnings += [*_missing_files(timetable, has_times, bool(services)), *warnings]
    return timetable


class _Tables:
    """The files of a feed as lists of rows, wherever they are."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: Callable[[str], bytes | None]
        if path.is_dir():
            self._read = lambda name: (path / name).read_bytes() if (path / name).exists() else None
        elif zipfile.is_zipfile(path):
            self._read = _zip_reader(path)
        else:
            raise PlimsollError(f"{path}: neither a folder nor a zip file with a GTFS feed")

    def optional(self, name: str, *columns: str) -> list[Row] | None:
        """A file's rows, cells stripped, with all columns or only those named; None if the feed does not have it."""
        content = self._read(name)
        if content is None:
            return None
        if b"\0" in content:
            raise PlimsollError(f"{self._path}, {name}: not UTF-8 CSV: it holds NUL")
        try:
            text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline="")
            reader = csv.reader(text, skipinitialspace=True)
            header = [column.strip() for column in next(reader, [])]
            wanted = [(place, column) for place, column in enumerate(header) if not columns or column in columns]
            return [
                {column: row[place].strip() if place < len(row) else "" for place, column in wanted}
                for row in reader
                if row
            ]
        except (UnicodeDecodeError, csv.Error) as error:
            raise PlimsollError(f"{self._path}, {name}: not UTF-8 CSV: {error}") from error

    def required(self, name: str, *columns: str) -> list[Row]:
        """A file's rows; at least one, with these columns."""
        rows = self.optional(name)
        if not rows:
            raise PlimsollError(f"{self._path}: {name} is {'empty' if rows == [] else 'missing'}; no GTFS feed")
        for column in columns:
            if column not in rows[0]:
                raise PlimsollError(f"{self._path}, {name}: no column '{column}'")
        return [row for row in rows if row[columns[0]]]


def _zip_reader(path: Path) -> Callable[[str], bytes | None]:
    """What reads a member of a zipped feed by its name; None for one that is not there."""

    def read(name: str) -> bytes | None:
        try:
            return archive.read(str(folder / name)) if str(folder / name) in members else None
        except (*_DAMAGED, RuntimeError) as error:  # RuntimeError: encrypted, or packed in a way that Python lacks
            raise PlimsollError(f"{path}, {name}: cannot be unpacked: {error}") from error

    try:
        archive = zipfile.ZipFile(path)
    except _DAMAGED as error:
        raise PlimsollError(f"{path}: the zip file is damaged: {error}") from error
    members = set(archive.namelist())
    folder = _feed_folder(path, members)
    return read


def _feed_folder(path: Path, members: Iterable[str]) -> PurePosixPath:
    """Where in a zip file the feed lies: some are zipped together with their folder, or with an older feed in one."""
    found = [PurePosixPath(name).parent for name in members if PurePosixPath(name).name == "routes.txt"]
    folders = sorted(found, key=lambda folder: (len(folder.parts), folder))
    if len(folders) > 1 and len(folders[0].parts) == len(folders[1].parts):
        raise PlimsollError(f"{path}: two feeds, in '{folders[0]}' and in '{folders[1]}': unpack it and name one")
    return folders[0] if folders else PurePosixPath()


def _stops(tables: _Tables, gaps: Counter[str]) -> dict[str, Stop]:
    stops = {}
    for row in tables.required("stops.txt", "stop_id", "stop_lat", "stop_lon"):
        lat, lon = degrees(row["stop_lat"], 90), degrees(row["stop_lon"], 180)
        if lat is None or lon is None:
            gaps["stops have no usable position and are left out"] += 1
            continue
        stops[row["stop_id"]] = Stop(
            row["stop_id"], row.get("stop_name") or row["stop_id"], lat, lon,
            whole(row.get("location_type", ""), _LAST_LOCATION_TYPE) or 0,
            row.get("parent_station") or None, row.get("platform_code") or None,
        )  # fmt: skip
    return stops


def _trips(rows: list[Row], routes: dict[str, str], gaps: Counter[str]) -> dict[str, Trip]:
    trips = {}
    for row in rows:
        if row["route_id"] not in routes:
            gaps["trips belong to no route of routes.txt and are left out"] += 1
            continue
        direction = whole(row.get("direction_id", ""), 1)
        if direction is None:
            gaps["trips name no direction and count for direction 0"] += 1
        trips[row["trip_id"]] = Trip(
            row["trip_id"], row["route_id"], direction or 0, row.get("service_id", ""),
            row.get("trip_headsign") or None, row.get("shape_id") or None,
        )  # fmt: skip
    return trips


def _add_stop_times(rows: list[Row], trips: dict[str, Trip], stops: dict[str, Stop], gaps: Counter[str]) -> bool:
    """Give the trips their stops and start; tell whether any time is known."""
    calls: dict[str, list[tuple[int, str, int | None]]] = {}
    has_times = False
    for row in rows:
        if row.get("trip_id") not in trips:
            gaps["stop times belong to no trip and are left out"] += 1
        elif row.get("stop_id") not in stops:
            gaps["stop times name no known stop and are left out"] += 1
        elif (sequence := whole(row.get("stop_sequence", ""))) is None:
            gaps["stop times have no place in their trip and are left out"] += 1
        else:
            at = seconds(row.get("departure_time") or row.get("arrival_time") or "")
            has_times |= at is not None
            calls.setdefault(row["trip_id"], []).append((sequence, row["stop_id"], at))
    for trip_id, found in calls.items():
        found.sort(key=lambda call: call[0])
        trips[trip_id].stop_ids = [stop_id for _, stop_id, _ in found]
        trips[trip_id].starts_s = found[0][2]
    return has_times


def _frequencies(tables: _Tables, trips: dict[str, Trip], gaps: Counter[str]) -> list[Frequency]:
    frequencies: dict[tuple[str, int], Frequency] = {}
    for row in tables.optional("frequencies.txt") or []:
        start, end = seconds(row.get("start_time", "")), seconds(row.get("end_time", ""))
        headway = whole(row.get("headway_secs", ""))
        if row.get("trip_id") not in trips:
            gaps["frequencies belong to no trip and are left out"] += 1
        elif start is None or end is None or start >= end or not headway:
            gaps["frequencies have no usable times or headway and are left out"] += 1
        elif (row["trip_id"], start) in frequencies:
            gaps["frequencies begin when another of their trip does and are left out"] += 1
        else:
            is_exact = row.get("exact_times") == "1"
            frequencies[row["trip_id"], start] = Frequency(row["trip_id"], start, end, headway, is_exact)
    return list(frequencies.values())


def _shapes(rows: list[Row], gaps: Counter[str]) -> list[ShapePoint]:
    points: dict[tuple[str, int], ShapePoint] = {}
    for row in rows:
        lat, lon = degrees(row.get("shape_pt_lat", ""), 90), degrees(row.get("shape_pt_lon", ""), 180)
        sequence = whole(row.get("shape_pt_sequence", ""))
        if lat is None or lon is None or sequence is None or not row.get("shape_id"):
            gaps["shape points cannot be used and are left out"] += 1
        else:
            points[row["shape_id"], sequence] = ShapePoint(row["shape_id"], sequence, lat, lon)
    return list(points.values())


def _time_zone(tables: _Tables, gaps: Counter[str]) -> str:
    zones = {row.get("agency_timezone", "") for row in tables.optional("agency.txt") or []}
    known = sorted(zones & available_timezones())
    if not known:
        gaps["agencies give a usable time zone: UTC is taken"] = 0
        return "UTC"
    return known[0]


def _count_what_is_left_out(timetable: Timetable, trips: dict[str, Trip], gaps: Counter[str]) -> None:
    if without_stops := len(trips) - len(timetable.trips):
        gaps["trips have no stops and are left out"] = without_stops
    served = {trip.route_id for trip in timetable.trips.values()}
    if unserved := len(timetable.route_names.keys() - served):
        gaps["routes have no trip and are left out"] = unserved
    shapes = {point.shape_id for point in timetable.shapes}
    if timetable.shapes and (
        lost := sum(trip.shape_id is not None and trip.shape_id not in shapes for trip in timetable.trips.values())
    ):
        gaps["trips name a shape that is not there"] = lost


def _missing_files(timetable: Timetable, has_times: bool, has_days: bool) -> list[str]:
    warnings = []
    if not timetable.shapes:
        warnings.append("shapes.txt is missing or empty: routes have no line on the map, only stops")
    if not timetable.frequencies:
        what = "headways follow from the trips' starts" if has_times else "headways stay unknown"
        warnings.append(f"frequencies.txt is missing or empty: {what}")
    if not has_days:
        warnings.append(
            "calendar.txt and calendar_dates.txt tell no day with trips: "
            "headways are those of the service with most trips"
        )
    if not has_times:
        warnings.append("stop_times.txt gives no times: it is taken for the order of the stops only")
    return warnings
