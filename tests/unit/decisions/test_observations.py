"""How single readings become the load of a site, an area, or a route and direction."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from forecasting.hotspots.model import Entity
from forecasting.hotspots.observations import Reading, observe
from forecasting.hotspots.policy import HotspotPolicy

NOW = datetime(2026, 3, 2, 7, 30, tzinfo=UTC)
ROUTE = Entity("route", "1", 0)


def bus(site_id: str, occupancy: int, stop: int | None = None, age_s: int = 30, capacity: int = 80) -> Reading:
    return Reading(
        site_id=site_id, name=site_id, occupancy=occupancy, capacity=capacity,
        seen_at=NOW - timedelta(seconds=age_s), hold_s=300, route_id="1", direction_id=0,
        stop_sequence=stop, stop_name=f"stop {stop}", stops=12,
    )  # fmt: skip


def venue(occupancy: int, age_s: int = 30) -> Reading:
    return Reading("gym", "The Gym", occupancy, 100, NOW - timedelta(seconds=age_s), hold_s=1800)


def test_a_venue_is_known_while_its_reading_holds_and_then_unknown_not_empty() -> None:
    gym = Entity("site", "gym")
    assert observe([venue(95, age_s=1800)], NOW, HotspotPolicy())[gym].load_factor == 0.95
    assert observe([venue(95, age_s=1801)], NOW, HotspotPolicy())[gym].load_factor is None


def test_people_above_the_threshold_are_counted() -> None:
    assert observe([venue(97)], NOW, HotspotPolicy())[Entity("site", "gym")].excess_passengers == pytest.approx(7)


def test_a_route_is_as_full_as_its_busiest_stretch() -> None:
    vehicles = [bus("A", 76, stop=2), bus("B", 80, stop=4), bus("C", 8, stop=7), bus("D", 4, stop=12)]
    seen = observe(vehicles, NOW, HotspotPolicy())[ROUTE]
    assert seen.load_factor == 0.975  # A and B are on the first third: 156 of 160
    assert seen.evidence["mean_load_factor"] == 0.525
    assert seen.evidence["busiest_stretch"]["from_stop"] == "stop 2"
    assert seen.excess_passengers == 4 + 8


def test_a_route_without_stops_is_as_full_as_all_its_vehicles() -> None:
    assert observe([bus("A", 80), bus("B", 40, stop=3)], NOW, HotspotPolicy())[ROUTE].load_factor == 0.75


def test_a_full_bus_that_fell_silent_keeps_the_route_from_clearing() -> None:
    seen = observe([bus("A", 80, stop=2, age_s=900), bus("B", 8, stop=10)], NOW, HotspotPolicy())[ROUTE]
    assert (seen.load_factor, seen.clearing_load_factor) == (0.1, 1.0)
    assert seen.evidence["silent_vehicles"] == 1


def test_a_route_whose_vehicles_are_all_silent_is_unknown() -> None:
    assert observe([bus("A", 80, stop=2, age_s=301)], NOW, HotspotPolicy())[ROUTE].load_factor is None
