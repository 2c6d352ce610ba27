"""GTFS feeds into the registry: made ones with every gap, and two of a real operator."""

from __future__ import annotations

import subprocess
import tracemalloc
import zipfile
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ingest.registry.gtfs import read_feed, store_feed
from plimsoll.errors import PlimsollError

pytestmark = pytest.mark.integration
Plimsoll = Callable[..., subprocess.CompletedProcess[str]]

FEED = {
    "agency.txt": "agency_id,agency_name,agency_timezone\na,A,Asia/Jakarta\n",
    "routes.txt": "route_id,route_short_name,route_long_name\n1,1,North - South\n2,2,\n9,9,Never served\n",
    "calendar.txt": "service_id,monday,wednesday,saturday\nweek,1,1,0\nsat,0,0,1\n",
    "stops.txt": (
        "\ufeffstop_id,stop_name,stop_lat,stop_lon\n"
        "n,North,-6.1,106.8\nm,Middle,-6.2,106.8\ns,South,-6.3,106.8\nx,Lost,,\n"
    ),
    "trips.txt": (
        "trip_id,route_id,service_id,trip_headsign,direction_id,shape_id\n"
        "down,1,week,South,0,line\nshort,1,week,Middle,0,line\nup,1,week,,1,\nlazy,1,sat,South,0,line\n"
        "loop,2,week,Loop,,\nghost,3,week,Ghost,0,\nempty,2,week,Empty,0,\n"
    ),
    "stop_times.txt": (
        "trip_id,arrival_time,departure_time,stop_id,stop_sequence\n"
        "down,07:10:00,07:10:00,s,30\ndown,07:05:00,07:05:00,m,20\ndown,07:00:00,07:00:00,n,10\n"
        "short,,,n,1\nshort,,,m,2\nup,25:00:00,25:00:00,s,1\nup,25:10:00,25:10:00,n,2\n"
        "lazy,07:00:00,07:00:00,n,1\nlazy,07:10:00,07:10:00,s,2\nloop,12:00:00,12:00:00,m,1\nloop,,,x,2\n"
        "loop,12:30:00,12:30:00,m,3\nnobody,12:30:00,12:30:00,m,3\n"
    ),
    "frequencies.txt": (
        "trip_id,start_time,end_time,headway_secs,exact_times\n"
        "down,06:00:00,09:00:00,600,0\ndown,09:00:00,16:00:00,1200,0\nshort,06:00:00,09:00:00,600,1\n"
        "lazy,06:00:00,09:00:00,60,0\ndown,10:00:00,10:00:00,600,0\ndown,17:00:00,18:00:00,0,0\n"
    ),
    "shapes.txt": "shape_id,shape_pt_lat,shape_pt_lon,shape_pt_sequence\nline,-6.1,106.8,1\nline,-6.3,106.8,2\n",
}


def written(folder: Path, **changes: str | None) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in {**FEED, **{f"{n}.txt": t for n, t in changes.items()}}.items():
        (folder / name).unlink(missing_ok=True)
        if text is not None:
            (folder / name).write_text(text)
    return folder


def rows(connection: psycopg.Connection, query: str, tenant: str) -> list[tuple[Any, ...]]:
    return connection.execute(query.encode(), [tenant]).fetchall()


