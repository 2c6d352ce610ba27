"""The devices that count: one in each bus and one in each venue, each with failings of its own that last."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from ingest.simulator.clock import Bools, Floats, Ints
from ingest.simulator.config import Faults
from ingest.simulator.noise import Purpose, stream

FIRMWARES = ("1.6.8", "1.7.3", "1.7.3", "1.7.4", "1.8.0")
EVENT_ID_SHARE = 0.12
QUALITY_SHARE = 0.4


@dataclass(frozen=True)
class Devices:
    """What is lasting about every device; arrays of shape (devices,), buses first, then venues.

    Attributes:
        device_ids: names.
        firmware: version of each.
        miss_in: share of boardings it overlooks when the bus is empty.
        miss_out: share of alightings it overlooks when the bus is empty.
        drop: share of its messages that never arrive.
        repeat: share of its messages that arrive twice.
        skew_s: its clock against the truth.
        sends_event_id: whether its firmware names each event.
        sends_quality: whether its firmware sends a quality flag.
    """

    device_ids: tuple[str, ...]
    firmware: tuple[str, ...]
    miss_in: Floats
    miss_out: Floats
    drop: Floats
    repeat: Floats
    skew_s: Floats
    sends_event_id: Bools
    sends_quality: Bools


def draw_devices(count: int, faults: Faults, seed: int) -> Devices:
    """Draw `count` devices; their names are unique."""
    rng = stream(seed, Purpose.DEVICES)
    numbers = rng.permutation(max(65_536, count))[:count]
    return Devices(
        device_ids=tuple(f"EDGE-{number:04X}" for number in numbers),
        firmware=tuple(str(version) for version in rng.choice(FIRMWARES, count)),
        miss_in=rng.uniform(*faults.miss_in, count),
        miss_out=rng.uniform(*faults.miss_out, count),
        drop=rng.uniform(*faults.drop, count),
        repeat=rng.uniform(*faults.repeat, count),
        skew_s=rng.normal(0, 1, count) * faults.clock_skew_sd_s,
        sends_event_id=rng.random(count) < EVENT_ID_SHARE,
        sends_quality=rng.random(count) < QUALITY_SHARE,
    )


def secret_of(device_id: str, seed: int) -> str:
    """Return the key with which a simulated device signs: derived from the seed, so that tests can sign too."""
    return hashlib.sha256(f"plimsoll-simulator/{seed}/{device_id}".encode()).hexdigest()[:32]


def event_ids(devices: Devices, device: Ints, rng: np.random.Generator) -> list[str | None]:
    """Return an identifier for each message of shape (n,) whose device names its events, else nothing."""
    named = devices.sends_event_id[device]
    random_hex = rng.bytes(16 * int(named.sum())).hex()
    ids: list[str | None] = [None] * len(device)
    for n, row in enumerate(np.flatnonzero(named)):
        ids[row] = random_hex[32 * n : 32 * n + 32]
    return ids
