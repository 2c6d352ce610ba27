"""Who becomes the champion."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orchestration.promotion import decide

WEEK = timedelta(days=7)


def test_the_first_model_becomes_champion_even_without_a_backtest() -> None:
    assert decide(None, None, None).promoted


@pytest.mark.parametrize(
    ("challenger", "champion", "age", "promoted"),
    [
        (0.098, 0.100, WEEK, True),
        (0.099, 0.100, WEEK, False),
        (0.100, 0.100, WEEK, False),
        (0.100, 0.100, timedelta(days=28), True),
        (0.103, 0.100, timedelta(days=28), False),
        (None, 0.100, WEEK, False),
        (0.100, None, timedelta(days=28), False),
    ],
)
def test_a_later_model_must_be_clearly_better_or_as_good_as_an_old_champion(
    challenger: float | None, champion: float | None, age: timedelta, promoted: bool
) -> None:
    assert decide(challenger, champion, age).promoted == promoted


def test_the_record_carries_the_numbers_that_it_rests_on() -> None:
    record = decide(0.09, 0.10, WEEK).record()

    assert record["wape"] == 0.09
    assert record["champion_wape"] == 0.10
    assert record["gain"] == pytest.approx(0.1)
    assert "9.0%" in record["reason"]
