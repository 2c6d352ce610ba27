"""The backtest: its origins, what it writes, what it says when a file cannot be used; the band's calibration."""

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from forecasting import backtest
from forecasting.cli import app
from forecasting.intervals import DRIFT, DRIFT_H, calibrate
from forecasting.panel import PanelError

TZ = "Asia/Jakarta"


@pytest.fixture(scope="module")
def panel(weekly_panel):
    return weekly_panel(sites=2, days=50)


@pytest.fixture(scope="module")
def result(panel):
    return backtest.run(panel, tz=TZ, horizon=24, origins=5)


@pytest.fixture
def csv(panel, tmp_path):
    path = tmp_path / "panel.csv"
    panel.assign(hour=panel["hour"].dt.tz_convert(TZ).dt.tz_localize(None)).to_csv(path, index=False)
    return path


def test_origins_are_local_midnights_and_the_last_horizon_ends_with_the_data(result, panel):
    origins = result.predictions["origin"].drop_duplicates()
    assert (origins.dt.tz_convert(TZ).dt.hour == 0).all()
    assert origins.max() + pd.Timedelta("24h") == panel["hour"].max() + pd.Timedelta("1h")
    assert (origins.sort_values().diff().dropna() == pd.Timedelta("24h")).all()


def test_every_forecast_stands_beside_what_happened(result, panel):
    joined = result.predictions.merge(panel, on=["site_id", "hour"], suffixes=("", "_observed"))
    assert len(joined) == len(result.predictions) == 2 * 5 * 24
    np.testing.assert_allclose(joined["value"], joined["value_observed"], rtol=1e-6)


def test_the_champion_beats_every_baseline_on_a_habit_with_noise(result):
    error = result.summary.set_index("method")["wape"]
    assert list(error.index) == ["champion", "dow_hour_mean", "seasonal_naive_168", "four_week_mean"]
    assert error["champion"] < 1.05 * error.drop("champion").min()
    assert 0.6 < result.summary["coverage"].iloc[0] < 0.95


def test_baselines_are_what_their_names_say(result, panel):
    row = result.predictions.query("site_id == 'site-1' and value > 20").iloc[0]
    history = panel[panel["site_id"] == "site-1"].set_index("hour")["value"]
    weeks_back = [history[row["hour"] - pd.Timedelta(weeks=back)] for back in (1, 2, 3, 4)]
    assert row["seasonal_naive_168"] == pytest.approx(weeks_back[0], rel=1e-5)
    assert row["four_week_mean"] == pytest.approx(np.mean(weeks_back), rel=1e-5)
    local = history.index.tz_convert(TZ)
    target = row["hour"].tz_convert(TZ)
    same = (local.day_of_week == target.day_of_week) & (local.hour == target.hour) & (history.index < row["origin"])
    assert row["dow_hour_mean"] == pytest.approx(history[same].mean(), rel=1e-5)


def test_hourly_origins_use_the_last_known_hour(panel):
    short = backtest.run(panel, tz=TZ, horizon=3, origins=4, every=pd.Timedelta("1h"))
    origins = short.predictions["origin"].drop_duplicates().sort_values()
    assert (origins.diff().dropna() == pd.Timedelta("1h")).all() and len(origins) == 4


def test_rewriting_the_hours_after_an_origin_leaves_its_forecasts_alone(panel):
    end = panel["hour"].max() - pd.Timedelta("23h")
    first = backtest.run(panel, tz=TZ, horizon=24, origins=2)
    changed = panel.assign(value=panel["value"].where(panel["hour"] < end, 500.0))
    second = backtest.run(changed, tz=TZ, horizon=24, origins=2)
    columns = ["prediction", "p10", "p90", *("dow_hour_mean", "seasonal_naive_168", "four_week_mean")]
    pd.testing.assert_frame_equal(first.predictions[columns], second.predictions[columns])


def test_too_many_origins_for_the_data_says_how_many_days_are_needed(panel):
    with pytest.raises(PanelError, match="spans 50 days; 60 origins every 24 h"):
        backtest.run(panel, tz=TZ, horizon=24, origins=60)


def test_conformal_ends_cover_four_fifths_of_skewed_residuals():
    rng = np.random.default_rng(5)
    n = 40_000
    horizon, hour = rng.integers(1, 169, n), rng.integers(0, 24, n)
    unit = rng.uniform(1, 9, n)
    prediction = np.full(n, 100.0)
    actual = prediction + unit * (rng.gamma(2.0, 1.0, n) - 1.5) * (1 + hour / 24)
    seen = np.arange(n) < n // 2
    bands = calibrate(actual[seen], prediction[seen], unit[seen], horizon[seen], hour[seen])
    low, high = bands.ends(prediction[~seen], unit[~seen], horizon[~seen], hour[~seen])
    inside = (actual[~seen] >= low) & (actual[~seen] <= high)
    far = horizon[~seen] >= DRIFT_H
    assert inside[far].mean() == pytest.approx(0.8 + 2 * DRIFT, abs=0.015)
    for quarter in range(4):
        assert inside[hour[~seen] // 6 == quarter].mean() == pytest.approx(0.8 + 2 * DRIFT, abs=0.03)


def test_the_command_prints_the_table_and_writes_predictions_on_the_files_own_clock(csv, tmp_path):
    out = tmp_path / "predictions.csv"
    ran = CliRunner().invoke(app, ["backtest", str(csv), "--tz", TZ, "--origins", "2", "--out", str(out)])
    assert ran.exit_code == 0, ran.output
    assert "champion" in ran.output and "WAPE" in ran.output
    written = pd.read_csv(out, parse_dates=["origin", "hour"])
    assert list(written.columns) == ["site_id", "origin", "hour", "prediction", "p10", "p90"]
    assert len(written) == 2 * 2 * 24 and set(written["origin"].dt.hour) == {0}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("site_id,hour\na,2026-01-01 00:00\n", "column 'value' is missing"),
        (
            "site_id,hour,value\na,2026-01-01 00:00,1\na,yesterday,2\n",
            "column 'hour', row 2: 'yesterday' is not a time",
        ),
        ("site_id,hour,value\na,2026-01-01 00:00,many\n", "column 'value', row 1: 'many' is not a number"),
        ("site_id,hour,value\na,2026-01-01 00:00,1\na,2026-01-01 00:00,1\n", "1 repeated pairs, the first is site a"),
    ],
)
def test_a_file_that_cannot_be_used_names_the_column_and_the_reason(content, says, tmp_path):
    path = tmp_path / "panel.csv"
    path.write_text(content)
    ran = CliRunner().invoke(app, ["backtest", str(path)])
    assert ran.exit_code != 0 and says in str(ran.exception)
