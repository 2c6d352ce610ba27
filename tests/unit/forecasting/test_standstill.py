"""Spells in which a site stands still: found once they are over, and only if nothing else explains them."""

import numpy as np
import pandas as pd
import pytest

from forecasting.model import train
from forecasting.standstill import NEVER, spells_over

TZ = "Asia/Jakarta"
DAY = 3 * np.r_[np.zeros(7), 10, 40, 80, 100, 100, 90, 80, 60, 40, 30, 20, 10, 5, np.zeros(4)]


def one_site(days):
    return np.array(days, dtype=np.float32).reshape(1, -1, 24)


def busy(days):
    rng = np.random.default_rng(1)
    return [DAY * (1 + 0.1 * rng.standard_normal(24)) for _ in range(days)]


def test_a_stuck_counter_that_flickers_is_a_spell_once_it_moves_again():
    stuck = [np.full(24, 15.0) + (np.arange(24) == 3) for _ in range(10)]
    over = spells_over(one_site(busy(14) + stuck + busy(2)))[0]
    assert (over[:14] == NEVER).all() and (over[24:] == NEVER).all()
    # Six hours apart from the stuck value show it: 00:00 to 05:00, when the site is empty.
    assert (over[14:24] == 24 * 24 + 5).all()


@pytest.mark.parametrize("still_days", [5, 7])
def test_a_standstill_of_less_than_a_week_is_none(still_days):
    over = spells_over(one_site(busy(14) + [np.full(24, 30.0)] * still_days + busy(2)))
    assert (over == NEVER).all()


def test_a_spell_that_lasts_is_not_over():
    assert (spells_over(one_site(busy(14) + [np.zeros(24)] * 20)) == NEVER).all()


def test_a_stuck_counter_that_falls_silent_has_failed():
    days = busy(14) + [np.full(24, 15.0)] * 12 + [np.full(24, np.nan)] * 20
    over = spells_over(one_site(days))[0]
    # Known when eight days after its last hour nothing was heard.
    assert (over[:14] == NEVER).all() and (over[14:26] == 26 * 24 - 1 + 8 * 24).all()


@pytest.mark.parametrize(("count", "silent_days"), [(15.0, 7), (0.0, 20)])
def test_neither_a_short_silence_nor_that_of_a_closed_site_ends_a_spell(count, silent_days):
    days = busy(14) + [np.full(24, count)] * 12 + [np.full(24, np.nan)] * silent_days + [np.full(24, count)]
    assert (spells_over(one_site(days)) >= 24 * len(days)).all()


def test_single_counts_among_zeros_end_nothing():
    rare = np.zeros((1, 120, 24), dtype=np.float32)
    rare[0, ::12, 9] = 1
    assert (spells_over(rare) == NEVER).all()


def test_a_slow_site_does_not_stand_still():
    slow = 300 + 60 * np.sin(np.arange(24 * 60) / 60)
    assert (spells_over(one_site(slow)) == NEVER).all()


def test_what_was_known_at_an_hour_does_not_depend_on_later_ones():
    days = busy(14) + [np.zeros(24)] * 10 + busy(6)
    whole, cut = spells_over(one_site(days)), spells_over(one_site(days[:26]))
    known = 26 * 24
    assert np.array_equal(whole[:, :26] < known, cut < known)
    assert (cut < known).any()


def test_what_a_silence_showed_does_not_depend_on_what_followed():
    slow_rise = [15 + 0.5 * np.arange(24.0) + 12 * day for day in range(6)]
    days = busy(14) + [np.full(24, 15.0)] * 9 + [np.full(24, np.nan)] * 9 + slow_rise
    whole, cut = spells_over(one_site(days)), spells_over(one_site(days[:32]))
    known = 32 * 24
    assert np.array_equal(whole[:, :32] < known, cut < known)
    assert (cut < known).any()


def test_a_site_that_reopens_is_at_its_usual_level_the_next_day(weekly_panel):
    panel = weekly_panel(sites=3, days=100)
    end = panel["hour"].max() + pd.Timedelta("1h")
    closed = panel["hour"].between(end - pd.Timedelta(days=31), end - pd.Timedelta(days=1), inclusive="left")
    reopened = panel.assign(value=panel["value"].mask(closed & (panel["site_id"] == "site-2"), 0.0))
    out = train(reopened, tz=TZ).predict(reopened, origin=end, horizon=168).groupby("site_id")["prediction"].mean()
    usual = panel.groupby("site_id")["value"].mean()
    assert out["site-2"] == pytest.approx(usual["site-2"], rel=0.15)
