"""Known events: closures give zeros, holidays their usual effect, and nothing counts before it was known."""

import numpy as np
import pandas as pd
import pytest

from forecasting.calendar_effects import calendar_effects
from forecasting.events import Events
from forecasting.model import train
from forecasting.panel import PanelError, build_panel, zones
from forecasting.training_rows import build_zones

TZ = "Asia/Jakarta"
ORIGIN = pd.Timestamp("2026-03-15T17:00Z")


def calendar(*rows):
    return pd.DataFrame(rows, columns=["site_id", "start", "end", "kind", "name", "known_at"])


@pytest.fixture(scope="module")
def panel(weekly_panel):
    return weekly_panel(sites=2)


def test_a_closure_known_ahead_gives_zeros_on_its_days_only(panel):
    events = calendar(["site-1", "2026-03-18", "2026-03-19", "closure", "works", "2026-03-01"])
    out = train(panel, tz=TZ, calendar=events).predict(panel, origin=ORIGIN, horizon=168)
    day = out["hour"].dt.tz_convert(TZ).dt.day
    closed = (out["site_id"] == "site-1") & day.isin([18, 19])
    assert (out.loc[closed, ["prediction", "p10", "p90"]] == 0).all(axis=None)
    assert set(out.loc[closed, "method"]) == {"closed"}
    assert "closed" not in set(out.loc[~closed, "method"])


@pytest.mark.parametrize("silent_days", [1, 3, 40])
def test_a_tenant_that_was_silent_for_days_is_forecast_with_its_calendar(panel, silent_days):
    """All venues closed on Sunday: on Monday morning the newest hour is Saturday's."""
    events = calendar(
        ["*", "2026-02-17", "2026-02-17", "holiday", "feast", None],
        ["*", "2026-02-01", "2026-02-05", "season", "fasting", None],
        ["*", "2026-01-12", "2026-01-16", "school_holiday", "break", None],
    )
    heard = panel[panel["hour"] < ORIGIN - pd.Timedelta(days=silent_days, hours=3)]
    out = train(heard, tz=TZ, calendar=events).predict(heard, origin=ORIGIN, horizon=48)
    assert np.isfinite(out[["prediction", "p10", "p90"]]).all(axis=None)
    assert out["prediction"].max() > 20


def test_a_weekday_on_which_there_was_always_something_special_is_not_closed(panel):
    local = pd.date_range("2026-01-05", "2026-03-15", freq="D")
    fridays = [str(day.date()) for day in local[local.day_of_week == 4]]
    events = calendar(*(["*", day, day, "event", "market", None] for day in fridays))
    out = train(panel, tz=TZ, calendar=events).predict(panel, origin=ORIGIN, horizon=168)
    day = out["hour"].dt.tz_convert(TZ).dt.day_of_week
    total = out["prediction"].groupby(day).sum()
    assert "closed" not in set(out.loc[day == 4, "method"])
    assert total[4] == pytest.approx(total[3], rel=0.3)


def test_the_order_in_which_a_calendar_was_written_does_not_matter():
    rows = [["*", "2026-03-18", f"2026-03-{end}", "closure", "works", None] for end in (19, 20, 21, 22)]
    forwards, backwards = Events.from_frame(calendar(*rows)), Events.from_frame(calendar(*rows[::-1]))
    assert forwards.to_json() == backwards.to_json()
    assert [entry["end_h"] for entry in forwards.to_json()] == sorted(entry["end_h"] for entry in forwards.to_json())


def test_a_closure_that_was_not_known_yet_changes_nothing(panel):
    events = calendar(["*", "2026-03-18", "2026-03-19", "closure", "works", "2026-03-16"])
    with_event = train(panel, tz=TZ, calendar=events).predict(panel, origin=ORIGIN, horizon=168)
    without = train(panel, tz=TZ).predict(panel, origin=ORIGIN, horizon=168)
    pd.testing.assert_frame_equal(with_event, without)


def test_a_holiday_is_forecast_as_its_like_were(panel):
    days = ["2026-01-21", "2026-02-05", "2026-02-17", "2026-03-03", "2026-03-18"]
    events = calendar(*(["*", day, day, "holiday", "feast", None] for day in days))
    local = panel["hour"].dt.tz_convert(TZ).dt.strftime("%Y-%m-%d")
    quiet = panel.assign(value=np.where(local.isin(days), panel["value"] * 0.3, panel["value"]))
    out = train(quiet, tz=TZ, calendar=events).predict(quiet, origin=ORIGIN, horizon=168)
    total = out.groupby(out["hour"].dt.tz_convert(TZ).dt.day)["prediction"].sum()
    assert total[18] < 0.6 * total[17]
    blind = train(quiet, tz=TZ).predict(quiet, origin=ORIGIN, horizon=168)
    unaware = blind.groupby(blind["hour"].dt.tz_convert(TZ).dt.day)["prediction"].sum()
    assert unaware[18] > 0.8 * unaware[17]


