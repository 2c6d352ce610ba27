"""Levels: how full a site is, said in GTFS-realtime's names and in three words for riders. The bounds are data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

LEVELS_FILE = Path(__file__).parent / "levels.yaml"

# The numbers of VehiclePosition.OccupancyStatus in gtfs-realtime.proto.
GTFS_STATUS = {
    "EMPTY": 0,
    "MANY_SEATS_AVAILABLE": 1,
    "FEW_SEATS_AVAILABLE": 2,
    "STANDING_ROOM_ONLY": 3,
    "CRUSHED_STANDING_ROOM_ONLY": 4,
    "FULL": 5,
    "NO_DATA_AVAILABLE": 7,
}
NO_DATA = "NO_DATA_AVAILABLE"
_NEARLY_SEATED, _STANDING = "FEW_SEATS_AVAILABLE", "STANDING_ROOM_ONLY"


@dataclass(frozen=True)
class RiderLevel:
    """What riders see: a name for programs, and a word, a colour and an icon that say the same without each other."""

    name: str
    colour: str
    icon: str
    of: tuple[str, ...]


@dataclass(frozen=True)
class KindLevels:
    """The levels of one kind of site.

    Attributes:
        bounds: (level, share of capacity at which it begins), rising.
        seats_decide: where seats are known, free seats mean "seats" and no free seats mean "standing".
        words: rider level to the word for it.
    """

    bounds: tuple[tuple[str, float], ...]
    seats_decide: bool
    words: dict[str, str]


@dataclass(frozen=True)
class Levels:
    """One version of the thresholds.

    Attributes:
        rider_of: level to the rider level that it belongs to (`low`, `medium`, `high`, `unknown`).
    """

    version: str
    kinds: dict[str, KindLevels]
    riders: dict[str, RiderLevel]
    rider_of: dict[str, str]

    def level(self, kind: str, count: float | None, capacity: float | None, seats: int | None = None) -> str:
        """The level of a site; `NO_DATA_AVAILABLE` where the count, or the capacity of a site in use, is unknown."""
        if count is None:
            return NO_DATA
        if count <= 0:
            return "EMPTY"
        if not capacity:
            return NO_DATA
        rules = self.kinds[kind]
        level = self._by_share(rules, count / capacity)
        if not (rules.seats_decide and seats):
            return level
        ranks = GTFS_STATUS
        if count < seats:
            return min(level, _NEARLY_SEATED, key=ranks.__getitem__)
        return max(level, _STANDING, key=ranks.__getitem__)

    def _by_share(self, rules: KindLevels, share: float) -> str:
        found = rules.bounds[0][0]
        for level, start in rules.bounds:
            if share >= start:
                found = level
        return found


@cache
def load_levels(path: Path = LEVELS_FILE) -> Levels:
    """Read the thresholds; a kind that names another kind has its levels."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    written = document["kinds"]
    kinds = {name: _kind(written[value] if isinstance(value, str) else value) for name, value in written.items()}
    riders = {
        name: RiderLevel(name, value["colour"], value["icon"], tuple(value["of"]))
        for name, value in document["riders"].items()
    }
    rider_of = {level: rider.name for rider in riders.values() for level in rider.of}
    return Levels(document["version"], kinds, riders, rider_of)


def _kind(value: dict[str, object]) -> KindLevels:
    levels, riders = value["levels"], value["riders"]
    assert isinstance(levels, list) and isinstance(riders, dict)
    bounds = tuple((str(entry["level"]), float(entry["from"])) for entry in levels)
    return KindLevels(bounds, bool(value["seats_decide"]), riders)
