"""Metrics against numbers worked out by hand."""

import numpy as np
import pytest

from forecasting import metrics

ACTUAL = np.array([10.0, 0.0, 20.0, np.nan])
PREDICTED = np.array([12.0, 1.0, 14.0, 99.0])


def test_wape_is_absolute_error_over_total_and_skips_unobserved_hours():
    assert metrics.wape(ACTUAL, PREDICTED) == pytest.approx(9 / 30)


def test_mae_rmse_and_bias():
    assert metrics.mae(ACTUAL, PREDICTED) == pytest.approx(3.0)
    assert metrics.rmse(ACTUAL, PREDICTED) == pytest.approx(np.sqrt(41 / 3))
    assert metrics.bias(ACTUAL, PREDICTED) == pytest.approx(-3 / 30)


def test_coverage_counts_the_borders():
    low, high = np.array([10.0, 1.0, 0.0, 0.0]), np.array([11.0, 2.0, 20.0, 1.0])
    assert metrics.coverage(ACTUAL, low, high) == pytest.approx(2 / 3)


def test_pinball_of_p90_charges_nine_times_more_for_being_too_low():
    assert metrics.pinball(np.array([10.0]), np.array([8.0]), 0.9) == pytest.approx(1.8)
    assert metrics.pinball(np.array([10.0]), np.array([12.0]), 0.9) == pytest.approx(0.2)


def test_mase_of_the_seasonal_naive_on_its_own_history_is_one():
    history = np.random.default_rng(3).random((2, 168 * 4))
    scale = metrics.seasonal_naive_mae(history)
    assert metrics.mase(history[:, 168:], history[:, :-168], scale) == pytest.approx(1.0)


def test_mase_leaves_out_a_site_that_never_moves():
    history = np.vstack([np.ones(400), np.arange(400.0)])
    scale = metrics.seasonal_naive_mae(history)
    assert scale == pytest.approx([0, 168])
    assert metrics.mase(np.zeros((2, 3)), np.full((2, 3), 84.0), scale) == pytest.approx(0.5)


def test_nothing_observed_has_no_error():
    assert np.isnan(metrics.wape(np.array([np.nan]), np.array([1.0])))
