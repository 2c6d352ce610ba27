"""The city: what is registered about it, and any of its days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd

from ingest.simulator.clock import Floats
from ingest.simulator.conditions import DayConditions, conditions_of
from ingest.simulator.config import CityConfig
from ingest.simulator.demand import RouteDemand, day_demand, route_demand
from ingest.simulator.devices import Devices, draw_devices, secret_of
from ingest.simulator.fleet import Bus, Service, allocate, duty_roster, feeder_count
from ingest.simulator.interventions import Intervention, RoutePlan
from ingest.simulator.messages import Places, bus_messages, event_frame, traffic_frame, venue_messages
from ingest.simulator.network import corridors, feeders
from ingest.simulator.noise import Purpose, stream
from ingest.simulator.operation import Visit, Visits, run_route
from ingest.simulator.roads import HOLD_S as AREA_HOLD_S
from ingest.simulator.roads import Area, AreaDay, areas, watch_areas
from ingest.simulator.sensors import read_doors
from ingest.simulator.telemetry import report
from ingest.simulator.transport import malformed_payloads
from ingest.simulator.truth import area_truth, bus_truth, route_truth, venue_truth
from ingest.simulator.venues import HOLD_S as VENUE_HOLD_S
from ingest.simulator.venues import Venue, VenueDay, run_venues, venues
from ingest.simulator.wire import event_payloads, to_json

BUS_HOLD_S = 300


@dataclass(frozen=True)
class SimulatedDay:
    """One service day: what arrives, and apart from it what was so.

    Attributes:
        service_date: the local day on which everything here happened; some of it arrives a day later.
        events: occupancy events by delivery, columns `messages.EVENT_COLUMNS`.
        traffic: traffic counts by delivery: stream_id, timestamp, location, longitude, latitude, total_in_area,
            estimated_max_people, label, type, delivered_at.
        statuses: device_id, status, fw_version, ts_device, delivered_at.
        heartbeats: device_id, battery (percent), fw_version, uptime_s, ts_device, delivered_at.
        malformed: payloads that no contract can accept: delivered_at, payload.
        truth: per site and hour, see `truth.bus_truth`.
        route_truth: per route, direction and hour, see `truth.route_truth`.
    """

    service_date: date
    events: pd.DataFrame
    traffic: pd.DataFrame
    statuses: pd.DataFrame
    heartbeats: pd.DataFrame
    malformed: pd.DataFrame
    truth: pd.DataFrame
    route_truth: pd.DataFrame

    def before(self, end_at: datetime) -> SimulatedDay:
        """Return what had arrived before an instant, and the truth of the hours that were over by then."""
        latest_hour = pd.Timestamp(end_at) - pd.Timedelta(hours=1)
        return SimulatedDay(
            service_date=self.service_date,
            events=_arrived(self.events, end_at),
            traffic=_arrived(self.traffic, end_at),
            statuses=_arrived(self.statuses, end_at),
            heartbeats=_arrived(self.heartbeats, end_at),
            malformed=_arrived(self.malformed, end_at),
            truth=self.truth[self.truth["hour"] <= latest_hour].reset_index(drop=True),
            route_truth=self.route_truth[self.route_truth["hour"] <= latest_hour].reset_index(drop=True),
        )


@dataclass(frozen=True)
class City:
    """A city that can live through any day, in any order, always the same way."""

    config: CityConfig
    buses: list[Bus]
    services: list[Service]
    demands: list[RouteDemand]
    venues: list[Venue]
    areas: list[Area]
    device_traits: Devices
    places: Places

    @classmethod
    def build(cls, config: CityConfig) -> City:
        """Lay out the network and fill it with buses, venues, road areas and their devices."""
        trunk = corridors(config.seed)
        routes = trunk + feeders(feeder_count(config.buses, trunk), config.seed, trunk)
        fleet, services = allocate(config.buses, routes, config.seed)
        all_venues = venues(config.venues, config.seed)
        return cls(
            config=config,
            buses=fleet,
            services=services,
            demands=[route_demand(service, config.seed) for service in services],
            venues=all_venues,
            areas=areas(config.areas, config.seed),
            device_traits=draw_devices(len(fleet) + len(all_venues), config.faults, config.seed),
            places=_places(fleet, services, all_venues),
        )

    def sites(self) -> list[dict[str, Any]]:
        """Return the registry's rows of all sites: buses, venues, road areas (named like their stream)."""
        lasting = {"tenant_id": self.config.tenant_id, "time_zone": self.config.time_zone}
        unplaced = {"seats": None, "standing": None, "route_id": None}
        rows: list[dict[str, Any]] = []
        for bus in self.buses:
            rows.append(
                lasting
                | {
                    "site_id": bus.site_id,
                    "name": f"Bus {bus.site_id} ({bus.kind.name})",
                    "kind": "bus",
                    "capacity": bus.kind.capacity,
                    "seats": bus.kind.seats,
                    "standing": bus.kind.capacity - bus.kind.seats,
                    "route_id": self.services[bus.home_route].route.route_id,
                    "lat": None,
                    "lon": None,
                    "hold_s": BUS_HOLD_S,
                }
            )
        for venue in self.venues:
            rows.append(
                lasting
                | unplaced
                | {"site_id": venue.site_id, "name": venue.name, "kind": "venue", "capacity": venue.capacity}
                | {"lat": venue.lat, "lon": venue.lon, "hold_s": VENUE_HOLD_S}
            )
        for area in self.areas:
            rows.append(
                lasting
                | unplaced
                | {"site_id": area.stream_id, "name": area.location, "kind": "area", "capacity": area.capacity}
                | {"lat": area.lat, "lon": area.lon, "hold_s": AREA_HOLD_S}
            )
        return rows

    def devices(self) -> list[dict[str, Any]]:
        """Return the registry's rows of all devices: tenant_id, device_id, site_id, secret."""
        return [
            {
                "tenant_id": self.config.tenant_id,
                "device_id": device_id,
                "site_id": str(site_id),
                "secret": secret_of(device_id, self.config.seed),
            }
            for device_id, site_id in zip(self.device_traits.device_ids, self.places.site_ids, strict=True)
        ]

    def routes(self) -> list[dict[str, Any]]:
        """Return the registry's rows of all routes, one per direction, `stops` in the order of travel.

        Each stop is (stop_id, name, lat, lon); `spare_buses` is what stands by for both directions together.
        """
        rows = []
        for service in self.services:
            route = service.route
            stops = list(zip(route.stop_ids, route.stop_names, route.lats.tolist(), route.lons.tolist(), strict=True))
            for direction_id in (0, 1):
                rows.append(
                    {
                        "tenant_id": self.config.tenant_id,
                        "route_id": route.route_id,
                        "route_name": route.name,
                        "direction_id": direction_id,
                        "headsign": route.headsign(direction_id),
                        "time_zone": self.config.time_zone,
                        "stops": stops if direction_id == 0 else stops[::-1],
                        "headway_peak_s": service.headway_peak_s,
                        "headway_offpeak_s": service.headway_offpeak_s,
                        "spare_buses": service.spare_buses,
                    }
                )
        return rows

    def day(self, service_date: date) -> SimulatedDay:
        """Live through one service day. It depends on nothing but the configuration and the date."""
        config, seed = self.config, self.config.seed
        conditions = conditions_of(service_date, seed, len(self.services))
        visits = self.run_buses(conditions)
        venue_day = run_venues(self.venues, conditions, seed)
        area_day = watch_areas(self.areas, conditions, seed)
        readings = read_doors(visits, self._capacity, self.device_traits, config.faults, seed, service_date)
        telemetry = report(visits, readings.restarts, self.device_traits, seed, service_date, config.time_zone)
        transport = stream(seed, Purpose.TRANSPORT, service_date)
        sent = bus_messages(visits, readings, self.places, service_date).followed_by(
            venue_messages(venue_day, self.places, config.faults, transport)
        )
        where = (service_date, config.time_zone)
        events = event_frame(sent, self.places, self.device_traits, config.faults, config.tenant_id, transport, *where)
        traffic = traffic_frame(area_day, self.areas, config.faults, transport, *where)
        return SimulatedDay(
            service_date=service_date,
            events=events,
            traffic=traffic,
            statuses=telemetry.statuses,
            heartbeats=telemetry.heartbeats,
            malformed=self._malformed(events, service_date),
            truth=self._site_truth(visits, venue_day, area_day, service_date),
            route_truth=route_truth(visits, [s.route for s in self.services], *where),
        )

    @property
    def _capacity(self) -> Floats:
        return self.places.capacity[: len(self.buses)].astype(np.float64)

    def run_buses(
        self,
        conditions: DayConditions,
        interventions: Sequence[Intervention] = (),
        routes: Sequence[int] | None = None,
    ) -> Visits:
        """Run the buses of a day, of all routes or of some, with what is done about it."""
        seed = self.config.seed
        rosters = duty_roster(self.services, conditions.is_workday, seed, conditions.service_date)
        on_duty = {bus for duty in rosters for bus in duty}
        rows: list[Visit] = []
        for index in range(len(self.services)) if routes is None else routes:
            service, duty = self.services[index], rosters[index]
            wanted = day_demand(self.demands[index], service.route, conditions, seed)
            spare = [bus for bus in service.fleet if bus not in on_duty][: service.spare_buses]
            plan = RoutePlan.of(service.route.index, interventions)
            rows += run_route(service, duty, self.buses, wanted, conditions, seed, plan, spare)
        return Visits.of(rows)

    def _malformed(self, events: pd.DataFrame, on: date) -> pd.DataFrame:
        rng = stream(self.config.seed, Purpose.MALFORMED, on)
        rows = np.sort(
            rng.choice(len(events), int(rng.binomial(len(events), self.config.faults.malformed)), replace=False)
        )
        originals = events.iloc[rows]
        texts = [to_json(payload) for payload in event_payloads(originals)]
        return pd.DataFrame(
            {
                "delivered_at": originals["delivered_at"].array,
                "payload": pd.array(malformed_payloads(texts, rng, on), dtype="str"),
            }
        )

    def _site_truth(self, visits: Visits, venue_day: VenueDay, area_day: AreaDay, on: date) -> pd.DataFrame:
        time_zone, buses = self.config.time_zone, self.places.buses
        area_ids = pd.Index([area.stream_id for area in self.areas], dtype="str")
        return pd.concat(
            [
                bus_truth(visits, self.places.site_ids[:buses], on, time_zone),
                venue_truth(venue_day, self.places.site_ids[buses:], on, time_zone),
                area_truth(area_day, area_ids, on, time_zone),
            ],
            ignore_index=True,
        )


def _arrived(frame: pd.DataFrame, end_at: datetime) -> pd.DataFrame:
    return frame[frame["delivered_at"] < end_at].reset_index(drop=True)


def _places(fleet: list[Bus], services: list[Service], all_venues: list[Venue]) -> Places:
    routes = [service.route for service in services]
    return Places(
        site_ids=pd.Index([bus.site_id for bus in fleet] + [venue.site_id for venue in all_venues], dtype="str"),
        capacity=np.array([bus.kind.capacity for bus in fleet] + [venue.capacity for venue in all_venues]),
        route_ids=tuple(route.route_id for route in routes),
        stop_ids=pd.Index([stop_id for route in routes for stop_id in route.stop_ids], dtype="str"),
        stop_lat=np.concatenate([route.lats for route in routes]),
        stop_lon=np.concatenate([route.lons for route in routes]),
        first_stop=np.concatenate([[0], np.cumsum([route.stops for route in routes])]),
        buses=len(fleet),
    )