def test_a_feed_becomes_routes_stops_trips_frequencies_and_shapes(
    connection: psycopg.Connection, tmp_path: Path
) -> None:
    counts = store_feed(connection, "made", read_feed(written(tmp_path / "feed")), spare_vehicles=2)

    assert counts == {
        "routes": 2, "route directions": 3, "stops": 3, "trips": 5, "frequencies": 4, "shapes": 2,
    }  # fmt: skip
    routes = rows(connection, "SELECT * FROM registry.routes WHERE tenant_id = %s ORDER BY route_id, 3", "made")
    assert routes == [
        # Two variants every 10 minutes in the morning: one departure in 5 minutes. Saturdays do not count.
        ("made", "1", 0, "North - South", "South", "Asia/Jakarta", 300, 1200, 2, "gtfs"),
        ("made", "1", 1, "North - South", "North", "Asia/Jakarta", None, 3600, 2, "gtfs"),
        ("made", "2", 0, "2", "Loop", "Asia/Jakarta", None, 3600, 2, "gtfs"),
    ]
    stops = rows(connection, "SELECT route_id, direction_id, stop_sequence, stop_id FROM registry.route_stops"
                 " WHERE tenant_id = %s ORDER BY 1, 2, 3", "made")  # fmt: skip
    assert [(*key, stop) for *key, _, stop in stops] == [
        ("1", 0, "n"), ("1", 0, "m"), ("1", 0, "s"), ("1", 1, "s"), ("1", 1, "n"), ("2", 0, "m"), ("2", 0, "m"),
    ]  # fmt: skip
    trips = rows(connection, "SELECT trip_id, stops, starts_s FROM registry.trips WHERE tenant_id = %s ORDER BY 1",
                 "made")  # fmt: skip
    assert trips == [
        ("down", 3, 25_200), ("lazy", 2, 25_200), ("loop", 2, 43_200), ("short", 2, None), ("up", 2, 90_000),
    ]  # fmt: skip


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    warnings = read_feed(written(tmp_path / "feed", shapes=None)).warnings

    assert set(warnings) == {
        "shapes.txt is missing or empty: routes have no line on the map, only stops",
        "1 stops have no usable position and are left out",
        "2 trips name no direction and count for direction 0",
        "1 trips belong to no route of routes.txt and are left out",
        "1 trips have no stops and are left out",
        "1 routes have no trip and are left out",
        "1 stop times name no known stop and are left out",
        "1 stop times belong to no trip and are left out",
        "2 frequencies have no usable times or headway and are left out",
    } - {"2 trips name no direction and count for direction 0"} | {
        "1 trips name no direction and count for direction 0"
    }


def test_the_next_feed_replaces_the_last_and_keeps_what_people_set(
    connection: psycopg.Connection, tmp_path: Path
) -> None:
    connection.execute("INSERT INTO registry.tenants VALUES ('next', 'next') ON CONFLICT DO NOTHING")
    connection.execute(
        "INSERT INTO registry.routes (tenant_id, route_id, direction_id, route_name, headsign)"
        " VALUES ('next', 'own', 0, 'Registered by hand', 'x')"
    )
    store_feed(connection, "next", read_feed(written(tmp_path / "old")))
    connection.execute("UPDATE registry.routes SET spare_vehicles = 5 WHERE tenant_id = 'next' AND route_id = '1'")
    new = written(
        tmp_path / "new", frequencies=None, routes="route_id,route_long_name\n1,Renamed\n",
        stop_times="trip_id,stop_id,stop_sequence\ndown,n,1\ndown,s,2\n",
    )  # fmt: skip

    store_feed(connection, "next", read_feed(new))

    assert rows(
        connection, "SELECT route_id, direction_id, route_name, headway_peak_s, spare_vehicles FROM registry.routes"
        " WHERE tenant_id = %s ORDER BY 1", "next",
    ) == [("1", 0, "Renamed", 300, 5), ("own", 0, "Registered by hand", None, 0)]  # fmt: skip
    assert rows(connection, "SELECT count(*) FROM registry.route_stops WHERE tenant_id = %s", "next") == [(2,)]
    assert rows(connection, "SELECT count(*) FROM registry.frequencies WHERE tenant_id = %s", "next") == [(0,)]


