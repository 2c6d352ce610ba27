"""How the champion behaves: what it may see, what it may never say, what it says where history is thin."""

import numpy as np
import pandas as pd
import pytest

from forecasting.artefact import ArtefactError
from forecasting.model import ForecastModel, train
from forecasting.panel import PanelError
from forecasting.residual import shares_for

TZ = "Asia/Jakarta"


@pytest.fixture(scope="module")
def panel(weekly_panel):
    return weekly_panel()


@pytest.fixture(scope="module")
def model(panel):
    return train(panel, tz=TZ)


@pytest.fixture
def origin(panel):
    return panel["hour"].max() + pd.Timedelta("1h")


def wape(frame, panel):
    joined = frame.merge(panel, on=["site_id", "hour"])
    return (joined["value"] - joined["prediction"]).abs().sum() / joined["value"].sum()


def test_every_site_and_hour_is_forecast_within_its_band(model, panel, origin):
    out = model.predict(panel, origin=origin, horizon=168)
    assert list(out.columns) == [
        "site_id", "origin", "hour", "horizon_h", "prediction", "p10", "p90", "baseline", "method",
    ]  # fmt: skip
    assert len(out) == 4 * 168 and not out.isna().any().any()
    assert (out["hour"] == origin + pd.to_timedelta(out["horizon_h"] - 1, unit="h")).all()
    assert (out["p10"] >= 0).all() and (out["p10"] <= out["prediction"]).all()
    assert (out["prediction"] <= out["p90"]).all()
    assert set(out["method"]) == {"profile+xgboost"}


def test_nothing_after_the_origin_changes_a_forecast(model, panel):
    origin = panel["hour"].min() + pd.Timedelta(days=50, hours=10)
    rewritten = panel.assign(value=panel["value"].where(panel["hour"] < origin, 1000.0))
    for horizon in (3, 168):
        seen = model.predict(panel, origin=origin, horizon=horizon)
        pd.testing.assert_frame_equal(seen, model.predict(rewritten, origin=origin, horizon=horizon))
        cut = panel[panel["hour"] < origin]
        pd.testing.assert_frame_equal(seen, model.predict(cut, origin=origin, horizon=horizon))


def test_what_happened_just_before_the_origin_does_change_it(model, panel):
    origin = panel["hour"].min() + pd.Timedelta(days=50, hours=10)
    last = panel["hour"] == origin - pd.Timedelta("1h")
    moved = model.predict(panel.assign(value=panel["value"] + 30 * last), origin=origin, horizon=3)
    assert not np.allclose(moved["prediction"], model.predict(panel, origin=origin, horizon=3)["prediction"])


def test_a_habit_is_learnt_to_within_its_noise(panel):
    origin = panel["hour"].min() + pd.Timedelta(days=63)
    learnt = train(panel[panel["hour"] < origin], tz=TZ)
    assert wape(learnt.predict(panel, origin=origin, horizon=168), panel) < 0.16


def test_same_data_and_seed_give_the_same_bytes(panel):
    short = panel[panel["site_id"] < "site-2"]
    first, second = train(short, tz=TZ, seed=3), train(short, tz=TZ, seed=3)
    assert first.to_bytes() == second.to_bytes() and first.version == second.version
    assert train(short, tz=TZ, seed=4).version != first.version


def test_a_model_read_back_forecasts_the_same(model, panel, origin):
    stored = model.to_bytes()
    again = ForecastModel.from_bytes(stored)
    assert (again.version, again.metadata, again.to_bytes()) == (model.version, model.metadata, stored)
    pd.testing.assert_frame_equal(
        again.predict(panel, origin=origin, horizon=24), model.predict(panel, origin=origin, horizon=24)
    )


def test_bytes_that_are_no_model_say_so():
    with pytest.raises(ArtefactError, match="damaged or not a model"):
        ForecastModel.from_bytes(b"not a model")


def test_metadata_says_what_the_model_was_made_of(model):
    assert model.metadata["seed"] == 7
    assert model.metadata["trained_to"] == "2026-03-15T17:00:00Z"
    assert {"xgboost-cpu", "pandas", "numpy"} <= set(model.metadata["packages"])
    assert model.metadata["validation"]["wape"] < 0.2


def test_a_new_site_gets_its_groups_shape_with_a_wide_band(model, panel, origin):
    out = model.predict(panel, origin=origin, horizon=24, sites=["site-1", "opened-today"]).set_index("site_id")
    new, known = out.loc["opened-today"], out.loc["site-1"]
    assert set(new["method"]) == {"group_profile"}
    local = new["hour"].dt.tz_convert(TZ).dt.hour
    assert new["prediction"].to_numpy()[local == 16] > 3 * new["prediction"].to_numpy()[local == 9]
    width = lambda rows: ((rows["p90"] - rows["p10"]) / rows["prediction"].clip(lower=1)).median()  # noqa: E731
    assert width(new) > 1.5 * width(known)


