"""How long a snapshot of the live state serves."""

import pytest

from serving.snapshot import MAX_AGE_S, MIN_AGE_S, serves_for_s


@pytest.mark.parametrize(("taken_s", "age_s"), [(0.0, MIN_AGE_S), (0.03, 0.3), (4.0, MAX_AGE_S)])
def test_a_quick_snapshot_serves_shorter_and_none_longer_than_promised(taken_s: float, age_s: float) -> None:
    assert serves_for_s(taken_s) == pytest.approx(age_s)