def test_headways_are_those_of_one_day_when_a_feed_holds_several_seasons(tmp_path: Path) -> None:
    seasons = {"spring": "20260101,20260630", "autumn": "20260701,20261231", "always": ","}
    feed = written(
        tmp_path / "feed", frequencies=None,
        calendar="\n".join(["service_id,wednesday,start_date,end_date", *(f"{s},1,{d}" for s, d in seasons.items())]),
        trips="\n".join(["trip_id,route_id,service_id,direction_id", *(f"{s},1,{s},0" for s in seasons)]),
        stop_times="\n".join(["trip_id,departure_time,stop_id,stop_sequence", *(f"{s},12:00:00,n,1" for s in seasons)]),
    )  # fmt: skip

    assert read_feed(feed, TODAY).headways() == {("1", 0): (None, 1800)}, "one of a season, and one that always runs"


def test_numbers_that_a_spreadsheet_wrote_are_read_and_those_beyond_reason_left_out(
    connection: psycopg.Connection, tmp_path: Path
) -> None:
    feed = written(
        tmp_path / "feed",
        trips="trip_id,route_id,service_id,direction_id,shape_id\ndown,1,week,1.0,line\n",
        stop_times="trip_id,stop_id,stop_sequence\ndown,n,1.0\ndown,s,2.0\ndown,m,\u00b2\ndown,m,99999999999\n",
        stops="stop_id,stop_lat,stop_lon,location_type\nn,-6.1,106.8,1.0\nm,-6.2,106.8,99999\ns,-6.3,106.8,\n",
        frequencies="trip_id,start_time,end_time,headway_secs\ndown,06:00:00,09:00:00,99999999999\n",
        shapes="shape_id,shape_pt_lat,shape_pt_lon,shape_pt_sequence\nline,-6.1,106.8,1.0\nline,-6.2,106.8,99999999999\n",
    )  # fmt: skip

    counts = store_feed(connection, "numbers", read_feed(feed))

    assert (counts["route directions"], counts["stops"], counts["frequencies"], counts["shapes"]) == (1, 3, 0, 1)
    [trip] = rows(connection, "SELECT direction_id, stops FROM registry.trips WHERE tenant_id = %s", "numbers")
    assert trip == (1, 2)
    kinds = rows(
        connection, "SELECT location_type FROM registry.stops WHERE tenant_id = %s ORDER BY stop_id", "numbers"
    )
    assert kinds == [(0,), (1,), (0,)]


TODAY = date(2026, 3, 2)  # a Monday


def served(folder: Path, *, trips: dict[str, int], **calendars: str | None) -> tuple[int | None, int | None]:
    """The headways of a feed with so many trips of each service at noon."""
    names = [(f"{service}-{number}", service) for service, count in trips.items() for number in range(count)]
    feed = written(
        folder, frequencies=None, **calendars,
        trips="\n".join(["trip_id,route_id,service_id,direction_id", *(f"{t},1,{s},0" for t, s in names)]),
        stop_times="\n".join(["trip_id,arrival_time,stop_id,stop_sequence", *(f"{t},12:00:00,n,1" for t, _ in names)]),
    )  # fmt: skip
    return read_feed(feed, TODAY).headways()["1", 0]


def exceptions(*days: tuple[str, str, float]) -> str:
    return "\n".join(["service_id,date,exception_type", *(f"{s},{day},{kind}" for s, day, kind in days)])


def test_a_feed_without_calendar_has_the_headways_of_the_working_days_that_its_dates_name(tmp_path: Path) -> None:
    weeks = [TODAY + timedelta(weeks=n) for n in range(4)]
    days = [("week", f"{monday + timedelta(days=d):%Y%m%d}", 1) for monday in weeks for d in range(5)]
    sundays = [("sun", f"{monday + timedelta(days=6):%Y%m%d}", 1) for monday in weeks]

    for calendar in (None, "service_id,wednesday,start_date,end_date\nsun,0,20260101,20261231\n"):
        found = served(
            tmp_path / "feed", trips={"week": 4, "sun": 9}, calendar=calendar,
            calendar_dates=exceptions(*days, *sundays),
        )  # fmt: skip
        assert found == (None, 900)


