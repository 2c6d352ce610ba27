"""Feeds that use one id for several things.

Some exporters name trips only within their route (`a-b`, `b-a`), so that one trip id, and the shape that goes with it,
stands for many. GTFS forbids it, yet nothing is lost: the rows of each come in one run, the runs of stop times in the
order of the trips, and a shape is known by where it begins and ends.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ingest.registry.gtfs.cells import whole
from ingest.registry.gtfs.timetable import ShapePoint, Stop, Trip

Row = dict[str, str]


def tell_trips_apart(trips: Sequence[Row], stop_times: Sequence[Row], gaps: Counter[str]) -> None:
    """Give trips that share an id one of their own, in place, and their stop times with them."""
    uses = Counter(row["trip_id"] for row in trips)
    repeated = {trip_id for trip_id, count in uses.items() if count > 1}
    if not repeated:
        return
    gaps["trips share their id with another and are told apart by the order of their stop times"] = sum(
        uses[trip_id] for trip_id in repeated
    )
    own_ids: dict[str, list[str]] = defaultdict(list)
    taken = set(uses)
    for row in trips:
        if row["trip_id"] in repeated:
            own = _untaken(f"{row.get('route_id', '')}/{row['trip_id']}", taken)
            own_ids[row["trip_id"]].append(own)
            row["trip_id"] = own
    for trip_id, runs in _runs(stop_times, "trip_id", "stop_sequence", repeated).items():
        for own, run in zip(own_ids[trip_id], runs, strict=False):
            for row in run:
                row["trip_id"] = own


def tell_shapes_apart(shapes: Sequence[Row], gaps: Counter[str]) -> dict[str, list[str]]:
    """Give shapes that share an id one of their own, in place; return shared id to own ids."""
    points = Counter((row.get("shape_id", ""), row.get("shape_pt_sequence", "")) for row in shapes)
    repeated = {shape_id for (shape_id, _), count in points.items() if count > 1}
    own_ids: dict[str, list[str]] = {}
    for shape_id, runs in _runs(shapes, "shape_id", "shape_pt_sequence", repeated).items():
        own_ids[shape_id] = [f"{shape_id}#{number}" for number in range(1, len(runs) + 1)]
        for own, run in zip(own_ids[shape_id], runs, strict=True):
            for row in run:
                row["shape_id"] = own
    if own_ids:
        gaps["shapes share their id with another and are matched by where they begin and end"] = sum(
            map(len, own_ids.values())
        )
    return own_ids


def choose_shapes(
    trips: Iterable[Trip], stops: Mapping[str, Stop], points: Iterable[ShapePoint], own_ids: Mapping[str, list[str]]
) -> None:
    """Give each trip of a shared shape the one whose ends lie nearest to its first and last stop, in place."""
    if not own_ids:
        return
    ends: dict[str, tuple[ShapePoint, ShapePoint]] = {}
    for point in points:
        first, last = ends.get(point.shape_id, (point, point))
        ends[point.shape_id] = (
            min(first, point, key=lambda p: p.sequence),
            max(last, point, key=lambda p: p.sequence),
        )
    for trip in trips:
        candidates = [own for own in own_ids.get(trip.shape_id or "", []) if own in ends]
        if candidates and trip.stop_ids:
            start, end = stops[trip.stop_ids[0]], stops[trip.stop_ids[-1]]
            distances = {own: _apart(start, ends[own][0]) + _apart(end, ends[own][1]) for own in candidates}
            trip.shape_id = min(distances, key=lambda own: distances[own])


def _runs(rows: Iterable[Row], key: str, sequence: str, wanted: set[str]) -> dict[str, list[list[Row]]]:
    """The rows of each wanted key in runs whose sequence grows."""
    runs: dict[str, list[list[Row]]] = defaultdict(list)
    places: dict[str, int] = {}
    for name, place, row in _placed(rows, key, sequence):
        if name not in wanted:
            continue
        own = runs[name]
        if not own or place <= places[name]:
            own.append([])
        own[-1].append(row)
        places[name] = place
    return runs


def _placed(rows: Iterable[Row], key: str, sequence: str) -> Iterator[tuple[str, int, Row]]:
    placed = ((row.get(key, ""), whole(row.get(sequence, "")), row) for row in rows)
    return ((name, place, row) for name, place, row in placed if place is not None)


def _untaken(name: str, taken: set[str]) -> str:
    own, number = name, 1
    while own in taken:
        number += 1
        own = f"{name}#{number}"
    taken.add(own)
    return own


def _apart(stop: Stop, point: ShapePoint) -> float:
    return float((stop.lat - point.lat) ** 2 + (stop.lon - point.lon) ** 2)
