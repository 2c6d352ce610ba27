"""Seasons: weeks with a daily rhythm of their own, known ahead and learnt from the year before; above all Ramadan."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from forecasting import training_rows
from forecasting.country_calendar import country_calendar
from forecasting.events import Events
from forecasting.metrics import wape
from forecasting.model import train
from forecasting.panel import build_panel, zones
from forecasting.season_effects import season_shift

TZ = "Asia/Jakarta"
MONTHS = [("2025-03-02", "2025-03-30"), ("2026-02-19", "2026-03-20")]
INDONESIA = Events.of(country_calendar("ID", date(2025, 1, 1), date(2026, 4, 30)))


@pytest.fixture(scope="module")
def panel(weekly_panel) -> pd.DataFrame:
    """Two sites whose afternoon peak comes three hours earlier in the months of Ramadan 2025 and 2026."""
    usual = weekly_panel(sites=2, days=480, start="2025-01-01", noise=0.1)
    local = usual["hour"].dt.tz_convert(TZ).dt.tz_localize(None)
    fasting = np.any([local.between(*month, inclusive="left") for month in MONTHS], axis=0)
    earlier = usual.groupby("site_id")["value"].shift(-3).fillna(0)
    return usual.assign(value=np.where(fasting, earlier, usual["value"]))


def known_at(panel: pd.DataFrame, day: str) -> tuple[pd.Timestamp, pd.DataFrame]:
    origin = pd.Timestamp(day, tz=TZ)
    return origin, panel[panel["hour"] < origin]


def shift(panel: pd.DataFrame, day: str, events: Events = INDONESIA) -> np.ndarray:
    """What the season adds on the first site on the origin's day, by hour."""
    data = build_panel(panel)
    (zone,) = training_rows.build_zones(data, zones(data.sites, TZ), np.zeros(2, dtype=np.int64), events)
    origin = pd.Timestamp(day, tz=TZ).value
    return season_shift(zone.snapshot(origin), zone.events, origin, 7)[0, 0]


@pytest.mark.parametrize(
    ("country", "kept"),
    [
        ("ID", [("2026-02-19", 30), ("2026-03-14", 6), ("2026-03-21", 8)]),
        ("TR", [("2026-02-18", 30), ("2026-03-13", 6), ("2026-03-20", 8)]),
        ("KZ", []),  # Eid al-Adha is a holiday there, Eid al-Fitr is not
        ("US-CA", []),
    ],
)
def test_ramadan_and_the_weeks_around_eid_are_seasons_where_eid_is_a_holiday(country: str, kept: list) -> None:
    found = [e for e in country_calendar(country, date(2026, 1, 1), date(2026, 6, 30)) if e.kind == "season"]

    assert [(str(np.datetime64(e.start_h // 24, "D")), (e.end_h - e.start_h) // 24) for e in found][: len(kept)] == kept
    assert {e.name for e in found} <= {"Ramadan", "Week before Eid al-Fitr", "Week after Eid al-Fitr"}
    assert bool(found) == bool(kept)


def test_the_first_days_of_ramadan_are_forecast_better_with_the_calendar_than_without(panel, monkeypatch) -> None:
    monkeypatch.setattr(training_rows, "MAX_ROWS", 8_000)
    origin, past = known_at(panel, "2026-02-19")
    actual = panel[(panel["hour"] >= origin) & (panel["hour"] < origin + pd.Timedelta("72h"))]["value"].to_numpy()

    def error(calendar: Events | None) -> float:
        out = train(past, tz=TZ, calendar=calendar, max_horizon=72).predict(past, origin=origin, horizon=72)
        return wape(actual, out["prediction"].to_numpy())

    with_it, without = error(INDONESIA), error(Events.of(e for e in INDONESIA.entries if e.kind != "season"))
    assert with_it < 0.75 * without


def test_what_a_season_adds_fades_as_the_profile_takes_it_up_and_turns_when_it_is_over(panel) -> None:
    first, late, after = (shift(panel, day)[[13, 18]] for day in ("2026-02-19", "2026-03-12", "2026-04-01"))

    assert first[0] > 0.3 and first[1] < -0.3
    assert 0 < late[0] < 0.75 * first[0] and 0.75 * first[1] < late[1] < 0
    assert after[0] < -0.1 and after[1] > 0.1
    assert not shift(panel, "2026-01-20").any()


def test_a_first_ramadan_is_learnt_from_the_days_of_it_that_are_past(panel) -> None:
    assert not np.abs(shift(panel, "2025-03-02")).max() > 0.05
    assert shift(panel, "2025-03-10")[13] > 0.2


def test_no_season_counts_before_it_was_known(panel) -> None:
    told = [["*", first, last, "season", "fast", "2026-02-20T00:00+07:00"] for first, last in MONTHS]
    columns = ["site_id", "start", "end", "kind", "name", "known_at"]
    events = Events.from_frame(pd.DataFrame(told, columns=columns))

    assert not shift(panel, "2026-02-19", events).any()
    assert shift(panel, "2026-02-21", events)[13] > 0.2


@pytest.mark.parametrize("day", ["2025-03-20", "2026-02-19", "2026-03-28"])
def test_a_season_is_learnt_from_nothing_after_the_origin(panel, day: str) -> None:
    origin = pd.Timestamp(day, tz=TZ)
    other_future = panel.assign(value=np.where(panel["hour"] >= origin, 1000.0, panel["value"]))

    np.testing.assert_array_equal(shift(panel, day), shift(other_future, day))
