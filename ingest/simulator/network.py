"""The route network: 14 BRT corridors laid over Jakarta, and feeder routes when the fleet is large.

Terminals are where TransJakarta's are, roughly; the stations between them and all feeder routes are invented.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ingest.simulator.clock import Floats
from ingest.simulator.noise import Purpose, stream

CENTRE = (-6.2000, 106.8230)
KM_PER_DEGREE = 110.6
FEEDER_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

Place = tuple[str, float, float]

BLOK_M: Place = ("Blok M", -6.2437, 106.8008)
KOTA: Place = ("Kota", -6.1376, 106.8140)
HARMONI: Place = ("Harmoni", -6.1657, 106.8203)
BUNDARAN: Place = ("Bundaran HI", -6.1930, 106.8230)
MONAS: Place = ("Monas", -6.1760, 106.8228)
SENEN: Place = ("Senen", -6.1745, 106.8410)
GROGOL: Place = ("Grogol", -6.1665, 106.7880)
GALUNGGUNG: Place = ("Galunggung", -6.2020, 106.8290)
KAMPUNG_MELAYU: Place = ("Kampung Melayu", -6.2245, 106.8670)
CAWANG: Place = ("Cawang", -6.2460, 106.8720)
PULO_GADUNG: Place = ("Pulo Gadung", -6.1830, 106.9085)
TANJUNG_PRIOK: Place = ("Tanjung Priok", -6.1100, 106.8820)


@dataclass(frozen=True)
class Corridor:
    """One BRT corridor as drawn: its places in direction 0, length, stations and how full it gets.

    `peak_load_factor` is the mean load over capacity at the busiest point of a normal weekday's peak.
    """

    number: int
    places: tuple[Place, ...]
    length_km: float
    stations: int
    peak_load_factor: float
    bus_kinds: tuple[str, ...]


LARGE, MIXED, SMALL = ("articulated", "maxi"), ("maxi", "single"), ("single", "single", "low-floor")

CORRIDORS = (
    Corridor(1, (BLOK_M, BUNDARAN, HARMONI, KOTA), 15.5, 20, 0.96, LARGE),
    Corridor(2, (PULO_GADUNG, SENEN, MONAS), 14.0, 17, 0.68, MIXED),
    Corridor(3, (("Kalideres", -6.1547, 106.7056), GROGOL, MONAS), 17.0, 17, 0.74, MIXED),
    Corridor(4, (PULO_GADUNG, ("Matraman", -6.2000, 106.8560), GALUNGGUNG), 12.0, 15, 0.58, MIXED),
    Corridor(5, (KAMPUNG_MELAYU, SENEN, ("Ancol", -6.1275, 106.8300)), 13.5, 16, 0.62, MIXED),
    Corridor(6, (("Ragunan", -6.3060, 106.8200), ("Kuningan", -6.2270, 106.8330), GALUNGGUNG), 14.0, 17, 0.76, MIXED),
    Corridor(7, (("Kampung Rambutan", -6.3100, 106.8820), CAWANG, KAMPUNG_MELAYU), 12.8, 14, 0.66, MIXED),
    Corridor(
        8,
        (
            ("Lebak Bulus", -6.2890, 106.7740),
            ("Permata Hijau", -6.2220, 106.7830),
            GROGOL,
            ("Pasar Baru", -6.1660, 106.8340),
        ),
        24.0,
        23,
        0.70,
        MIXED,
    ),
    Corridor(
        9,
        (
            ("Pinang Ranti", -6.2910, 106.8860),
            CAWANG,
            ("Semanggi", -6.2210, 106.8140),
            GROGOL,
            ("Pluit", -6.1170, 106.7910),
        ),
        27.0,
        26,
        0.97,
        LARGE,
    ),
    Corridor(
        10, (("Cililitan", -6.2620, 106.8660), ("Cempaka", -6.1730, 106.8750), TANJUNG_PRIOK), 19.0, 20, 0.64, MIXED
    ),
    Corridor(11, (("Pulo Gebang", -6.2120, 106.9530), KAMPUNG_MELAYU), 13.0, 16, 0.52, SMALL),
    Corridor(
        12,
        (
            ("Penjaringan", -6.1250, 106.7920),
            ("Mangga Dua", -6.1330, 106.8300),
            ("Sunter", -6.1400, 106.8700),
            TANJUNG_PRIOK,
        ),
        18.5,
        20,
        0.48,
        SMALL,
    ),
    Corridor(
        13,
        (("Ciledug", -6.2330, 106.7160), ("Kebayoran", -6.2390, 106.7830), ("Tegal Mampang", -6.2400, 106.8270)),
        14.0,
        13,
        0.98,
        MIXED,
    ),
    Corridor(14, (("Stadion Utara", -6.1240, 106.8590), SENEN), 9.5, 10, 0.45, SMALL),
)

_FIRST = (
    "Taman",
    "Pasar",
    "Simpang",
    "Kebon",
    "Rawa",
    "Jembatan",
    "Gerbang",
    "Bukit",
    "Lapangan",
    "Dermaga",
    "Pondok",
    "Muara",
)
_SECOND = (
    "Melati", "Kenanga", "Cempaka", "Flamboyan", "Anggrek", "Teratai", "Beringin", "Jati", "Mahoni", "Rambutan",
    "Durian", "Salak", "Merpati", "Kutilang", "Rajawali", "Garuda", "Bahari", "Samudra", "Nusantara", "Pelita",
    "Cahaya", "Sentosa", "Damai", "Makmur",
)  # fmt: skip


@dataclass(frozen=True)
class Route:
    """One route with its stops in the order of direction 0; direction 1 runs the same stops backwards.

    Attributes:
        lats: shape (stops,), degrees.
        lons: shape (stops,), degrees.
        leg_km: shape (stops - 1,), distance between neighbours along the road.
    """

    index: int
    route_id: str
    name: str
    stop_ids: tuple[str, ...]
    stop_names: tuple[str, ...]
    lats: Floats
    lons: Floats
    leg_km: Floats
    peak_load_factor: float
    bus_kinds: tuple[str, ...]
    is_corridor: bool

    @property
    def stops(self) -> int:
        """Number of stops of one direction."""
        return len(self.stop_ids)

    def headsign(self, direction_id: int) -> str:
        """Return the name of the terminal that a direction runs to."""
        return self.stop_names[-1] if direction_id == 0 else self.stop_names[0]


def distance_km(lats: Floats, lons: Floats, place: tuple[float, float]) -> Floats:
    """Return the distance of points, shape (n,), from one place; flat earth, good to metres within a city."""
    east = (lons - place[1]) * np.cos(np.radians(place[0]))
    return np.asarray(np.hypot(lats - place[0], east) * KM_PER_DEGREE)


def corridors(seed: int) -> list[Route]:
    """Return the 14 corridors, the same for every seed but for the invented names of their stations."""
    rng = stream(seed, Purpose.STATIONS)
    names = [f"{first} {second}" for first in _FIRST for second in _SECOND]
    rng.shuffle(names)
    return [_corridor_route(corridor, names) for corridor in CORRIDORS]


def feeders(count: int, seed: int, trunk: list[Route]) -> list[Route]:
    """Return `count` feeder routes, each from a corridor station outwards; `trunk` are the corridors.

    They take the letters behind a corridor's number (1A, 2A, …), at most 26 for each corridor.
    """
    routes = []
    for number in range(count):
        parent = trunk[number % len(trunk)]
        letter = FEEDER_LETTERS[number // len(trunk)]
        routes.append(_feeder_route(len(trunk) + number, parent, letter, stream(seed, Purpose.NETWORK, index=number)))
    return routes


def _corridor_route(corridor: Corridor, names: list[str]) -> Route:
    places = corridor.places
    lats, lons = np.array([p[1] for p in places]), np.array([p[2] for p in places])
    along = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(lats), np.diff(lons)))])
    # Uneven spacing, as where streets and not rulers place the stations; never so uneven that two swap.
    spots = (np.arange(corridor.stations) + 0.25 * np.sin(np.arange(corridor.stations) * 2.4)) / (corridor.stations - 1)
    spots[0], spots[-1] = 0.0, 1.0
    positions = spots * along[-1]
    stop_names = [names.pop() for _ in range(corridor.stations)]
    for place, at in zip(places, along, strict=True):
        stop_names[int(np.argmin(np.abs(positions - at)))] = place[0]
    route_id = str(corridor.number)
    return Route(
        index=corridor.number - 1,
        route_id=route_id,
        name=f"{places[0][0]} – {places[-1][0]}",
        stop_ids=tuple(f"{corridor.number:02d}-{n + 1:02d}" for n in range(corridor.stations)),
        stop_names=tuple(stop_names),
        lats=np.interp(positions, along, lats).round(6),
        lons=np.interp(positions, along, lons).round(6),
        leg_km=np.diff(spots) * corridor.length_km,
        peak_load_factor=corridor.peak_load_factor,
        bus_kinds=corridor.bus_kinds,
        is_corridor=True,
    )


def _feeder_route(index: int, parent: Route, letter: str, rng: np.random.Generator) -> Route:
    stops = int(rng.integers(12, 20))
    start = int(rng.integers(0, parent.stops))
    spacing_km = rng.uniform(0.6, 1.0, stops - 1)
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.25, stops - 1))
    # Drawn from the station outwards and then turned round, so that direction 0 leads to the corridor.
    lats = parent.lats[start] + np.concatenate([[0.0], np.cumsum(spacing_km * np.sin(heading))]) / KM_PER_DEGREE
    lons = parent.lons[start] + np.concatenate([[0.0], np.cumsum(spacing_km * np.cos(heading))]) / KM_PER_DEGREE
    names = [f"{rng.choice(_FIRST)} {rng.choice(_SECOND)}" for _ in range(stops - 1)]
    names.append(parent.stop_names[start])
    route_id = f"{parent.route_id}{letter}"
    return Route(
        index=index,
        route_id=route_id,
        name=f"{names[0]} – {names[-1]}",
        stop_ids=tuple(f"{route_id}-{n + 1:02d}" for n in range(stops)),
        stop_names=tuple(names),
        lats=lats[::-1].round(6),
        lons=lons[::-1].round(6),
        leg_km=spacing_km[::-1] * 1.15,
        peak_load_factor=float(rng.uniform(0.4, 0.8)),
        bus_kinds=SMALL,
        is_corridor=False,
    )
