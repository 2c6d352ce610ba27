"""What is believable about the simulated city: its registry, its demand and its truth."""

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

from ingest.simulator.city import City, SimulatedDay
from ingest.simulator.conditions import conditions_of
from ingest.simulator.config import CityConfig, Faults
from ingest.simulator.messages import EVENT_COLUMNS
from plimsoll.errors import PlimsollError

TUESDAY = date(2026, 10, 20)
SUNDAY = date(2026, 10, 25)
TRUE_COLUMNS = {"load", "mean_load", "max_load", "boardings", "alightings", "denied"}


@pytest.fixture(scope="module")
def city() -> City:
    return City.build(CityConfig())


@pytest.fixture(scope="module")
def tuesday(city: City) -> SimulatedDay:
    return city.day(TUESDAY)


@pytest.fixture(scope="module")
def perfect() -> SimulatedDay:
    return City.build(CityConfig(faults=Faults.none())).day(TUESDAY)


def bus_truth(city: City, day: SimulatedDay) -> pd.DataFrame:
    return day.truth[day.truth["site_id"].isin([bus.site_id for bus in city.buses])]


def as_bytes(day: SimulatedDay) -> list[str]:
    tables = (day.events, day.traffic, day.statuses, day.heartbeats, day.malformed, day.truth, day.route_truth)
    return [table.to_csv() for table in tables]


def test_a_day_is_the_same_bytes_whatever_was_asked_before(city: City, tuesday: SimulatedDay) -> None:
    other = City.build(CityConfig())
    other.day(date(2026, 10, 22))

    assert as_bytes(other.day(TUESDAY)) == as_bytes(tuesday)


def test_another_seed_is_another_city(tuesday: SimulatedDay) -> None:
    other = City.build(CityConfig(seed=8)).day(TUESDAY)

    assert other.events["in_count"].sum() != tuesday.events["in_count"].sum()
    assert set(other.events["device_id"]) != set(tuesday.events["device_id"])


def test_eight_weeks_of_the_default_city_are_about_a_million_events(city: City) -> None:
    week = sum(len(city.day(date(2026, 10, 19 + n)).events) for n in range(7))

    assert 1_000_000 < 8 * week < 1_250_000


def test_events_follow_the_size_of_the_fleet(tuesday: SimulatedDay) -> None:
    large = City.build(CityConfig(buses=900))
    events = large.day(TUESDAY).events

    assert len(large.buses) == 900
    assert 8 < len(events) / len(tuesday.events) < 14
    feeders = {row["route_id"] for row in large.routes()} - {str(n) for n in range(1, 15)}
    assert feeders == set(events["route_id"].dropna()) - {str(n) for n in range(1, 15)} != set()


def test_event_table_has_exactly_the_columns_of_the_contract(tuesday: SimulatedDay) -> None:
    assert tuple(tuesday.events.columns) == EVENT_COLUMNS
    assert tuesday.events["delivered_at"].is_monotonic_increasing
    for name in ("door_id", "in_count", "out_count", "occupancy", "capacity", "seq", "direction_id"):
        assert tuesday.events[name].dtype == "Int64"
    for name in ("ts_device", "delivered_at"):
        assert str(tuesday.events[name].dt.tz) == "UTC"


def test_truth_is_kept_apart_from_what_devices_say(city: City, tuesday: SimulatedDay) -> None:
    assert not TRUE_COLUMNS & set(tuesday.events.columns)
    sent = tuesday.events.drop_duplicates(["device_id", "seq", "ts_device"])
    counted = sent["in_count"].sum()
    truly = bus_truth(city, tuesday)["boardings"].sum()
    assert counted < truly * 0.99


def test_everybody_who_boards_alights_and_no_bus_is_over_its_capacity(city: City, tuesday: SimulatedDay) -> None:
    truth = bus_truth(city, tuesday)
    totals = truth.groupby("site_id")[["boardings", "alightings"]].sum()
    capacity = truth["site_id"].map({bus.site_id: bus.kind.capacity for bus in city.buses})

    assert (totals["boardings"] == totals["alightings"]).all()
    assert (truth["max_load"] <= capacity).all()
    assert (truth["mean_load"] <= truth["max_load"]).all()
    assert truth["in_service_s"].le(3600.0 + 1e-6).all()


def test_route_truth_and_site_truth_tell_the_same_story(city: City, tuesday: SimulatedDay) -> None:
    sites, routes = bus_truth(city, tuesday), tuesday.route_truth

    assert routes["boardings"].sum() == sites["boardings"].sum()
    assert routes["denied"].sum() == sites["denied"].sum() > 0
    assert routes["mean_load_factor"].between(0, 1).all()
    assert not routes.duplicated(["route_id", "direction_id", "hour"]).any()
    assert not tuesday.truth.duplicated(["site_id", "hour"]).any()


