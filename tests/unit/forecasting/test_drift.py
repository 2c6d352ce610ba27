"""Drift: what has moved is found, and what has not is left alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from forecasting.drift import CUSUM_LIMIT, cusum, population_stability, psi_limit
from forecasting.model import train
from forecasting.operation.health import examine, local_midnights
from forecasting.panel import HOUR_NS
from forecasting.store import Panel

TZ = "Asia/Jakarta"
NOW = datetime(2026, 3, 15, 17, tzinfo=UTC)  # midnight in Jakarta, at the end of the panel


def test_stability_index_is_small_for_the_same_and_large_for_a_shifted_distribution() -> None:
    rng = np.random.default_rng(2)
    old = rng.normal(size=(4000, 3))
    new = rng.normal(size=(2000, 3))
    new[:, 1] += 1.5
    new[:1500, 2] = np.nan  # a feature that has fallen silent has moved too

    index = population_stability(old, new)

    assert index[0] < 0.1
    assert index[1] > 0.5 and index[2] > 0.5


def test_few_cases_need_a_larger_index_to_prove_anything() -> None:
    assert psi_limit(2800, 700) == 0.25
    assert psi_limit(28, 7) > 3

    rng = np.random.default_rng(4)
    chance = [population_stability(rng.normal(size=(28, 1)), rng.normal(size=(7, 1)))[0] for _ in range(300)]
    assert max(chance) < psi_limit(28, 7)


def test_a_lasting_shift_adds_up_and_a_single_bad_day_does_not() -> None:
    rng = np.random.default_rng(5)
    assert cusum(rng.normal(size=7) * 0.05, 0.05) < CUSUM_LIMIT
    assert cusum(np.array([0, 0, 0.2, 0, 0, 0, 0.0]), 0.05) < CUSUM_LIMIT
    assert cusum(np.full(7, 0.10), 0.05) > CUSUM_LIMIT
    assert cusum(np.full(7, -0.10), 0.05) > CUSUM_LIMIT


@pytest.fixture(scope="module")
def history(weekly_panel) -> pd.DataFrame:
    return weekly_panel(sites=6).assign(is_imputed=False)


@pytest.fixture(scope="module")
def model(history):
    return train(history[history["hour"] < pd.Timestamp("2026-03-01", tz="UTC")], tz=TZ)


def panel(hours: pd.DataFrame) -> Panel:
    sites = hours["site_id"].unique()
    return Panel(hours, dict.fromkeys(sites, TZ), dict.fromkeys(sites, "venue"))


def test_a_champion_in_quiet_times_has_no_reason_to_be_doubted(model, history) -> None:
    health = examine(model, "v1", "venue", panel(history), NOW)

    assert health is not None
    assert health.row.reasons == []
    assert health.row.hours == 7 * 24 * 6
    assert health.row.wape < health.row.baseline_wape and not health.row.is_worse_than_baseline
    assert 0.7 < health.row.coverage_80 < 0.9
    assert len(health.daily) == 35


def test_a_town_that_empties_is_noticed_by_error_band_and_residuals(model, history) -> None:
    fallen = history["hour"] >= pd.Timestamp("2026-03-11", tz="UTC")
    emptied = history.assign(value=history["value"].where(~fallen, history["value"] * 0.4))

    health = examine(model, "v1", "venue", panel(emptied), NOW)

    assert health is not None
    said = " ".join(health.row.reasons)
    assert "CUSUM" in said and "band covers" in said
    assert health.row.bias > 0.2


def test_a_champion_worse_than_baseline_and_profile_is_called_so(model, history) -> None:
    class Wrong:
        def apply(self, features):
            return np.full(len(features), 2.0)

    health = examine(replace(model, residual=Wrong()), "v1", "venue", panel(history), NOW)

    assert health is not None
    assert health.row.is_worse_than_baseline
    assert "worse than the baseline" in health.row.reasons[0]


@pytest.mark.parametrize(
    ("tz", "now"),
    [
        ("Asia/Jakarta", datetime(2026, 5, 20, 3, 40, tzinfo=UTC)),
        ("Asia/Kolkata", datetime(2026, 5, 20, 3, 40, tzinfo=UTC)),  # its hours begin at half past, the data's do not
        ("Africa/Cairo", datetime(2026, 4, 24, 9, 0, tzinfo=UTC)),  # a day that begins at 01:00
        ("Europe/London", datetime(2026, 4, 2, 9, 0, tzinfo=UTC)),
    ],
)
def test_days_are_replayed_from_the_first_full_hour_of_each_local_day(tz: str, now: datetime) -> None:
    midnights = local_midnights(tz, now)

    local = [pd.Timestamp(at, tz="UTC").tz_convert(tz) for at in midnights]
    assert all(at % HOUR_NS == 0 for at in midnights)
    today = pd.Timestamp(now).tz_convert(tz).date()
    assert [at.date() for at in local] == [today - timedelta(days=back) for back in range(35, 0, -1)]
    assert all((at - pd.Timedelta("1h")).date() < at.date() for at in local)


def test_too_few_hours_prove_nothing(model, history) -> None:
    ended = history[history["hour"] < pd.Timestamp("2026-03-01", tz="UTC")]

    assert examine(model, "v1", "venue", panel(ended), NOW) is None