def test_days_on_which_a_service_is_taken_out_or_added_are_no_usual_days(tmp_path: Path) -> None:
    wednesdays = [f"{TODAY + timedelta(days=2, weeks=n):%Y%m%d}" for n in range(9)]
    calendar = (
        "service_id,wednesday,sunday,start_date,end_date\nweek,1,0,20260302,20260503\nnever,1,0,20260302,20260503\n"
        "sun,0,1,20260302,20260503\n"
    )
    holiday = [("week", wednesdays[0], 2), ("sun", wednesdays[0], 1)]
    match_days = [("extra", wednesdays[3], 1), ("extra", wednesdays[4], 1)]
    never = [("never", day, 2) for day in wednesdays]

    found = served(
        tmp_path / "feed", trips={"week": 4, "sun": 1, "extra": 6, "never": 5}, calendar=calendar,
        calendar_dates=exceptions(*holiday, *match_days, *never),
    )  # fmt: skip

    assert found == (None, 900)


def test_headways_are_those_of_the_weeks_ahead_or_of_the_last_that_the_feed_knows(tmp_path: Path) -> None:
    def calendar(*rows: str) -> str:
        return "\n".join(["service_id,wednesday,start_date,end_date", *rows])

    trips = {"old": 6, "new": 4}
    over = calendar("old,1,20100101,20251231", "new,1,20260101,20301231")
    gone = calendar("old,1,20000101,20091231", "new,1,20100101,20121231")

    left_over = calendar("old,1,20200101,20301231", "new,1,20260101,20260331")

    assert served(tmp_path / "feed", trips=trips, calendar=over) == (None, 900)
    assert served(tmp_path / "feed", trips=trips, calendar=gone) == (None, 900)
    assert served(tmp_path / "feed", trips={"old": 1, "new": 3}, calendar=left_over) == (None, 900)


def test_a_feed_of_a_weekend_has_its_headways_and_one_without_dates_says_what_is_taken(tmp_path: Path) -> None:
    fair = exceptions(("fair", "20260307", 1), ("fair", "20260308.0", 1.0), ("x", "soon", 1), ("x", "20260307", 3))
    feed = tmp_path / "feed"

    assert served(feed, trips={"fair": 3, "x": 5}, calendar=None, calendar_dates=fair) == (None, 1200)
    assert "2 service exceptions have no usable date or type and are left out" in read_feed(feed).warnings
    assert served(feed, trips={"fair": 3, "x": 5}, calendar=None, calendar_dates=None) == (None, 720)
    assert (
        "calendar.txt and calendar_dates.txt tell no day with trips: headways are those of the service with most trips"
        in read_feed(feed).warnings
    )


def test_columns_of_stop_times_that_nobody_reads_take_no_memory(tmp_path: Path) -> None:
    def peak(folder: str, unread: int) -> int:
        names = ["trip_id", "departure_time", "stop_id", "stop_sequence", *(f"unread_{n}" for n in range(unread))]
        lines = [f"down,07:00:00,n,{number}" + "," * unread for number in range(5_000)]
        feed = written(tmp_path / folder, stop_times="\n".join([",".join(names), *lines]))
        tracemalloc.start()
        read_feed(feed)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    assert peak("wide", 40) < 2 * peak("narrow", 0)


def test_a_calendar_without_services_says_nothing(tmp_path: Path) -> None:
    feed = written(tmp_path / "feed", calendar="monday,wednesday\n1,1\n")

    assert read_feed(feed).weekday_services == {"week"}, "that of most trips"


