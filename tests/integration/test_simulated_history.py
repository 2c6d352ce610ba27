"""The simulated city's history in bulk: all that arrived, whenever it was sent and wherever a load was broken off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from ingest.bulk import BulkLoad
from ingest.lander.landing import Message
from ingest.simulator import feed, transport
from ingest.simulator.city import City
from ingest.simulator.clock import HOUR_S, Floats
from ingest.simulator.config import CityConfig
from ingest.simulator.transport import LONGEST_DELAY_S
from plimsoll.contracts import load_contracts
from plimsoll.settings import PROJECT_DIR

pytestmark = pytest.mark.integration
ON = date(2026, 10, 20)
START = datetime(2026, 10, 20, 13, 30, tzinfo=UTC)  # 20:30 in Jakarta: the last of the night before arrive by midnight
END = START + timedelta(hours=20)


@pytest.fixture
def city(monkeypatch: pytest.MonkeyPatch) -> City:
    """A city in which all that is sent from 02:00 on is as late as anything may be."""

    def late(arrives: Floats, sent_s: Floats, *_: object) -> None:
        arrives[sent_s > 26 * HOUR_S] += LONGEST_DELAY_S

    monkeypatch.setattr(transport, "_hold_back", late)
    return City.build(CityConfig(buses=28, venues=2, areas=2))


@pytest.fixture
def empty(connection: psycopg.Connection) -> Iterator[psycopg.Connection]:
    yield connection
    connection.execute("TRUNCATE raw.occupancy_events, ingest.offsets, ingest.rejected_messages")


def load(connection: psycopg.Connection, city: City, folder: Path) -> tuple[int, int]:
    contracts = load_contracts(PROJECT_DIR / "data" / "contracts")
    return feed.load_history(connection, contracts, city, START, END, folder)


def arrived(city: City) -> Counter[tuple[str, datetime]]:
    days = [city.day(ON + timedelta(days=n)).events for n in (-1, 0, 1)]
    assert (days[0]["delivered_at"] >= START).any()  # they are in question
    return Counter(
        (device, at.to_pydatetime())
        for events in days
        for device, at in events[(events["delivered_at"] >= START) & (events["delivered_at"] < END)][
            ["device_id", "ts_device"]
        ].itertuples(index=False)
    )


def landed(connection: psycopg.Connection) -> Counter[tuple[str, datetime]]:
    return Counter(connection.execute("SELECT device_id, ts_device FROM raw.occupancy_events").fetchall())


def test_history_holds_what_was_still_on_its_way_when_it_begins(
    empty: psycopg.Connection, city: City, tmp_path: Path
) -> None:
    load(empty, city, tmp_path)
    assert landed(empty) == arrived(city)


def test_a_load_lands_in_pieces_and_one_that_was_broken_off_goes_on(
    empty: psycopg.Connection, city: City, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    land, sizes = BulkLoad.land, []

    def breaks(self: BulkLoad, messages: list[Message], until: Mapping[str, int]) -> tuple[int, int]:
        sizes.append(len(messages))
        if len(sizes) == 6:
            raise ConnectionError
        return land(self, messages, until)

    monkeypatch.setattr(feed, "PIECE_MESSAGES", 500)
    monkeypatch.setattr(BulkLoad, "land", breaks)
    with pytest.raises(ConnectionError):
        load(empty, city, tmp_path)
    first = landed(empty)
    load(empty, city, tmp_path)
    assert max(sizes) <= 2 * 500
    found, wanted = landed(empty), arrived(city)
    assert 0 < first.total() < wanted.total()
    assert set(found) == set(wanted)
    assert found.total() - wanted.total() < 500  # only what arrives out of its day comes twice
