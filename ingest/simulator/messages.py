"""The tables that leave the simulator: occupancy events and traffic counts as they arrive, in the order of arrival."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import date

import numpy as np
import pandas as pd

from ingest.simulator.clock import Ints, instants
from ingest.simulator.config import Faults
from ingest.simulator.devices import Devices, event_ids
from ingest.simulator.operation import Visits
from ingest.simulator.roads import LABEL_BOUNDS, LABELS, Area, AreaDay
from ingest.simulator.sensors import Readings
from ingest.simulator.transport import deliver, device_stamps
from ingest.simulator.venues import VenueDay

EVENT_COLUMNS = (
    "tenant_id", "site_id", "device_id", "door_id", "in_count", "out_count", "occupancy", "capacity", "ts_device",
    "event_id", "seq", "count_mode", "quality", "zone_id", "lat", "lon", "route_id", "direction_id", "trip_id",
    "stop_id", "fw_version", "delivered_at",
)  # fmt: skip
GPS_SD_DEGREES = 7e-5
MISSING = -1


@dataclass(frozen=True)
class Places:
    """Names by index that events refer to.

    Attributes:
        site_ids: buses, then venues: the site of each device.
        capacity: of each of these sites.
        route_ids: by index of the route.
        stop_ids: of all routes, one after the other.
        stop_lat: of these stops.
        stop_lon: of these stops.
        first_stop: shape (routes + 1,), where each route's stops begin among them.
        buses: how many of the sites are buses.
    """

    site_ids: pd.Index
    capacity: Ints
    route_ids: tuple[str, ...]
    stop_ids: pd.Index
    stop_lat: np.ndarray[tuple[int], np.dtype[np.float64]]
    stop_lon: np.ndarray[tuple[int], np.dtype[np.float64]]
    first_stop: Ints
    buses: int


@dataclass(frozen=True)
class Sent:
    """Messages in the order of device and time, before the network; whole numbers are -1 where there is none.

    All of shape (n,); `stop` counts over all routes, `trip` is an index into `trip_ids`.
    """

    device: Ints
    sent_s: np.ndarray[tuple[int], np.dtype[np.float64]]
    in_count: Ints
    out_count: Ints
    occupancy: Ints
    seq: Ints
    route: Ints
    direction: Ints
    trip: Ints
    stop: Ints
    trip_ids: list[str]

    def followed_by(self, other: Sent) -> Sent:
        """Return both, for an `other` whose devices come later and which knows no trips."""
        arrays = [f.name for f in fields(self) if f.name != "trip_ids"]
        both = {name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in arrays}
        return Sent(**both, trip_ids=self.trip_ids)


def bus_messages(visits: Visits, readings: Readings, places: Places, on: date) -> Sent:
    """Return one message for each stop visit that the door device saw."""
    seen = visits.take(readings.visit)
    stops = np.diff(places.first_stop)[seen.route]
    # Direction 1 runs the stops backwards.
    along = np.where(seen.direction == 0, seen.stop, stops - 1 - seen.stop)
    key = (seen.route * 2 + seen.direction) * 100_000 + seen.trip
    trips, trip = np.unique(key, return_inverse=True)
    day = on.strftime("%Y%m%d")
    trip_ids = [
        f"{places.route_ids[t // 200_000]}-{t // 100_000 % 2}-{day}-{t % 100_000 + 1:03d}" for t in trips.tolist()
    ]
    return Sent(
        device=seen.bus,
        sent_s=seen.departed_s,
        in_count=readings.in_count,
        out_count=readings.out_count,
        occupancy=readings.occupancy,
        seq=readings.seq,
        route=seen.route,
        direction=seen.direction,
        trip=trip,
        stop=places.first_stop[seen.route] + along,
        trip_ids=trip_ids,
    )


def venue_messages(day: VenueDay, places: Places, faults: Faults, rng: np.random.Generator) -> Sent:
    """Return one head count for each step of the venues' day."""
    error = 1 + faults.venue_count_sd * rng.standard_normal(len(day.load))
    count = np.maximum(0, np.rint(day.load * error)).astype(np.int64)
    first = np.searchsorted(day.venue, day.venue)
    none = np.full(len(count), MISSING)
    return Sent(
        device=day.venue + places.buses,
        sent_s=day.at_s,
        in_count=none,
        out_count=none,
        occupancy=count,
        seq=np.arange(len(count)) - first + 1,
        route=none,
        direction=none,
        trip=none,
        stop=none,
        trip_ids=[],
    )


