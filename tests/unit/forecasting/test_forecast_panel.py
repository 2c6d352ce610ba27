"""What a panel may look like, and what it says when it may not."""

import numpy as np
import pandas as pd
import pytest

from forecasting.local_grid import local_grid, local_midnight_ns
from forecasting.panel import HOUR_NS, PanelError, build_panel


def tidy(hours, values, site="a"):
    return pd.DataFrame({"site_id": site, "hour": pd.DatetimeIndex(hours), "value": values})


def test_hours_between_observations_become_explicit_gaps():
    panel = build_panel(tidy(pd.to_datetime(["2026-01-01T00:00Z", "2026-01-01T03:00Z"]), [1.0, 2.0]))
    np.testing.assert_array_equal(panel.values, [[1, np.nan, np.nan, 2]])


def test_an_imputed_hour_is_a_gap_and_a_negative_value_is_zero():
    frame = tidy(pd.date_range("2026-01-01", periods=3, freq="h", tz="UTC"), [1.0, 5.0, -2.0])
    panel = build_panel(frame.assign(is_imputed=[False, True, False]))
    np.testing.assert_array_equal(panel.values, [[1, np.nan, 0]])


@pytest.mark.parametrize("flags", [["f", "t", ""], ["False", "True", None], [0, 1, 0], ["0", "1", "0"]])
def test_flags_are_read_however_a_file_writes_them(flags):
    frame = tidy(pd.date_range("2026-01-01", periods=3, freq="h", tz="UTC"), [1.0, 5.0, 2.0])
    panel = build_panel(frame.assign(is_imputed=flags))
    np.testing.assert_array_equal(panel.values, [[1, np.nan, 2]])


def test_a_capacity_of_nothing_is_unknown():
    frame = tidy(pd.date_range("2026-01-01", periods=3, freq="h", tz="UTC"), [1.0, 5.0, 2.0])
    panel = build_panel(frame.assign(capacity=[0, -1, 7]))
    np.testing.assert_array_equal(panel.capacity, [[np.nan, np.nan, 7]])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda f: f.drop(columns="value"), "column 'value' is missing"),
        (lambda f: f.assign(hour=f["hour"].dt.tz_localize(None)), "column 'hour' must hold instants with a time zone"),
        (lambda f: pd.concat([f, f.iloc[[1]]]), "repeated pairs, the first is site a at 2026-01-01 01:00"),
        (
            lambda f: f.assign(hour=[*f["hour"][:2], f["hour"][2] + pd.Timedelta("15min")]),
            "not a whole number of hours",
        ),
        (lambda f: f.assign(value=["1", "2", "x"]), "column 'value' must hold numbers"),
        (lambda f: f.assign(value=[1.0, np.inf, 2.0]), "column 'value' is infinite in row 2"),
        (lambda f: f.assign(site_id=["a", None, "a"]), "column 'site_id' is empty in row 2"),
        (lambda f: f.assign(is_imputed=["f", "perhaps", "f"]), "column 'is_imputed', row 2: 'perhaps' is neither"),
    ],
)
def test_a_panel_that_cannot_be_used_names_column_and_reason(spoil, says):
    frame = tidy(pd.date_range("2026-01-01", periods=3, freq="h", tz="UTC"), [1.0, 2.0, 3.0])
    with pytest.raises(PanelError, match=says):
        build_panel(spoil(frame))


def test_the_day_of_23_hours_leaves_one_cell_empty_and_the_day_of_25_shares_one():
    hours = pd.date_range("2025-03-29T23:00Z", "2025-10-27T23:00Z", freq="h")
    grid = local_grid(build_panel(tidy(hours, np.arange(len(hours), dtype=float))), [0], "Europe/Berlin")
    seen = np.isfinite(grid.values[0]).sum(axis=1)
    spring = (np.datetime64("2025-03-30") - np.datetime64("1970-01-01")).astype(int) - grid.first_day
    autumn = (np.datetime64("2025-10-26") - np.datetime64("1970-01-01")).astype(int) - grid.first_day
    assert seen[spring] == 23 and np.isnan(grid.values[0, spring, 2])
    first_two_oclock = int((pd.Timestamp("2025-10-26T00:00Z") - hours[0]) / pd.Timedelta("1h"))
    assert seen[autumn] == 24 and grid.values[0, autumn, 2] == first_two_oclock + 0.5


def test_local_midnight_on_a_daylight_saving_day():
    noon = pd.Timestamp("2025-03-30 12:00", tz="Europe/Berlin")
    assert local_midnight_ns(noon.value, "Europe/Berlin") == noon.value - 11 * HOUR_NS
