"""What the mobile network makes of the messages: lost, twice, late, out of order, and stamped by clocks that lie."""

from __future__ import annotations

from datetime import date

import numpy as np

from ingest.simulator.clock import HOUR_S, Floats, Ints
from ingest.simulator.config import Faults
from ingest.simulator.devices import Devices

USUAL_DELAY_S = 1.6
STORED_MESSAGES = 12
"""A device without network stores about so many messages and sends them at once, hours later."""
LONGEST_DELAY_S = 19 * HOUR_S
"""Nothing arrives later, so all of a service day is there 48 hours after it began: `upcoming` counts on it."""
WORST_SKEW_S = 4 * HOUR_S


def device_stamps(sent_s: Floats, device: Ints, devices: Devices, faults: Faults, rng: np.random.Generator) -> Floats:
    """Return the device's own time of each message, shape (n,), in whole seconds.

    Each clock is a little off for good; a few are minutes to hours off for the day.
    """
    count = len(devices.skew_s)
    skew = devices.skew_s + rng.normal(0, 0.3, count) * (faults.clock_skew_sd_s > 0)
    wrong = rng.random(count) < faults.clocks_badly_off
    size = np.exp(rng.uniform(np.log(120), np.log(WORST_SKEW_S), count)) * rng.choice([-1.0, 1.0], count)
    return np.floor(sent_s + np.where(wrong, size, skew)[device])


def deliver(
    sent_s: Floats, device: Ints, drop: Floats, repeat: Floats, faults: Faults, rng: np.random.Generator
) -> tuple[Ints, Floats]:
    """Return which messages arrive, repeats included, and when, in the order of arrival.

    Args:
        sent_s: shape (n,), true time of sending; sorted by device and time.
        device: shape (n,), index of the device.
        drop: shape (devices,), share of each device's messages that are lost.
        repeat: shape (devices,), share that comes twice.
        faults: shares of lateness.
        rng: the day's stream of the transport.

    Returns:
        Positions in `sent_s`, shape (m,), and the second of arrival of each, shape (m,).
    """
    count = len(sent_s)
    delay = rng.exponential(USUAL_DELAY_S, count) + 0.05
    minutes_late = rng.random(count) < faults.late_minutes
    delay = np.where(minutes_late, 20.0 + rng.gamma(1.5, 160.0, count), delay)
    arrives = sent_s + delay
    _hold_back(arrives, sent_s, device, faults, rng)
    kept = np.flatnonzero(rng.random(count) >= drop[device])
    twice = kept[rng.random(len(kept)) < repeat[device[kept]]]
    rows = np.concatenate([kept, twice])
    at = np.concatenate([arrives[kept], arrives[twice] + 0.5 + rng.exponential(20.0, len(twice))])
    at = np.minimum(at, sent_s[rows] + LONGEST_DELAY_S).round(3)
    order = np.lexsort((rows, at))
    return rows[order], at[order]


def _hold_back(arrives: Floats, sent_s: Floats, device: Ints, faults: Faults, rng: np.random.Generator) -> None:
    """Move runs of one device's messages to a common moment hours later, in place."""
    starts = np.flatnonzero(rng.random(len(sent_s)) < faults.late_hours / STORED_MESSAGES)
    for start in starts:
        run = slice(int(start), int(start) + STORED_MESSAGES)
        same = np.flatnonzero(device[run] == device[start]) + start
        reconnects = sent_s[same[-1]] + HOUR_S * (1.0 + rng.gamma(1.5, 1.2))
        arrives[same] = reconnects + 0.2 * np.arange(len(same))


def malformed_payloads(good: list[str], rng: np.random.Generator, on: date) -> list[str]:
    """Return a spoilt version of each good JSON text: cut off, wrongly typed, incomplete or not JSON at all."""
    spoilt = []
    for text in good:
        kind = int(rng.integers(5))
        if kind == 0:
            spoilt.append(text[: max(1, len(text) // 2)])
        elif kind == 1:
            spoilt.append(
                text.replace('"in_count":', '"in_count":"many","was":').replace('"occupancy":', '"occupancy":"?","x":')
            )
        elif kind == 2:
            spoilt.append(text.replace('"ts_device":', '"ts":'))
        elif kind == 3:
            spoilt.append(text.replace('"device_id":', '"device_id":null,"dev":'))
        else:
            spoilt.append(f"<html><body>502 {on.isoformat()}</body></html>")
    return spoilt