def test_perfect_devices_add_up_to_the_truth(city: City, perfect: SimulatedDay) -> None:
    truth = bus_truth(city, perfect).set_index(["site_id", "hour"]).sort_index()
    events = perfect.events[perfect.events["route_id"].notna()].sort_values(["site_id", "ts_device"])
    events = events.assign(hour=events["ts_device"].dt.floor("h"))
    counted = events.groupby(["site_id", "hour"])[["in_count", "out_count"]].sum()

    # Stamps are whole seconds: a visit in the last fraction of an hour may be counted in the hour before or after.
    assert list(counted.index) == list(truth.index)
    apart = truth[["boardings", "alightings"]].to_numpy(dtype=int) - counted.to_numpy(dtype=int)
    assert np.abs(apart).sum() < 0.002 * truth["boardings"].sum()
    assert events.groupby("site_id")["occupancy"].last().eq(0).all()


def test_hourly_mean_of_the_truth_is_what_perfect_events_give_by_the_second(city: City, perfect: SimulatedDay) -> None:
    truth = bus_truth(city, perfect).set_index(["site_id", "hour"])["mean_load"]
    busiest = bus_truth(city, perfect).groupby("site_id")["boardings"].sum().astype(int).idxmax()
    events = perfect.events[perfect.events["site_id"] == busiest].sort_values("ts_device")
    loads = events.drop_duplicates("ts_device", keep="last").set_index("ts_device")["occupancy"].astype(float)
    by_second = loads.resample("1s").ffill()
    means = by_second.groupby(by_second.index.floor("h")).mean()

    noon = pd.Timestamp("2026-10-20T01:00Z")  # 08:00 in Jakarta: a full hour in service
    assert means[noon] == pytest.approx(truth[(busiest, noon)], abs=0.2)


def test_buses_are_empty_at_their_terminals(city: City, perfect: SimulatedDay) -> None:
    last_stop = {(row["route_id"], row["direction_id"]): row["stops"][-1][0] for row in city.routes()}
    events = perfect.events[perfect.events["route_id"].notna()]
    keys = zip(events["route_id"], events["direction_id"].astype(int), strict=True)
    at_the_end = events["stop_id"].to_numpy() == np.array([last_stop[key] for key in keys])

    assert at_the_end.sum() > 500
    assert (events.loc[at_the_end, "occupancy"] == 0).all()


def test_peaks_have_a_direction_and_busy_corridors_get_crowded(city: City) -> None:
    days = [city.day(date(2026, 10, 19 + n)) for n in range(5)]
    routes = pd.concat([day.route_truth for day in days])
    routes["local_hour"] = routes["hour"].dt.tz_convert("Asia/Jakarta").dt.hour
    by = routes.groupby(["route_id", "direction_id", "local_hour"])["mean_load_factor"].mean()
    assert by["13", 0, 7] > 1.8 * by["13", 1, 7]
    assert by["13", 1, 17] > 1.8 * by["13", 0, 17]
    assert by["13", 0, 7] > 2 * by["13", 0, 12]

    crowded = routes.groupby("route_id")["crowded_passenger_minutes"].sum()
    assert crowded[["1", "9", "13"]].min() > crowded.drop(["1", "9", "13"]).max()
    truth = pd.concat([bus_truth(city, day) for day in days])
    capacity = {bus.site_id: bus.kind.capacity for bus in city.buses}
    assert (truth["max_load"] / truth["site_id"].map(capacity) > 0.9).mean() > 0.02


def test_sundays_are_quieter_than_workdays_but_the_mall_is_not(city: City, tuesday: SimulatedDay) -> None:
    sunday = city.day(SUNDAY)

    assert bus_truth(city, sunday)["boardings"].sum() < 0.85 * bus_truth(city, tuesday)["boardings"].sum()

    def peak(day: SimulatedDay, site_id: str) -> int:
        return int(day.truth.loc[day.truth["site_id"] == site_id, "max_load"].max())

    assert peak(sunday, "mall-grand") > 1.3 * peak(tuesday, "mall-grand")
    assert peak(sunday, "gym-sudirman") < 0.9 * peak(tuesday, "gym-sudirman")


def test_last_week_tells_something_about_this_week(city: City) -> None:
    hours = []
    for week in (0, 7):
        days = [city.day(date(2026, 10, 12 + week + n)).route_truth for n in range(3)]
        frame = pd.concat(days)
        frame["hour"] = frame["hour"] - pd.Timedelta(days=week)
        hours.append(frame.set_index(["route_id", "direction_id", "hour"])["boardings"])
    both = pd.concat(hours, axis=1, keys=["last", "this"]).fillna(0)

    wape = (both["last"] - both["this"]).abs().sum() / both["this"].sum()
    assert 0.08 < wape < 0.4


