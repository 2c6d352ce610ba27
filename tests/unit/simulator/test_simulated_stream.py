"""History and what comes next are one stream."""

import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import takewhile

import pandas as pd
import pytest

from ingest.simulator.city import City, SimulatedDay
from ingest.simulator.config import CityConfig, Faults
from ingest.simulator.live import STREAMS, iter_history, upcoming
from ingest.simulator.wire import device_payloads, event_payloads, traffic_payloads

START = date(2026, 10, 18)
NOW = datetime(2026, 10, 20, 3, 30, tzinfo=UTC)  # 10:30 in Jakarta
LATER = datetime(2026, 10, 21, 2, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def city() -> City:
    faults = Faults(outages_per_device_day=0.4, late_hours=0.05)
    return City.build(CityConfig(buses=28, venues=2, areas=2, faults=faults))


@pytest.fixture(scope="module")
def next_day(city: City) -> list[tuple[datetime, str, dict[str, object]]]:
    return list(takewhile(lambda delivery: delivery[0] < LATER, upcoming(city, NOW)))


def messages(day: SimulatedDay) -> Counter[tuple[datetime, str, str]]:
    found: Counter[tuple[datetime, str, str]] = Counter()
    tables = (day.events, day.traffic, day.statuses, day.heartbeats)
    for stream, table in zip(STREAMS, tables, strict=True):
        if stream == "traffic.counts":
            payloads = traffic_payloads(table, "Asia/Jakarta")
        else:
            payloads = event_payloads(table) if stream == "occupancy.events" else device_payloads(table)
        for at, payload in zip(table["delivered_at"], payloads, strict=True):
            found[at.to_pydatetime(), stream, json.dumps(payload)] += 1
    return found


def test_history_and_upcoming_are_one_stream_without_loss_or_repeat(
    city: City, next_day: list[tuple[datetime, str, dict[str, object]]]
) -> None:
    past: Counter[tuple[datetime, str, str]] = Counter()
    for day in iter_history(city, START, NOW):
        past += messages(day)
    everything: Counter[tuple[datetime, str, str]] = Counter()
    for n in range(4):
        everything += messages(city.day(START + timedelta(days=n)))

    future = Counter((at, stream, json.dumps(payload)) for at, stream, payload in next_day)
    assert all(at < NOW for at, _, _ in past)
    assert past + future == Counter({key: n for key, n in everything.items() if key[0] < LATER})
    assert {stream for _, stream, _ in future} == set(STREAMS)


def test_upcoming_arrives_in_order_across_the_border_of_days(
    next_day: list[tuple[datetime, str, dict[str, object]]],
) -> None:
    times = [at for at, _, _ in next_day]

    assert times[0] >= NOW
    assert times == sorted(times)
    assert all(at.utcoffset() == timedelta(0) for at in times)
    midnight = datetime(2026, 10, 20, 17, 0, tzinfo=UTC)
    assert any(at < midnight for at in times) and any(at > midnight for at in times)


def test_a_message_arriving_at_the_very_instant_belongs_to_what_comes(city: City) -> None:
    at = city.day(date(2026, 10, 20)).events["delivered_at"].iloc[700].to_pydatetime()

    past = [day.events["delivered_at"].max() for day in iter_history(city, date(2026, 10, 20), at)]
    assert max(past) < at
    assert next(upcoming(city, at))[0] == at


def test_upcoming_brings_what_was_late_from_before(city: City) -> None:
    now = datetime(2026, 10, 19, 17, 0, tzinfo=UTC)  # midnight in Jakarta
    day_before = city.day(date(2026, 10, 19)).events
    late = day_before[day_before["delivered_at"] >= now]
    payload = event_payloads(late.iloc[[0]])[0]

    first = takewhile(lambda delivery: delivery[0] <= late["delivered_at"].iloc[0], upcoming(city, now))
    assert payload in [found for _, _, found in first]


def test_buses_speak_the_legacy_form_and_venues_the_canonical_one(
    next_day: list[tuple[datetime, str, dict[str, object]]],
) -> None:
    events = [payload for _, stream, payload in next_day if stream == "occupancy.events"]
    bus = next(payload for payload in events if "bus_id" in payload)
    venue = next(payload for payload in events if "bus_id" not in payload)

    legacy = {
        "bus_id",
        "bus_code",
        "door_id",
        "in_count",
        "out_count",
        "occupancy",
        "ts_device",
        "device_id",
        "fw_version",
    }
    newer = {"seq", "route_id", "direction_id", "trip_id", "stop_id", "lat", "lon", "capacity"}
    assert legacy | newer <= set(bus) <= legacy | newer | {"event_id", "count_mode", "quality"}
    assert bus["bus_code"] == "TJ"
    assert datetime.strptime(str(bus["ts_device"]), "%Y-%m-%dT%H:%M:%SZ")
    assert {"site_id", "device_id", "occupancy", "ts_device"} <= set(venue)
    assert not {"in_count", "out_count", "route_id", "lat", "tenant_id", "delivered_at"} & set(venue)
    assert all(None not in payload.values() for payload in events)


def test_traffic_carries_local_time_with_its_offset(
    next_day: list[tuple[datetime, str, dict[str, object]]],
) -> None:
    payload = next(payload for _, stream, payload in next_day if stream == "traffic.counts")

    assert str(payload["timestamp"]).endswith("+0700")
    at = datetime.strptime(str(payload["timestamp"]), "%Y-%m-%dT%H:%M:%S%z")
    assert at.astimezone(UTC).minute % 5 == 0
    assert isinstance(payload["total_in_area"], int)
    assert payload["label"] in {"light", "moderate", "heavy"}


def test_history_is_cut_at_the_moment_asked_for(city: City) -> None:
    days = list(iter_history(city, START, NOW))

    assert [day.service_date for day in days] == [START, date(2026, 10, 19), date(2026, 10, 20)]
    today = days[-1]
    assert today.events["delivered_at"].max() < NOW
    assert today.truth["hour"].max() == pd.Timestamp("2026-10-20T02:00Z")
    assert today.route_truth["hour"].max() == pd.Timestamp("2026-10-20T02:00Z")


def test_an_instant_without_a_time_zone_is_refused(city: City) -> None:
    with pytest.raises(ValueError, match="needs an instant with a time zone"):
        next(upcoming(city, datetime(2026, 10, 20, 3, 30)))


def test_the_city_lives_in_its_own_time_zone() -> None:
    london = City.build(CityConfig(buses=28, venues=0, areas=0, time_zone="Europe/London"))

    for on in (date(2026, 10, 24), date(2026, 10, 25), date(2026, 10, 26)):  # the clocks go back on the 25th
        events = london.day(on).events
        first = events["delivered_at"].min().tz_convert("Europe/London")
        assert (first.date(), first.hour) == (on, 5)