def event_frame(
    sent: Sent, places: Places, devices: Devices, faults: Faults, tenant_id: str, rng: np.random.Generator,
    on: date, time_zone: str,
) -> pd.DataFrame:  # fmt: skip
    """Send messages through the network; the table has `EVENT_COLUMNS` and is sorted by delivery."""
    stamps = device_stamps(sent.sent_s, sent.device, devices, faults, rng)
    ids = event_ids(devices, sent.device, rng)
    noise = rng.normal(0, GPS_SD_DEGREES, (2, len(sent.device)))
    on_road = sent.stop >= 0
    lat = np.where(on_road, places.stop_lat[sent.stop] + noise[0], np.nan).round(6)
    lon = np.where(on_road, places.stop_lon[sent.stop] + noise[1], np.nan).round(6)
    rows, at = deliver(sent.sent_s, sent.device, devices.drop, devices.repeat, faults, rng)
    device = sent.device[rows]
    return pd.DataFrame(
        {
            "tenant_id": _names([tenant_id], np.zeros(len(rows), dtype=np.int64)),
            "site_id": places.site_ids.take(device).array,
            "device_id": _names(devices.device_ids, device),
            "door_id": _whole(np.where(on_road, 1, MISSING)[rows]),
            "in_count": _whole(sent.in_count[rows]),
            "out_count": _whole(sent.out_count[rows]),
            "occupancy": _whole(sent.occupancy[rows]),
            "capacity": _whole(places.capacity[device]),
            "ts_device": instants(stamps[rows], on, time_zone),
            "event_id": pd.array(ids, dtype="str").take(rows),
            "seq": _whole(sent.seq[rows]),
            "count_mode": _names(["delta"], np.where(on_road, 0, MISSING)[rows]),
            "quality": _names(["ok"], np.where(devices.sends_quality[device], 0, MISSING)),
            "zone_id": _names(["none"], np.full(len(rows), MISSING)),
            "lat": lat[rows],
            "lon": lon[rows],
            "route_id": _names(places.route_ids, sent.route[rows]),
            "direction_id": _whole(sent.direction[rows]),
            "trip_id": _names(sent.trip_ids, sent.trip[rows]),
            "stop_id": _names(places.stop_ids, sent.stop[rows]),
            "fw_version": _names(devices.firmware, device),
            "delivered_at": instants(at, on, time_zone),
        }
    )


def traffic_frame(
    day: AreaDay, areas: list[Area], faults: Faults, rng: np.random.Generator, on: date, time_zone: str
) -> pd.DataFrame:
    """Send the road areas' counts through the network; the columns are those of `SimulatedDay.traffic`."""
    drop, repeat = (np.full(len(areas), sum(share) / 2) for share in (faults.drop, faults.repeat))
    rows, at = deliver(day.at_s, day.area, drop, repeat, faults, rng)
    area = day.area[rows]
    capacity = np.array([a.capacity for a in areas], dtype=np.int64)
    label = np.searchsorted(LABEL_BOUNDS, day.total / capacity[day.area], side="right")
    return pd.DataFrame(
        {
            "stream_id": _names([a.stream_id for a in areas], area),
            "timestamp": instants(day.at_s[rows], on, time_zone),
            "location": _names([a.location for a in areas], area),
            "longitude": np.array([a.lon for a in areas])[area],
            "latitude": np.array([a.lat for a in areas])[area],
            "total_in_area": _whole(day.total[rows]),
            "estimated_max_people": _whole(capacity[area]),
            "label": _names(LABELS, label[rows]),
            "type": _names(["vehicle"], np.zeros(len(rows), dtype=np.int64)),
            "delivered_at": instants(at, on, time_zone),
        }
    )


def _names(names: Iterable[str], codes: Ints) -> pd.api.extensions.ExtensionArray:
    """Return names by index; -1 gives a missing value."""
    values = pd.array(list(names) or [""], dtype="str")
    return values.take(codes, allow_fill=True)


def _whole(values: Ints) -> pd.api.extensions.ExtensionArray:
    """Return nullable whole numbers; -1 gives a missing value."""
    return pd.arrays.IntegerArray(values.astype(np.int64), values == MISSING)
