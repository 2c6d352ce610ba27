"""Live loads where doors report counts: what counts, what does not, what cannot be known, in whatever landings."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from ingest.lander.landing import Landing, Message
from plimsoll.contracts import load_contracts
from plimsoll.settings import PROJECT_DIR

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
Event = dict[str, Any]


@pytest.fixture
def landing(connection: psycopg.Connection) -> Landing:
    prepared = Landing(load_contracts(PROJECT_DIR / "data" / "contracts"))
    prepared.prepare(connection)
    return prepared


def doors(second: int, door: int, inside: int, outside: int = 0, **fields: Any) -> Event:
    counts = {"door_id": door, "in_count": inside, "out_count": outside}
    return {"ts_device": (NOON + timedelta(seconds=second)).isoformat()} | counts | fields


def level(landing: Landing, connection: psycopg.Connection, *batches: Sequence[Event]) -> tuple[Any, ...]:
    """Land each batch in a transaction of its own; the site's live load and the time of its newest event."""
    site = f"B-{uuid.uuid4().hex[:8]}"
    for events in batches:
        messages = [
            Message("occupancy.events", 0, n, NOON, None, json.dumps(event | {"site_id": site}).encode())
            for n, event in enumerate(events)
        ]
        landing.land(connection, landing.decode(messages), {})
    query = "SELECT occupancy, extract(epoch FROM event_at - %s)::int FROM live.occupancy WHERE site_id = %s"
    [row] = connection.execute(query, [NOON, site]).fetchall()
    return row


FRONT, REAR = doors(0, 1, 3), doors(0, 2, 2)


@pytest.mark.parametrize("order", [(FRONT, REAR, FRONT), (FRONT, FRONT, REAR), (REAR, FRONT, REAR, FRONT)])
def test_a_repeat_changes_nothing_whatever_came_between(
    landing: Landing, connection: psycopg.Connection, order: tuple[Event, ...]
) -> None:
    assert level(landing, connection, order) == (5, 0)
    assert level(landing, connection, *([event] for event in order)) == (5, 0)


def test_the_same_counts_a_second_later_are_no_repeat(landing: Landing, connection: psycopg.Connection) -> None:
    assert level(landing, connection, [FRONT, doors(1, 1, 3)]) == (6, 1)


def test_a_door_whose_report_is_late_by_seconds_counts(landing: Landing, connection: psycopg.Connection) -> None:
    assert level(landing, connection, [FRONT, doors(9, 1, 4)], [doors(5, 2, 1, 2)]) == (6, 9)
    assert level(landing, connection, [FRONT, doors(9, 1, 4)], [doors(5, 2, 1), doors(12, 2, 1)]) == (9, 12)


def test_a_door_whose_report_is_late_by_more_than_a_minute_does_not(
    landing: Landing, connection: psycopg.Connection
) -> None:
    assert level(landing, connection, [doors(61, 1, 4)], [REAR]) == (4, 61)
    assert level(landing, connection, [doors(60, 1, 4)], [REAR]) == (6, 60)


def test_what_was_counted_before_a_load_was_told_is_in_the_load(
    landing: Landing, connection: psycopg.Connection
) -> None:
    told = doors(5, 1, 0, occupancy=30)

    assert level(landing, connection, [told, doors(9, 1, 1)], [doors(4, 2, 7)]) == (31, 9)
    assert level(landing, connection, [told, doors(9, 1, 1)], [doors(6, 2, 7)]) == (38, 9)


def test_running_totals_change_no_level_and_leave_it_unknown(landing: Landing, connection: psycopg.Connection) -> None:
    totals = [totals_at(second) for second in range(5)]

    assert level(landing, connection, totals) == (None, 4)
    assert level(landing, connection, [doors(0, 1, 0, occupancy=12), *totals[1:]]) == (None, 4), "who came is not told"
    assert level(landing, connection, totals, [doors(6, 1, 4)], [doors(5, 2, 4)]) == (None, 6), "changes to an unknown"


def test_a_level_that_is_told_counts_beside_running_totals(landing: Landing, connection: psycopg.Connection) -> None:
    told = totals_at(5) | {"occupancy": 20}

    assert level(landing, connection, [totals_at(0), told]) == (20, 5)
    assert level(landing, connection, [told, doors(6, 1, 3, 1, count_mode="delta")]) == (22, 6)


def totals_at(second: int) -> Event:
    return doors(second, 1, 20 + 10 * second, 10 * second, count_mode="cumulative")


def test_a_level_stays_within_what_its_field_may_say(landing: Landing, connection: psycopg.Connection) -> None:
    crowd = [doors(second, 1, 1_000_000_000) for second in range(3)]

    assert level(landing, connection, crowd) == (1_000_000, 2)
    assert level(landing, connection, [doors(0, 1, 1, 9)]) == (0, 0)


@pytest.mark.parametrize("seed", range(5))
def test_any_cut_of_a_minute_gives_the_load_of_its_distinct_counts(
    landing: Landing, connection: psycopg.Connection, seed: int
) -> None:
    draw = random.Random(seed)
    counted = [doors(second, door, draw.randrange(5)) for second in range(60) for door in (1, 2, 3)]
    sent = [event for event in counted for _ in range(draw.choice([1, 1, 2]))]
    draw.shuffle(sent)
    cuts = sorted(draw.sample(range(1, len(sent)), 20))
    batches = [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]

    assert level(landing, connection, *batches) == (sum(event["in_count"] for event in counted), 59)


def test_what_is_kept_to_know_repeats_is_of_the_last_minute(landing: Landing, connection: psycopg.Connection) -> None:
    level(landing, connection, *([doors(second, 1, 1)] for second in range(0, 600, 10)))

    query = "SELECT cardinality(_counted) - 1 FROM live.occupancy ORDER BY landed_at DESC LIMIT 1"
    assert connection.execute(query).fetchone() == (7,), "and when the load was told"
