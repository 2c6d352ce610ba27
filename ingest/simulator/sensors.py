"""What the door sensors make of the truth: they overlook people, fall silent and start again from zero."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from ingest.simulator.clock import Bools, Floats, Ints
from ingest.simulator.config import Faults
from ingest.simulator.devices import Devices
from ingest.simulator.noise import Purpose, stream
from ingest.simulator.operation import Visits

CROWDING_MISS_IN = 0.1
CROWDING_MISS_OUT = 0.5
"""How much more is overlooked in a full bus, relative to an empty one: people hide each other at the door."""
OUTAGE_MIN_S, OUTAGE_MEAN_S = 600.0, 2400.0
FAR_BELOW = 10**7
"""Larger than any day's count, so that the running minimum of one power cycle cannot reach into the next."""


@dataclass(frozen=True)
class Restart:
    """A device that came up again: after a reboot `silent_from_s` is None, after an outage it says since when."""

    device: int
    silent_from_s: float | None
    up_s: float


@dataclass(frozen=True)
class Readings:
    """What the devices counted, one element for each stop visit that a device saw.

    Attributes:
        visit: shape (n,), position of the visit in the day's visits.
        in_count: shape (n,).
        out_count: shape (n,).
        occupancy: shape (n,), the device's own running count: it never falls below zero and drifts.
        seq: shape (n,), number of the message since the device was switched on.
        restarts: outages and reboots of the day.
    """

    visit: Ints
    in_count: Ints
    out_count: Ints
    occupancy: Ints
    seq: Ints
    restarts: list[Restart]


def read_doors(visits: Visits, capacity: Floats, devices: Devices, faults: Faults, seed: int, on: date) -> Readings:
    """Let every bus's device count what happened at its doors.

    Args:
        visits: sorted by bus and time.
        capacity: shape (buses,), of each bus.
        devices: device n sits in bus n.
        faults: outages and reboots; how much is overlooked is a trait of the device.
        seed: the city's seed.
        on: the service day.
    """
    rng = stream(seed, Purpose.SENSORS, on)
    restarts = _restarts(visits, faults, rng)
    alive = np.ones(len(visits), dtype=np.bool_)
    boots = np.concatenate([[True], np.diff(visits.bus) != 0]) if len(visits) else alive.copy()
    for restart in restarts:
        first, end = np.searchsorted(visits.bus, [restart.device, restart.device + 1])
        times = visits.departed_s[first:end]
        up = first + int(np.searchsorted(times, restart.up_s))
        if restart.silent_from_s is not None:
            alive[first + int(np.searchsorted(times, restart.silent_from_s)) : up] = False
        if up < end:
            boots[up] = True
    in_count, out_count = _counts(visits, capacity, devices, rng)
    rows = np.flatnonzero(alive)
    # A boot may fall on a visit that a second outage swallowed, so power cycles are numbered before the cut.
    cycle = np.cumsum(boots)[rows]
    in_count, out_count = in_count[rows], out_count[rows]
    occupancy, seq = _running(in_count - out_count, cycle)
    return Readings(rows, in_count, out_count, occupancy, seq, restarts)


def _restarts(visits: Visits, faults: Faults, rng: np.random.Generator) -> list[Restart]:
    restarts = []
    buses, first, count = np.unique(visits.bus, return_index=True, return_counts=True)
    starts, ends = visits.departed_s[first], visits.departed_s[first + count - 1]
    chance = rng.random((2, len(buses)))
    moment = starts + (ends - starts) * rng.random((2, len(buses)))
    length = OUTAGE_MIN_S + rng.exponential(OUTAGE_MEAN_S, len(buses))
    for n in np.flatnonzero(chance[0] < faults.outages_per_device_day):
        restarts.append(Restart(int(buses[n]), float(moment[0, n]), float(moment[0, n] + length[n])))
    for n in np.flatnonzero(chance[1] < faults.reboots_per_device_day):
        restarts.append(Restart(int(buses[n]), None, float(moment[1, n])))
    return restarts


def _counts(visits: Visits, capacity: Floats, devices: Devices, rng: np.random.Generator) -> tuple[Ints, Ints]:
    crowding = visits.load / capacity[visits.bus]
    miss_in = devices.miss_in[visits.bus] * (1 + CROWDING_MISS_IN * crowding)
    # Who gets off met the crowd of before the stop, not the one that is left.
    before = (visits.load - visits.boardings + visits.alightings) / capacity[visits.bus]
    miss_out = devices.miss_out[visits.bus] * (1 + CROWDING_MISS_OUT * before)
    return rng.binomial(visits.boardings, 1 - miss_in), rng.binomial(visits.alightings, 1 - miss_out)


def _running(change: Ints, cycle: Ints) -> tuple[Ints, Ints]:
    """Return the running count, which stops at zero, and the message number within each power cycle."""
    if not len(change):
        return change, change
    starts: Bools = np.concatenate([[True], np.diff(cycle) != 0])
    first = np.flatnonzero(starts)[np.cumsum(starts) - 1]
    total = np.cumsum(change)
    total = total - (total - change)[first]
    # A count that stops at zero is the plain sum less its lowest point so far, where that is below zero.
    lowest = np.minimum.accumulate(total - cycle * FAR_BELOW) + cycle * FAR_BELOW
    return total - np.minimum(lowest, 0), np.arange(len(change)) - first + 1
