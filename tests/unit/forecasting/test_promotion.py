"""Who becomes the champion."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from forecasting.operation.comparison import compare
from forecasting.operation.promotion import Comparison, decide, first

WEEK, OLD = timedelta(days=7), timedelta(days=28)
BETTER = Comparison(
    wape=0.095, champion_wape=0.100, gain_low=0.01, gain_high=0.09, segments={"night": 0.02, "weekends": -0.04},
    coverage=0.81, champion_coverage=0.79, days=56, champion_knew=0.0,
)  # fmt: skip
AS_GOOD = replace(BETTER, wape=0.101, gain_low=-0.04, gain_high=0.02)


def test_the_first_model_becomes_champion_as_such() -> None:
    assert first("There is no champion.", {"wape": 0.9}).record() == {
        "promoted": True, "reason": "There is no champion.", "wape": 0.9,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("comparison", "age", "drifts", "promoted", "says"),
    [
        (BETTER, WEEK, False, True, "better"),
        (replace(BETTER, wape=0.099), WEEK, False, False, "is asked"),  # 1 % is not enough
        (replace(BETTER, gain_low=-0.001), WEEK, False, False, "is asked"),  # may be chance
        (replace(BETTER, segments={"weekends": -0.06}), WEEK, False, False, "6.0% worse for weekends"),
        (replace(BETTER, coverage=0.74), WEEK, False, False, "covers 74%"),
        (replace(BETTER, coverage=0.86), WEEK, False, False, "covers 86%"),
        (AS_GOOD, WEEK, False, False, "is asked"),
        (AS_GOOD, OLD, False, True, "28 days ago"),
        (AS_GOOD, WEEK, True, True, "drifts"),
        (replace(AS_GOOD, wape=0.103), OLD, True, False, "is asked"),
        (replace(AS_GOOD, segments={"night": -0.06}), OLD, False, False, "6.0% worse for night"),
        (replace(AS_GOOD, coverage=0.70), OLD, False, False, "covers 70%"),
        (replace(AS_GOOD, coverage=0.70, champion_coverage=0.65), OLD, False, True, "28 days ago"),
        (None, OLD, True, False, "too short"),
    ],
)
def test_a_later_model_must_be_clearly_better_or_no_worse_than_an_old_or_drifting_champion(
    comparison: Comparison | None, age: timedelta, drifts: bool, promoted: bool, says: str
) -> None:
    decision = decide(comparison, age, champion_drifts=drifts)

    assert decision.promoted == promoted
    assert says in decision.reason


def test_the_record_carries_every_number_that_it_rests_on() -> None:
    record = decide(BETTER, WEEK).record()

    assert record["gain"] == pytest.approx(0.05)
    assert record["segments"] == {"night": 0.02, "weekends": -0.04}
    assert {"gain_low", "gain_high", "coverage", "champion_coverage", "days", "champion_knew", "rule"} <= record.keys()


def told(error: float, champion_error: float, night_error: float = 0.0, days: int = 20) -> pd.DataFrame:
    """What two models said, each off by about its error, the first by more between 0 and 6 h."""
    rng = np.random.default_rng(3)
    hours = pd.date_range("2026-01-05", periods=24 * days, freq="h", tz="UTC")
    noise = rng.standard_normal((2, len(hours)))
    value = np.full(len(hours), 100.0)
    size = error + night_error * (hours.hour < 6)
    return pd.DataFrame(
        {
            "site_id": "gym", "hour": hours, "horizon_h": np.arange(len(hours)) % 168 + 1, "value": value,
            "prediction": value + size * noise[0], "p10": value + (noise[0] - 1.28) * error,
            "p90": value + (noise[0] + 1.28) * error,
            "champion_prediction": value + champion_error * noise[1], "champion_p10": 0.0, "champion_p90": 1e9,
        }
    )  # fmt: skip


def compared(rows: pd.DataFrame) -> Comparison:
    found = compare(rows, {"gym": "UTC"}, pd.Timestamp("2026-01-15", tz="UTC"))
    assert found is not None
    return found


def test_a_real_gain_has_an_interval_above_zero_and_a_chance_one_has_not() -> None:
    real, chance = compared(told(5.0, 10.0)), compared(told(9.9, 10.0))

    assert 0 < real.gain_low < real.gain < real.gain_high
    assert chance.gain_low < 0 < chance.gain_high
    assert real.coverage == pytest.approx(0.8, abs=0.05)
    assert real.champion_knew == pytest.approx(0.5)
    assert real.days == 20


def test_a_loss_at_night_shows_in_its_segment_although_the_whole_is_better() -> None:
    found = compared(told(4.0, 10.0, night_error=12.0))

    assert found.gain > 0.1
    assert found.segments["night (0–6 h)"] < -0.05 < found.segments["afternoon (12–18 h)"]


def test_nothing_observed_is_nothing_to_compare() -> None:
    rows = told(5.0, 10.0).assign(value=np.nan)

    assert compare(rows, {"gym": "UTC"}, pd.Timestamp("2026-01-15", tz="UTC")) is None