def test_eve_and_day_after_have_effects_of_their_own_learnt_by_name(panel):
    feasts = pd.to_datetime(["2026-02-05", "2026-02-17", "2026-03-03", "2026-03-18"])
    events = calendar(*(["*", day, day, "holiday", "feast", None] for day in feasts))
    local = panel["hour"].dt.tz_convert(TZ).dt.tz_localize(None).dt.normalize()
    on_eve, after = local.isin(feasts - pd.Timedelta("1D")), local.isin(feasts + pd.Timedelta("1D"))
    lively = panel.assign(value=panel["value"] * np.where(on_eve, 2.0, np.where(after, 0.5, 1.0)))
    data = build_panel(lively, until=ORIGIN)
    (zone,) = build_zones(data, zones(data.sites, TZ), np.zeros(2, dtype=np.int64), Events.from_frame(events))
    snapshot = zone.snapshot(ORIGIN.value)

    effect = calendar_effects(snapshot, zone.history, zone.events, ORIGIN.value, 6).effect

    # The origin is the midnight that begins 16 March: the feast is two days ahead.
    _, eve, day_after = effect
    assert eve[:, 1].min() > 0.5
    assert day_after[:, 3].max() < -0.25
    assert np.count_nonzero(eve[0]) == np.count_nonzero(day_after[0]) == 1


def test_the_same_event_of_many_sites_is_one(panel):
    rows = [[site, "2026-03-18", "2026-03-18", "holiday", "feast", None] for site in ("site-0", "site-1", "elsewhere")]
    data = build_panel(panel)
    (zone,) = build_zones(data, zones(data.sites, TZ), np.zeros(2, dtype=np.int64), Events.from_frame(calendar(*rows)))

    (entry,) = zone.events.entries
    assert entry.rows is not None and entry.rows.tolist() == [0, 1]


def test_days_without_time_are_whole_and_the_last_is_included():
    entry = Events.from_frame(calendar(["*", "2026-03-18", "2026-03-19", "closure", "", None])).entries[0]
    assert entry.end_h - entry.start_h == 48
    timed = Events.from_frame(calendar(["*", "2026-03-18 08:00", "2026-03-18 12:00", "closure", "", None])).entries[0]
    assert timed.end_h - timed.start_h == 4


@pytest.mark.parametrize(
    ("tz", "offset"), [("Asia/Kolkata", "+05:30"), ("Australia/Adelaide", "+10:30"), ("Asia/Jakarta", "+07:00")]
)
@pytest.mark.parametrize(("start", "end"), [("11:00", "13:00"), ("11:15", "12:45"), ("10:40", "10:50")])
def test_an_entry_with_an_offset_counts_for_the_hours_of_the_same_clock_times_without_one(
    panel, tz, offset, start, end
):
    data = build_panel(panel)
    hours = []
    for suffix in ("", offset):
        event = ["*", f"2026-03-18T{start}{suffix}", f"2026-03-18T{end}{suffix}", "closure", "works", None]
        events = Events.from_json(Events.from_frame(calendar(event)).to_json())
        (zone,) = build_zones(data, zones(data.sites, tz), np.zeros(2, dtype=np.int64), events)
        (entry,) = zone.events.entries
        hours.append((entry.start % 24, entry.end % 24))

    assert hours == [(int(start[:2]), -(-int(end[:2] + end[3:]) // 100))] * 2


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (["*", "2026-03-18", "2026-03-18", "fair", "", None], "column 'kind', row 1: 'fair' is none of holiday"),
        ([None, "2026-03-18", "2026-03-18", "event", "", None], "column 'site_id', row 1 is empty"),
        (["*", "2026-03-18", "2026-03-18", "event", "", "soon"], "column 'known_at', row 1: 'soon' is not a date"),
        (["*", "soon", "2026-03-18", "event", "", None], "column 'start', row 1: 'soon' is not a date"),
        (["*", "2026-03-18", "3026-03-18", "event", "", None], "column 'end', row 1: '3026-03-18' is not a date"),
        (["*", "2026-03-18", "2026-03-18", "event", "", "0206-01-01"], "of the years 1678 to 2261"),
        (["*", "2026-03-18", "2026-03-17", "event", "", None], "column 'end', row 1: 2026-03-17 is not after"),
    ],
)
def test_an_entry_that_cannot_be_read_names_column_and_row(row, says):
    with pytest.raises(PanelError, match=says):
        Events.from_frame(calendar(row))


def test_a_calendar_without_a_needed_column_says_which():
    with pytest.raises(PanelError, match="calendar: column 'kind' is missing"):
        Events.from_frame(pd.DataFrame({"site_id": ["*"], "start": ["2026-01-01"], "end": ["2026-01-01"]}))