def test_trips_and_shapes_that_share_an_id_are_told_apart(tmp_path: Path) -> None:
    feed = written(
        tmp_path / "feed", frequencies=None,
        trips="route_id,service_id,trip_id,direction_id,shape_id\n1,week,a-b,0,shp\n2,week,a-b,0,shp\n",
        stop_times="trip_id,stop_id,stop_sequence\na-b,n,1\na-b,m,2\na-b,s,1\na-b,m,2\n",
        shapes=(
            "shape_id,shape_pt_lat,shape_pt_lon,shape_pt_sequence\n"
            "shp,-6.3,106.8,1\nshp,-6.2,106.8,2\nshp,-6.1,106.8,1\nshp,-6.2,106.8,2\n"
        ),
    )  # fmt: skip

    timetable = read_feed(feed)

    first = {p.shape_id: p.lat for p in timetable.shapes if p.sequence == 1}
    trips = timetable.trips.values()
    assert [(t.route_id, t.stop_ids, first[t.shape_id or ""]) for t in trips] == [
        ("1", ["n", "m"], -6.1),
        ("2", ["s", "m"], -6.3),
    ]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"routes": None}, "routes.txt is missing"),
        ({"trips": "trip_id,route_id\n"}, "trips.txt is empty"),
        ({"stops": "stop_id,stop_name\na,A\n"}, "stops.txt: no column 'stop_lat'"),
        ({"routes": "route_id,route_long_name\n1,A\0B\n"}, "routes.txt: not UTF-8 CSV: it holds NUL"),
        ({"stop_times": None}, "no trip has a known stop: stop_times.txt is missing or empty"),
        (
            {"stop_times": "trip_id,stop_id,stop_sequence\nother-1,n,1\nother-1,s,2\n"},
            "no trip has a known stop: stop_times.txt fits trips.txt and stops.txt in no row",
        ),
    ],
)
def test_what_is_no_feed_is_refused(tmp_path: Path, changes: dict[str, str | None], complaint: str) -> None:
    with pytest.raises(PlimsollError, match=complaint):
        read_feed(written(tmp_path / "feed", **changes))


def test_a_zip_with_a_folder_in_it_is_a_feed(
    connection: psycopg.Connection, plimsoll: Plimsoll, tmp_path: Path
) -> None:
    zipped(tmp_path / "feed.zip", {f"my-feed/{name}": text for name, text in FEED.items()})

    done = plimsoll("gtfs", "import", str(tmp_path / "feed.zip"), "--tenant", "zipped")
    refused = plimsoll("gtfs", "import", str(tmp_path / "feed.csv"), check=False)

    assert "2 routes, 3 route directions, 3 stops" in done.stdout
    assert "1 stops have no usable position" in done.stderr
    assert refused.returncode == 1 and "neither a folder nor a zip file" in refused.stderr


