"""How badly the simulated devices and their network behave: as often as they are told to."""

import json
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

from ingest.simulator.city import City, SimulatedDay
from ingest.simulator.clock import day_start
from ingest.simulator.config import CityConfig, Faults
from ingest.simulator.devices import draw_devices
from ingest.simulator.noise import Purpose, stream
from ingest.simulator.operation import Visits
from ingest.simulator.sensors import Restart, read_doors
from ingest.simulator.telemetry import report
from ingest.simulator.transport import device_stamps

ON = date(2026, 10, 20)
MESSAGE = ["device_id", "seq", "ts_device"]


@pytest.fixture(scope="module")
def perfect() -> SimulatedDay:
    return City.build(CityConfig(buses=300, faults=Faults.none())).day(ON)


def day_with(**faults: object) -> SimulatedDay:
    return City.build(CityConfig(buses=300, faults=replace(Faults.none(), **faults))).day(ON)


def visits_of(loads: np.ndarray, boardings: int, alightings: int) -> Visits:
    n = len(loads)
    zeros = np.zeros(n, dtype=np.int64)
    return Visits(
        bus=zeros,
        route=zeros,
        direction=zeros,
        trip=zeros,
        stop=zeros,
        departed_s=np.arange(n) * 100.0,
        boardings=zeros + boardings,
        alightings=zeros + alightings,
        load=loads.astype(np.int64),
        denied=zeros,
        capacity=zeros + 80,
    )


def test_doors_overlook_two_to_five_percent_and_more_exits_in_a_crowd() -> None:
    faults = replace(Faults.none(), miss_in=Faults().miss_in, miss_out=Faults().miss_out)
    devices = draw_devices(1, faults, seed=3)
    missed = {}
    for name, load in (("empty", 0), ("full", 80)):
        visits = visits_of(np.full(4000, load), boardings=20, alightings=20)
        readings = read_doors(visits, np.array([80.0]), devices, faults, seed=3, on=ON)
        missed[name] = (1 - readings.in_count.sum() / 80_000, 1 - readings.out_count.sum() / 80_000)

    assert all(0.019 < rate < 0.042 for rate in (missed["empty"][0], missed["full"][0]))
    assert all(0.019 < rate < 0.056 for rate in (missed["empty"][1], missed["full"][1]))
    assert missed["full"][1] > 1.3 * missed["empty"][1]


def test_miss_rates_of_the_whole_fleet_are_in_the_known_range(perfect: SimulatedDay) -> None:
    defaults = Faults()
    day = day_with(miss_in=defaults.miss_in, miss_out=defaults.miss_out)

    seen_in = day.events["in_count"].sum() / perfect.events["in_count"].sum()
    seen_out = day.events["out_count"].sum() / perfect.events["out_count"].sum()
    assert 0.96 < seen_in < 0.98
    assert 0.95 < seen_out < 0.98


def test_the_devices_own_count_drifts_and_stops_at_zero() -> None:
    day = City.build(CityConfig()).day(ON)
    buses = day.events[day.events["route_id"].notna()].sort_values("ts_device")

    at_night = buses.groupby("site_id")["occupancy"].last()
    assert (at_night > 0).mean() > 0.3
    assert (at_night >= 5).any()
    assert buses["occupancy"].min() == 0


def test_an_outage_silences_a_device_which_comes_back_at_zero_and_says_so(perfect: SimulatedDay) -> None:
    day = day_with(outages_per_device_day=0.5)

    silent = day.statuses[day.statuses["status"] == "offline"]["device_id"]
    assert 0.35 < len(silent) / perfect.events["device_id"].nunique() < 0.65
    assert (day.statuses["status"] == "online").sum() == len(silent)
    buses = day.events[day.events["route_id"].notna()].sort_values(["device_id", "ts_device"])
    assert len(buses) < len(perfect.events)
    back = buses[(buses["seq"] == 1) & (buses["device_id"] == buses["device_id"].shift())]
    assert len(back) > 0.7 * len(silent)
    # Counting starts at zero: what it says is what it counted at this one stop.
    assert (back["occupancy"] == (back["in_count"] - back["out_count"]).clip(lower=0)).all()


def test_reboots_start_the_sequence_again(perfect: SimulatedDay) -> None:
    day = day_with(reboots_per_device_day=0.5)

    starts = (day.events[day.events["route_id"].notna()]["seq"] == 1).sum()
    devices = perfect.events[perfect.events["route_id"].notna()]["device_id"].nunique()
    assert 1.35 < starts / devices < 1.65
    assert len(day.events) == len(perfect.events)


