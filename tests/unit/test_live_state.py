"""Live levels, folded from one batch: what counts, what does not, and what cannot be known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ingest.lander.live import LiveTable
from plimsoll.contracts import Decoder, load_contracts
from plimsoll.settings import PROJECT_DIR

CONTRACT = load_contracts(PROJECT_DIR / "data" / "contracts")["occupancy.events"]
NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
decoder = Decoder(CONTRACT)


def event(second: int, **fields: Any) -> dict[str, Any]:
    return {"site_id": "B-1", "ts_device": (NOON + timedelta(seconds=second)).isoformat()} | fields


def doors(second: int, inside: int, outside: int = 0, **fields: Any) -> dict[str, Any]:
    return event(second, in_count=inside, out_count=outside, **fields)


def level(*events: dict[str, Any]) -> int | None:
    assert CONTRACT.live is not None
    table = LiveTable(CONTRACT, CONTRACT.live)
    folded = [decoder.validate(message, NOON).values for message in events]
    states = table.fold(folded, [NOON] * len(folded))
    [key] = states.newest
    return table._row(key, states, NOON)["occupancy"]  # type: ignore[no-any-return]


FRONT, REAR = doors(0, 3, door_id=1), doors(0, 2, door_id=2)


@pytest.mark.parametrize("order", [(FRONT, REAR, FRONT), (FRONT, FRONT, REAR), (REAR, FRONT, REAR, FRONT)])
def test_a_repeat_changes_nothing_whatever_came_between(order: tuple[dict[str, Any], ...]) -> None:
    assert level(*order) == 5


def test_the_same_counts_a_second_later_are_no_repeat() -> None:
    assert level(FRONT, doors(1, 3, door_id=1)) == 6


def test_running_totals_change_no_level_and_leave_it_unknown() -> None:
    totals = [doors(second, 20 + 10 * second, 10 * second, count_mode="cumulative") for second in range(5)]

    assert level(*totals) is None
    assert level(event(0, occupancy=12), *totals[1:]) is None, "whoever came and went since is not told"
    assert level(*totals, doors(6, 4)) is None, "a change to an unknown level"


def test_a_level_that_is_told_counts_beside_running_totals() -> None:
    told = doors(5, 70, 50, count_mode="cumulative", occupancy=20)

    assert level(doors(0, 20, 0, count_mode="cumulative"), told) == 20
    assert level(told, doors(6, 3, 1, count_mode="delta")) == 22


def test_a_level_stays_within_what_its_field_may_say() -> None:
    crowd = [doors(second, 1_000_000_000) for second in range(3)]

    assert level(*crowd) == 1_000_000
    assert level(doors(0, 1, 9)) == 0