def test_a_site_of_five_days_leans_on_the_profile(model, panel, origin):
    young = panel[(panel["site_id"] == "site-1") & (panel["hour"] >= origin - pd.Timedelta(days=5))]
    both = pd.concat([panel, young.assign(site_id="young")])
    out = model.predict(both, origin=origin, horizon=168, sites=["young", "site-1"])
    level = out.groupby("site_id")["prediction"].mean()
    assert set(out.loc[out["site_id"] == "young", "method"]) == {"profile"}
    assert level["young"] == pytest.approx(level["site-1"], rel=0.25)


def test_two_weeks_of_one_site_are_enough_to_train_and_say_profile(panel):
    short = panel[(panel["site_id"] == "site-0") & (panel["hour"] < panel["hour"].min() + pd.Timedelta(days=10))]
    learnt = train(short, tz=TZ)
    out = learnt.predict(short, origin=short["hour"].max() + pd.Timedelta("1h"), horizon=48)
    assert set(out["method"]) == {"profile"} and out["prediction"].max() > 10
    assert ForecastModel.from_bytes(learnt.to_bytes()).version == learnt.version


def test_hours_in_which_a_site_never_reports_are_zero_and_called_closed(panel):
    local = panel["hour"].dt.tz_convert(TZ)
    opening = panel[(local.dt.hour >= 8) & (local.dt.hour < 17) & (local.dt.day_of_week < 6)]
    out = train(opening, tz=TZ).predict(opening, origin=pd.Timestamp("2026-03-15T17:00Z"), horizon=168)
    when = out["hour"].dt.tz_convert(TZ)
    shut = (when.dt.hour < 8) | (when.dt.hour >= 17) | (when.dt.day_of_week == 6)
    assert len(out) == 4 * 168
    assert (out.loc[shut, "prediction"] == 0).all() and set(out.loc[shut, "method"]) == {"closed"}
    assert (out.loc[~shut, "method"] == "profile+xgboost").all()
    assert (out.loc[~shut & (when.dt.hour == 16), "prediction"] > 5).all()


def test_hours_that_are_always_zero_stay_near_zero(model, panel, origin):
    out = model.predict(panel, origin=origin, horizon=168)
    night = out["hour"].dt.tz_convert(TZ).dt.hour < 6
    assert out.loc[night, "prediction"].max() < 0.05 * out["prediction"].max()


def test_after_weeks_of_silence_the_site_is_remembered_as_it_was(model, panel):
    origin = panel["hour"].max() + pd.Timedelta("1h")
    silent = panel[(panel["site_id"] != "site-3") | (panel["hour"] < origin - pd.Timedelta(weeks=5))]
    out = model.predict(silent, origin=origin, horizon=168)
    level = out.groupby("site_id")["prediction"].mean()
    usual = model.predict(panel, origin=origin, horizon=168).groupby("site_id")["prediction"].mean()
    assert level["site-3"] == pytest.approx(usual["site-3"], rel=0.05)
    assert set(out.loc[out["site_id"] == "site-3", "method"]) == {"profile"}
    said = model.explain(silent, origin=origin, site="site-3", hour=origin)
    first = out[(out["site_id"] == "site-3") & (out["hour"] == origin)]["prediction"].item()
    assert (said["profile"], said["adjustment"]) == (pytest.approx(first), 0.0)


def test_a_level_shift_is_followed_within_a_week(panel):
    shifted_at = panel["hour"].max() - pd.Timedelta(days=10)
    shifted = panel.assign(value=panel["value"].where(panel["hour"] < shifted_at, panel["value"] * 0.4))
    origin = panel["hour"].max() + pd.Timedelta("1h")
    now = train(shifted, tz=TZ).predict(shifted, origin=origin, horizon=168)["prediction"].mean()
    before = shifted.loc[shifted["hour"] < shifted_at, "value"].mean()
    assert now < 0.65 * before


def test_a_forecast_stays_within_a_little_of_capacity(panel):
    capped = panel.assign(capacity=20.0, value=panel["value"].clip(upper=20))
    learnt = train(capped, tz=TZ)
    out = learnt.predict(capped, origin=panel["hour"].max() + pd.Timedelta("1h"), horizon=168)
    assert out["prediction"].max() <= 21 and out["p90"].max() <= 21
    halved = pd.concat([capped, capped[capped["hour"] == capped["hour"].max()].assign(capacity=10.0)])
    halved = halved.drop_duplicates(["site_id", "hour"], keep="last")
    later = learnt.predict(halved, origin=panel["hour"].max() + pd.Timedelta("25h"), horizon=24)
    assert later["prediction"].max() <= 10.5 + 1e-6