def test_a_device_counts_its_uptime_from_its_latest_boot() -> None:
    devices = draw_devices(1, Faults.none(), seed=3)
    visits = visits_of(np.zeros(600), boardings=0, alightings=0)
    outage, reboot = Restart(0, 30_000.0, 40_000.0), Restart(0, None, 20_000.0)

    beats = report(visits, [outage, reboot], devices, 3, ON, "Asia/Jakarta").heartbeats
    at_s = (beats["ts_device"] - day_start(ON, "Asia/Jakarta")).dt.total_seconds()
    boots = (at_s - beats["uptime_s"].astype(int)).tolist()
    assert [*dict.fromkeys(boots)] == [-480.0, 20_000.0, 40_000.0]


def test_sequence_numbers_show_every_loss(perfect: SimulatedDay) -> None:
    day = day_with(drop=(0.005, 0.03))
    steps = day.events.sort_values(["device_id", "seq"]).groupby("device_id")["seq"].diff().dropna()

    lost = 1 - len(day.events) / len(perfect.events)
    assert 0.005 < lost < 0.03
    # The gaps show all losses but those before a device's first message and after its last.
    assert (steps - 1).sum() == pytest.approx(len(perfect.events) - len(day.events), rel=0.05)


def test_repeats_carry_the_same_content_later(perfect: SimulatedDay) -> None:
    day = day_with(repeat=(0.005, 0.02))
    again = day.events[day.events.duplicated(MESSAGE)]

    assert 0.005 < len(again) / len(perfect.events) < 0.02
    content = day.events.drop(columns="delivered_at").drop_duplicates()
    assert len(content) == len(perfect.events)
    first = day.events.drop_duplicates(MESSAGE).set_index(MESSAGE)["delivered_at"]
    later = again.set_index(MESSAGE)["delivered_at"]
    assert (later > first.loc[later.index]).all()
    assert (day.events["delivered_at"] > day.events["ts_device"]).all()


def test_lateness_has_the_stated_shares_and_a_bound() -> None:
    day = day_with(late_minutes=0.04, late_hours=0.01)
    late_s = (day.events["delivered_at"] - day.events["ts_device"]).dt.total_seconds()

    assert (late_s < 10).mean() == pytest.approx(0.95, abs=0.01)
    assert late_s.between(10, 3600, inclusive="left").mean() == pytest.approx(0.04, abs=0.008)
    assert (late_s >= 3600).mean() == pytest.approx(0.01, abs=0.004)
    assert late_s.max() <= 20 * 3600 + 1
    in_order = day.events.groupby("device_id")["seq"].diff().dropna()
    assert (in_order < 0).mean() > 0.01


def test_clocks_are_a_little_off_and_one_in_a_hundred_badly() -> None:
    faults = Faults()
    devices = draw_devices(20_000, faults, seed=5)
    device = np.arange(20_000)
    sent = np.full(20_000, 40_000.0)
    skew = device_stamps(sent, device, devices, faults, stream(5, Purpose.TRANSPORT, ON)) - sent

    badly = np.abs(skew) > 60
    assert badly.mean() == pytest.approx(0.01, abs=0.003)
    assert np.abs(skew[badly]).max() > 3600
    assert skew[~badly].std() == pytest.approx(2.0, abs=0.15)


def test_malformed_payloads_are_few_and_no_event_can_be_read_from_them() -> None:
    day = day_with(malformed=0.01)

    assert len(day.malformed) / len(day.events) == pytest.approx(0.01, abs=0.003)
    for text in day.malformed["payload"]:
        try:
            payload = json.loads(text)
        except json.JSONDecodeError:
            continue
        whole = isinstance(payload.get("device_id"), str) and "ts_device" in payload
        assert not (whole and isinstance(payload.get("in_count", 0), int) and isinstance(payload["occupancy"], int))


def test_some_devices_name_their_events_and_the_names_are_unique() -> None:
    events = City.build(CityConfig()).day(ON).events
    named = events.groupby("device_id")["event_id"].agg(["count", "size"])

    assert set((named["count"] / named["size"]).unique()) == {0.0, 1.0}
    assert 0.03 < events["event_id"].notna().mean() < 0.3
    first = events[events["event_id"].notna()].drop_duplicates(MESSAGE)
    assert first["event_id"].is_unique


def test_without_faults_every_message_comes_once_and_at_once(perfect: SimulatedDay) -> None:
    late_s = (perfect.events["delivered_at"] - perfect.events["ts_device"]).dt.total_seconds()

    assert late_s.between(0, 60).all()
    assert not perfect.events.duplicated(MESSAGE).any()
    assert perfect.statuses.empty and perfect.malformed.empty
    assert isinstance(perfect.events["ts_device"].dtype, pd.DatetimeTZDtype)
