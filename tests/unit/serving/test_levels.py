"""From a count to a level and to what riders read."""

from __future__ import annotations

import pytest

from serving.levels import GTFS_STATUS, NO_DATA, load_levels

LEVELS = load_levels()


@pytest.mark.parametrize(
    ("count", "level"),
    [
        (0, "EMPTY"), (3, "EMPTY"), (5, "MANY_SEATS_AVAILABLE"), (19, "MANY_SEATS_AVAILABLE"),
        (20, "FEW_SEATS_AVAILABLE"), (50, "STANDING_ROOM_ONLY"), (70, "CRUSHED_STANDING_ROOM_ONLY"), (90, "FULL"),
        (140, "FULL"),
    ],
)  # fmt: skip
def test_a_bus_without_known_seats_goes_by_its_capacity(count: int, level: str) -> None:
    assert LEVELS.level("bus", count, 100) == level


def test_free_seats_mean_seats_and_no_free_seats_mean_standing() -> None:
    assert LEVELS.level("bus", 55, 100, seats=60) == "FEW_SEATS_AVAILABLE"
    assert LEVELS.level("bus", 30, 100, seats=30) == "STANDING_ROOM_ONLY"
    assert LEVELS.level("bus", 95, 100, seats=30) == "FULL"


def test_seats_do_not_decide_in_a_venue() -> None:
    assert LEVELS.level("venue", 30, 100, seats=10) == "MANY_SEATS_AVAILABLE"


@pytest.mark.parametrize(("count", "capacity"), [(None, 100), (5, None)])
def test_what_is_not_known_is_no_data_and_not_empty(count: int | None, capacity: int | None) -> None:
    assert LEVELS.level("bus", count, capacity) == NO_DATA


@pytest.mark.parametrize("kind", ["bus", "venue", "area", "stop"])
def test_every_kind_has_all_levels_in_rising_order_and_a_word_for_every_rider_level(kind: str) -> None:
    rules = LEVELS.kinds[kind]

    assert [GTFS_STATUS[level] for level, _ in rules.bounds] == [0, 1, 2, 3, 4, 5]
    assert [start for _, start in rules.bounds] == sorted(start for _, start in rules.bounds)
    assert set(rules.words) == set(LEVELS.riders)


def test_every_level_belongs_to_one_rider_level() -> None:
    assert set(LEVELS.rider_of) == set(GTFS_STATUS)
    assert len(LEVELS.rider_of) == sum(len(rider.of) for rider in LEVELS.riders.values())