def test_corridors_run_round_the_clock_and_thinly_at_night(city: City, perfect: SimulatedDay) -> None:
    buses = perfect.events[perfect.events["route_id"].notna()]
    quarters = buses["ts_device"].dt.tz_convert("Asia/Jakarta").dt.floor("15min")

    # A service day begins at five and ends before the next one does.
    expected = pd.date_range("2026-10-20 05:00", "2026-10-21 04:45", freq="15min", tz="Asia/Jakarta")
    assert sorted(set(quarters)) == list(expected)
    at_night = quarters >= pd.Timestamp("2026-10-20 23:00", tz="Asia/Jakarta")
    night = buses[at_night & (quarters < pd.Timestamp("2026-10-21 03:00", tz="Asia/Jakarta"))]
    assert night["site_id"].nunique() < 0.4 * buses["site_id"].nunique()
    assert set(night["route_id"]) == {service.route.route_id for service in city.services}
    capacity = night["site_id"].map({bus.site_id: bus.kind.capacity for bus in city.buses})
    assert 0.03 < (night["occupancy"] / capacity).mean() < 0.15


def test_no_hour_of_a_bus_or_route_belongs_to_two_service_days(city: City, tuesday: SimulatedDay) -> None:
    following = city.day(date(2026, 10, 21))
    for keys, both in (
        (["site_id", "hour"], [tuesday.truth, following.truth]),
        (["route_id", "direction_id", "hour"], [tuesday.route_truth, following.route_truth]),
    ):
        assert not pd.concat(both).duplicated(keys).any()


def test_the_last_bus_of_a_feeder_leaves_before_ten() -> None:
    large = City.build(CityConfig(buses=450))
    conditions = conditions_of(TUESDAY, large.config.seed, len(large.services))
    feeder = next(service.route.index for service in large.services if not service.route.is_corridor)
    visits = large.run_buses(conditions, routes=[feeder])

    assert 21 * 3600 < visits.departed_s[visits.stop == 0].max() < 22 * 3600


def test_roads_are_watched_from_midnight_on(tuesday: SimulatedDay) -> None:
    assert tuesday.traffic["timestamp"].min() == pd.Timestamp("2026-10-19T17:00Z")


def test_a_public_holiday_runs_like_a_sunday(city: City) -> None:
    independence_day, monday_before = city.day(date(2026, 8, 17)), city.day(date(2026, 8, 10))

    assert len(independence_day.events) < 0.9 * len(monday_before.events)
    assert independence_day.truth["boardings"].sum() < 0.8 * monday_before.truth["boardings"].sum()


def test_registry_rows_fit_together(city: City, tuesday: SimulatedDay) -> None:
    sites, devices, routes = city.sites(), city.devices(), city.routes()
    site_ids = [row["site_id"] for row in sites]
    assert len(set(site_ids)) == 90 + 6 + 8
    assert {row["kind"] for row in sites} == {"bus", "venue", "area"}
    assert all(set(row) == set(sites[0]) for row in sites)
    assert {(row["kind"], row["hold_s"]) for row in sites} == {("bus", 300), ("venue", 1200), ("area", 600)}
    assert all(row["seats"] + row["standing"] == row["capacity"] for row in sites if row["kind"] == "bus")
    assert {row["site_id"] for row in devices} <= set(site_ids)
    assert len({row["device_id"] for row in devices}) == len({row["secret"] for row in devices}) == 96
    assert set(tuesday.traffic["stream_id"]) == {row["site_id"] for row in sites if row["kind"] == "area"}

    device_of = {row["device_id"]: row["site_id"] for row in devices}
    assert (tuesday.events["device_id"].map(device_of) == tuesday.events["site_id"]).all()
    assert len(routes) == 28
    assert routes[0]["stops"] == routes[1]["stops"][::-1]
    assert routes[0]["headsign"] == routes[0]["stops"][-1][1]
    assert all(row["headway_peak_s"] >= 300 and row["headway_offpeak_s"] >= 600 for row in routes)
    stop_ids = {stop[0] for row in routes for stop in row["stops"]}
    assert len(stop_ids) == 244
    assert set(tuesday.events["stop_id"].dropna()) == stop_ids


def test_a_bus_does_not_always_run_on_its_home_route(city: City, tuesday: SimulatedDay) -> None:
    home = {row["site_id"]: row["route_id"] for row in city.sites() if row["kind"] == "bus"}
    weeks = pd.concat([city.day(date(2026, 10, 12 + n)).events for n in range(5)])
    buses = weeks[weeks["route_id"].notna()]

    lent = (buses["site_id"].map(home) != buses["route_id"]).mean()
    assert 0 < lent < 0.08


@pytest.mark.parametrize(("change", "says"), [({"buses": 27}, "at least 28 buses"), ({"venues": -1}, "negative")])
def test_an_impossible_city_says_why(change: dict[str, int], says: str) -> None:
    with pytest.raises(PlimsollError, match=says):
        replace(CityConfig(), **change)


def test_a_city_without_venues_and_areas_has_only_buses() -> None:
    day = City.build(CityConfig(buses=28, venues=0, areas=0)).day(TUESDAY)

    assert day.traffic.empty
    assert day.events["route_id"].notna().all()
    assert day.truth["boardings"].notna().all()