def zipped(file: Path, members: dict[str, str], how: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(file, "w", how) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return file


def test_a_refused_feed_leaves_the_timetable_before_it_alone(
    connection: psycopg.Connection, plimsoll: Plimsoll, tmp_path: Path
) -> None:
    store_feed(connection, "kept", read_feed(written(tmp_path / "good")))
    bad = written(tmp_path / "bad", stop_times=None)

    refused = plimsoll("gtfs", "import", str(bad), "--tenant", "kept", check=False)

    assert refused.returncode == 1 and "no trip has a known stop" in refused.stderr
    assert rows(connection, "SELECT count(*) FROM registry.routes WHERE tenant_id = %s", "kept") == [(3,)]


def test_of_a_zip_with_several_folders_the_feed_is_the_one_nearest_to_its_root(tmp_path: Path) -> None:
    older = FEED | {"routes.txt": "route_id,route_long_name\n1,Old name\n", "levels.txt": "level_id\n"}
    new = {name: text for name, text in FEED.items() if name != "shapes.txt"}
    members = {f"feed/{n}": t for n, t in new.items()} | {f"a/b/{n}": t for n, t in older.items()}

    timetable = read_feed(zipped(tmp_path / "feed.zip", members))

    assert timetable.route_names["1"] == "North - South"
    assert timetable.shapes == [], "what the feed lacks is not taken from the other"


def test_a_zip_with_two_feeds_side_by_side_is_refused(tmp_path: Path) -> None:
    members = {f"{folder}/{name}": text for folder in ("2025", "2026") for name, text in FEED.items()}

    with pytest.raises(PlimsollError, match="two feeds, in '2025' and in '2026'"):
        read_feed(zipped(tmp_path / "feed.zip", members))


def _flipped(content: bytearray, at: int) -> bytearray:
    content[at] ^= 0xFF
    return content


def _marked(content: bytearray, field: int, value: int) -> bytearray:
    """The zip with a 16-bit field of its first member set in both headers; its place is that in the central one."""
    for signature, offset in ((b"PK\x03\x04", field - 2), (b"PK\x01\x02", field)):
        at = content.index(signature) + offset
        content[at : at + 2] = value.to_bytes(2, "little")
    return content


@pytest.mark.parametrize(
    ("how", "damage", "complaint"),
    [
        (zipfile.ZIP_STORED, lambda z: _flipped(z, z.index(b"route_long_name")), "Bad CRC-32"),
        (zipfile.ZIP_DEFLATED, lambda z: _flipped(z, 30 + len("routes.txt")), "cannot be unpacked"),
        (zipfile.ZIP_STORED, lambda z: _marked(z, 8, 0x1), "is encrypted"),
        (zipfile.ZIP_STORED, lambda z: _marked(z, 10, 99), "compression method is not supported"),
        (zipfile.ZIP_STORED, lambda z: _flipped(z, z.index(b"PK\x01\x02")), "the zip file is damaged"),
    ],
)
def test_a_zip_that_cannot_be_unpacked_is_told(
    tmp_path: Path, how: int, damage: Callable[[bytearray], bytearray], complaint: str
) -> None:
    file = zipped(tmp_path / "feed.zip", {"routes.txt": FEED["routes.txt"]} | FEED, how)
    file.write_bytes(damage(bytearray(file.read_bytes())))

    with pytest.raises(PlimsollError, match=complaint):
        read_feed(file)


def test_a_real_feed_without_shapes(connection: psycopg.Connection, datasets: Path) -> None:
    timetable = read_feed(datasets / "gtfs_transjakarta_2025")
    counts = store_feed(connection, "tj-2025", timetable)

    assert counts == {
        "routes": 243, "route directions": 406, "stops": 8_587, "trips": 643, "frequencies": 654, "shapes": 0,
    }  # fmt: skip
    known = rows(connection, "SELECT count(headway_peak_s), min(headway_peak_s) FROM registry.routes"
                 " WHERE tenant_id = %s", "tj-2025")  # fmt: skip
    assert known[0][0] > 350 and known[0][1] > 60
    assert any("shapes.txt is missing" in warning for warning in timetable.warnings)


def test_a_real_feed_without_times_and_with_shared_ids(connection: psycopg.Connection, datasets: Path) -> None:
    timetable = read_feed(datasets / "gtfs_transjakarta_2021_with_shapes" / "transjakarta.zip")
    counts = store_feed(connection, "tj-2021", timetable)

    assert counts == {
        "routes": 147, "route directions": 282, "stops": 5_365, "trips": 536, "frequencies": 0, "shapes": 86_792,
    }  # fmt: skip
    # Each line begins where its trip does: the shared ids were told apart rightly.
    apart = rows(
        connection,
        """
        SELECT count(*) FILTER (WHERE abs(p.lat - s.lat) + abs(p.lon - s.lon) < 0.01)::real / count(*)
        FROM registry.trips AS t
        JOIN registry.route_stops AS s USING (tenant_id, route_id, direction_id)
        JOIN registry.shapes AS p USING (tenant_id, shape_id)
        WHERE t.tenant_id = %s AND s.stop_sequence = 1 AND p.point_sequence = 1
            AND t.stops = (SELECT count(*) FROM registry.route_stops AS n
                WHERE (n.tenant_id, n.route_id, n.direction_id) = (t.tenant_id, t.route_id, t.direction_id))
        """,
        "tj-2021",
    )
    assert apart[0][0] > 0.95
    assert any("gives no times" in warning for warning in timetable.warnings)
