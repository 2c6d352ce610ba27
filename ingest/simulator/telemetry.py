"""What devices say about themselves: a heartbeat every quarter of an hour, a status when they fail or come back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from ingest.simulator.clock import Floats, Ints, instants
from ingest.simulator.devices import Devices
from ingest.simulator.noise import Purpose, stream
from ingest.simulator.operation import Visits
from ingest.simulator.sensors import Restart

HEARTBEAT_S = 900.0
LAST_WILL_S = 60.0
"""The broker reports a silent device so long after its last word."""
WARM_UP_S, SHUT_DOWN_S = 480.0, 240.0


@dataclass(frozen=True)
class Telemetry:
    """Statuses and heartbeats of one day, each sorted by delivery."""

    statuses: pd.DataFrame
    heartbeats: pd.DataFrame


def report(visits: Visits, restarts: list[Restart], devices: Devices, seed: int, on: date, time_zone: str) -> Telemetry:
    """Let the bus devices of one day report about themselves; `visits` are sorted by bus and time."""
    rng = stream(seed, Purpose.TELEMETRY, on)
    return Telemetry(
        statuses=_statuses(restarts, devices, rng, on, time_zone),
        heartbeats=_heartbeats(visits, restarts, devices, rng, on, time_zone),
    )


def _statuses(
    restarts: list[Restart], devices: Devices, rng: np.random.Generator, on: date, time_zone: str
) -> pd.DataFrame:
    said = []
    for restart in restarts:
        if restart.silent_from_s is not None:
            said.append((restart.device, "offline", restart.silent_from_s + LAST_WILL_S))
        said.append((restart.device, "online", restart.up_s))
    at = np.array([second for _, _, second in said], dtype=np.float64)
    frame = pd.DataFrame(
        {
            "device_id": pd.array([devices.device_ids[device] for device, _, _ in said], dtype="str"),
            "status": pd.array([status for _, status, _ in said], dtype="str"),
            "fw_version": pd.array([devices.firmware[device] for device, _, _ in said], dtype="str"),
            "ts_device": instants(np.floor(at), on, time_zone),
            "delivered_at": instants(at + rng.exponential(1.5, len(at)), on, time_zone),
        }
    )
    return frame.sort_values("delivered_at", kind="stable", ignore_index=True)


def _heartbeats(
    visits: Visits, restarts: list[Restart], devices: Devices, rng: np.random.Generator, on: date, time_zone: str
) -> pd.DataFrame:
    buses, first, count = np.unique(visits.bus, return_index=True, return_counts=True)
    up = visits.departed_s[first] - WARM_UP_S
    down = visits.departed_s[first + count - 1] + SHUT_DOWN_S
    beats = ((down - up) // HEARTBEAT_S).astype(np.int64) + 1
    row = np.repeat(np.arange(len(buses)), beats)
    number = np.arange(len(row)) - np.repeat(np.cumsum(beats) - beats, beats)
    at = up[row] + number * HEARTBEAT_S
    device = buses[row]
    booted = up[row].copy()
    alive = np.ones(len(row), dtype=np.bool_)
    for restart in sorted(restarts, key=lambda one: one.up_s):
        its = device == restart.device
        booted[its & (at >= restart.up_s)] = restart.up_s
        if restart.silent_from_s is not None:
            alive &= ~(its & (at >= restart.silent_from_s) & (at < restart.up_s))
    battery = np.clip(96 - 0.4 * number + rng.normal(0, 1.5, len(row)), 5, 100).astype(np.int64)
    delivered = at + rng.exponential(1.5, len(row))
    kept: Ints = np.flatnonzero(alive)
    kept = kept[np.argsort(delivered[kept], kind="stable")]
    return _frame(devices, device[kept], battery[kept], (at - booted)[kept], at[kept], delivered[kept], on, time_zone)


def _frame(
    devices: Devices,
    device: Ints,
    battery: Ints,
    uptime: Floats,
    at: Floats,
    delivered: Floats,
    on: date,
    time_zone: str,
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "device_id": pd.array(devices.device_ids, dtype="str").take(device),
            "battery": pd.array(battery, dtype="Int64"),
            "fw_version": pd.array(devices.firmware, dtype="str").take(device),
            "uptime_s": pd.array(uptime.astype(np.int64), dtype="Int64"),
            "ts_device": instants(np.floor(at), on, time_zone),
            "delivered_at": instants(delivered, on, time_zone),
        }
    )