@pytest.mark.parametrize("origin", ["2025-03-30T00:00", "2025-10-26T00:00"])
def test_days_of_23_and_25_hours_are_forecast_on_the_wall_clock(origin, weekly_panel):
    start = pd.Timestamp(origin, tz="Europe/Berlin") - pd.Timedelta(days=63)
    berlin = weekly_panel(start=str(start.date()), tz="Europe/Berlin", days=80, sites=2)
    begin = pd.Timestamp(origin, tz="Europe/Berlin").tz_convert("UTC")
    past = berlin[berlin["hour"] < begin]
    out = train(past, tz="Europe/Berlin").predict(past, origin=begin, horizon=48)
    assert len(out) == 96
    next_day = out[
        out["hour"].dt.tz_convert("Europe/Berlin").dt.date == pd.Timestamp(origin).date() + pd.Timedelta("1D")
    ]
    peaks = next_day.loc[next_day.groupby("site_id")["prediction"].idxmax(), "hour"]
    assert peaks.dt.tz_convert("Europe/Berlin").dt.hour.between(15, 17).all()
    assert wape(out, berlin) < 0.25


def test_an_explanation_adds_up_to_the_forecast(model, panel, origin):
    hour = origin + pd.Timedelta("20h")
    said = model.explain(panel, origin=origin, site="site-2", hour=hour)
    out = model.predict(panel, origin=origin, horizon=24).set_index(["site_id", "hour"]).loc[("site-2", hour)]
    assert said["profile"] + said["adjustment"] == pytest.approx(out["prediction"], abs=0.05)
    assert sum(said["shares"].values()) == pytest.approx(said["adjustment"])


def test_sites_in_two_time_zones_each_keep_their_own_clock(panel, weekly_panel):
    berlin = weekly_panel(tz="Europe/Berlin", sites=1).assign(site_id="berlin")
    both = pd.concat([panel[panel["site_id"] == "site-1"], berlin])
    zones = {"site-1": TZ, "berlin": "Europe/Berlin"}
    origin = pd.Timestamp("2026-03-15T12:00Z")
    out = train(both[both["hour"] < origin], tz=zones).predict(both, origin=origin, horizon=24).set_index("hour")
    for site, tz in zones.items():
        peak = out[out["site_id"] == site]["prediction"].idxmax()
        assert 14 <= peak.tz_convert(tz).hour <= 18


def test_no_observation_at_all_is_refused(panel):
    with pytest.raises(PanelError, match="nothing to learn from"):
        train(panel.assign(value=np.nan), tz=TZ)


def test_a_site_without_time_zone_is_named(panel):
    with pytest.raises(PanelError, match="site 'site-0' has no time zone"):
        train(panel, tz={"site-1": TZ})


def test_a_site_that_stands_empty_since_weeks_is_forecast_near_empty(panel):
    """Nobody announced the season's end; the site still reports, zeros."""
    two = panel[panel["site_id"] >= "site-2"]
    empty = (two["site_id"] == "site-3") & (two["hour"] > two["hour"].max() - pd.Timedelta(weeks=3))
    after = two.assign(value=two["value"].mask(empty, 0.0))
    origin = panel["hour"].max() + pd.Timedelta("1h")
    level = train(after, tz=TZ).predict(after, origin=origin, horizon=168).groupby("site_id")["prediction"].mean()
    usual = panel.groupby("site_id")["value"].mean()
    assert level["site-3"] < 0.1 * usual["site-3"]
    assert level["site-2"] == pytest.approx(usual["site-2"], rel=0.15)


def test_counts_that_grow_are_not_forecast_at_their_old_level(panel):
    two = panel[panel["site_id"] >= "site-2"]
    growing = two.assign(value=two["value"] * 1.06 ** ((two["hour"] - two["hour"].min()).dt.days / 7))
    origin = panel["hour"].min() + pd.Timedelta(weeks=9)
    out = train(growing[growing["hour"] < origin], tz=TZ).predict(growing, origin=origin, horizon=168)
    joined = out.merge(growing, on=["site_id", "hour"])
    total = joined[["prediction", "baseline", "value"]].sum()
    too_low = 1 - total / total["value"]
    assert too_low["baseline"] > 0.1
    assert abs(too_low["prediction"]) < 0.7 * too_low["baseline"]


def test_trees_that_learnt_from_little_count_less_and_the_profile_more():
    plenty, little = shares_for(1_000_000, 104), shares_for(500, 6)
    assert (plenty.sum(axis=1) > 0.98).all() and (little.sum(axis=1) <= 1).all()
    assert (little[:, 1:].sum(axis=1) < 0.25 * plenty[:, 1:].sum(axis=1)).all()
    assert little[0].sum() == pytest.approx(1) and little[2].sum() == pytest.approx(0.75)
