"""Registering sites and devices from the command line and from CSV files, on a real PostgreSQL."""

from __future__ import annotations

import csv
import stat
import subprocess
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ingest.registry.devices import add_device, exchange_secret, list_devices, move_device, revoke_device
from ingest.registry.entries import NewDevice, NewSite, RegistryError, SiteChange
from ingest.registry.sites import add_site, change_site, find_site, put_sites

pytestmark = pytest.mark.integration
Plimsoll = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def device_id() -> str:
    return f"edge-{uuid.uuid4().hex[:8]}"


def stored(connection: psycopg.Connection, device_id: str) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT site_id, secret, now() BETWEEN valid_from AND valid_to FROM registry.devices"
        " WHERE device_id = %s ORDER BY valid_from",
        [device_id],
    ).fetchall()


def test_a_devices_secret_is_shown_once_and_never_listed(
    connection: psycopg.Connection, plimsoll: Plimsoll, device_id: str
) -> None:
    added = plimsoll("devices", "add", device_id, "--site", "bus-1")
    listed = plimsoll("devices", "list")
    with pytest.raises(RegistryError, match="is registered for that time already"):
        add_device(connection, "default", NewDevice(device_id=device_id))

    secret = added.stdout.strip()
    assert len(secret) >= 32
    assert stored(connection, device_id) == [("bus-1", secret, True)]
    assert device_id in listed.stdout and secret not in listed.stdout


def test_tenants_are_added_named_and_listed_with_what_they_have(plimsoll: Plimsoll, device_id: str) -> None:
    tenant = f"t-{uuid.uuid4().hex[:8]}"
    plimsoll("tenants", "add", tenant)
    plimsoll("sites", "add", "gym", "--kind", "venue", "--tenant", tenant)
    plimsoll("devices", "add", device_id, "--site", "gym", "--tenant", tenant)
    plimsoll("tenants", "add", tenant, "--name", "City Gyms")

    listed = plimsoll("tenants", "list").stdout
    wrong = plimsoll("tenants", "add", "a\tb", check=False)

    [line] = [line for line in listed.splitlines() if tenant in line]
    assert [cell.strip() for cell in line.strip("│").split("│")] == [tenant, "City Gyms", "1", "1"]
    assert wrong.returncode == 1
    assert "control characters" in wrong.stderr


def test_a_moved_device_keeps_its_secret_and_its_past(connection: psycopg.Connection, device_id: str) -> None:
    secret = add_device(connection, "default", NewDevice(device_id=device_id, site_id="bus-1"))

    move_device(connection, "default", device_id, "bus-2")

    assert stored(connection, device_id) == [("bus-1", secret, False), ("bus-2", secret, True)]


def test_an_old_secret_counts_beside_the_new_one_until_its_time_is_over(
    connection: psycopg.Connection, device_id: str
) -> None:
    first = add_device(connection, "default", NewDevice(device_id=device_id))

    second = exchange_secret(connection, "default", device_id, timedelta(hours=1)).secret
    third = exchange_secret(connection, "default", device_id, timedelta(0)).secret

    counting = {secret for _, secret, counts in stored(connection, device_id) if counts}
    assert len({first, second, third}) == 3
    assert counting == {third}


def test_an_exchange_says_truly_how_long_the_old_secret_counts(
    connection: psycopg.Connection, plimsoll: Plimsoll, device_id: str
) -> None:
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
    for name, values in {"plain": {"signs": False}, "ends": {"valid_to": end}, "signs": {}}.items():
        add_device(connection, "default", NewDevice(device_id=f"{device_id}-{name}", **values))

    before = datetime.now(UTC)
    exchanged = exchange_secret(connection, "default", f"{device_id}-signs", timedelta(hours=1))
    plain = plimsoll("devices", "rotate", f"{device_id}-plain")
    ends = plimsoll("devices", "rotate", f"{device_id}-ends")
    at_once = plimsoll("devices", "rotate", f"{device_id}-signs", "--overlap-hours", "0")

    assert exchanged.old_until is not None
    assert timedelta(0) <= exchanged.old_until - before - timedelta(hours=1) < timedelta(minutes=1)
    assert f"the old secret of {device_id}-ends counts until {end:%Y-%m-%d %H:%M:%SZ}" in ends.stderr
    assert f"from now on only the new secret of {device_id}-plain counts" in plain.stderr
    assert f"from now on only the new secret of {device_id}-signs counts" in at_once.stderr
    for name, told in {"plain": plain, "signs": at_once}.items():
        counting = [secret for _, secret, counts in stored(connection, f"{device_id}-{name}") if counts]
        assert counting == [told.stdout.strip()]


def test_a_planned_registration_outlives_an_exchange_of_the_secret_before_it(
    connection: psycopg.Connection, device_id: str
) -> None:
    handover = datetime.now(UTC) + timedelta(hours=1)
    add_device(connection, "default", NewDevice(device_id=device_id, site_id="bus-1", valid_to=handover))
    add_device(connection, "default", NewDevice(device_id=device_id, site_id="bus-2", valid_from=handover))

    exchange_secret(connection, "default", device_id, timedelta(hours=24))

    ends = connection.execute(
        "SELECT site_id, nullif(valid_to, 'infinity') FROM registry.devices WHERE device_id = %s ORDER BY valid_from",
        [device_id],
    ).fetchall()
    assert ends == [("bus-1", handover), ("bus-1", handover), ("bus-2", None)]


def test_a_revoked_device_may_be_registered_anew_and_not_meanwhile_be_moved(
    connection: psycopg.Connection, device_id: str
) -> None:
    add_device(connection, "default", NewDevice(device_id=device_id))
    revoke_device(connection, "default", device_id)

    with pytest.raises(RegistryError) as raised:
        move_device(connection, "default", device_id, "bus-2")
    add_device(connection, "default", NewDevice(device_id=device_id, site_id="bus-3"))

    assert raised.value.code == "not_active"
    (listed,) = list_devices(connection, "default", device_id=device_id)
    assert (listed["site_id"], listed["state"]) == ("bus-3", "active")


def test_registrations_of_a_device_do_not_overlap_by_accident(connection: psycopg.Connection, device_id: str) -> None:
    day = datetime(2030, 1, 1, tzinfo=UTC)
    add_device(connection, "default", NewDevice(device_id=device_id, valid_from=day, valid_to=day + timedelta(days=9)))

    add_device(connection, "default", NewDevice(device_id=device_id, valid_from=day + timedelta(days=9)))
    with pytest.raises(RegistryError, match="registered for that time already"):
        add_device(connection, "default", NewDevice(device_id=device_id, valid_from=day + timedelta(days=8)))


def test_tenants_have_devices_of_the_same_name(connection: psycopg.Connection, device_id: str) -> None:
    add_device(connection, "default", NewDevice(device_id=device_id, site_id="ours"))
    add_device(connection, "neighbour", NewDevice(device_id=device_id, site_id="theirs"))

    revoke_device(connection, "neighbour", device_id)

    (ours,) = list_devices(connection, "default", device_id=device_id)
    assert (ours["site_id"], ours["state"]) == ("ours", "active")


def test_a_sites_capacity_and_hold_time_follow_from_what_is_known(connection: psycopg.Connection) -> None:
    site_id = f"bus-{uuid.uuid4().hex[:8]}"
    site = add_site(connection, "default", NewSite(site_id=site_id, kind="bus", seats=30, standing=50))
    changed = change_site(connection, "default", site_id, SiteChange(capacity=70, is_active=False))

    assert (site["name"], site["capacity"], site["hold_s"], site["is_active"]) == (site_id, 80, 300, True)
    assert (changed["capacity"], changed["seats"], changed["is_active"]) == (70, 30, False)
    with pytest.raises(RegistryError, match="'Mars/Base' is no time zone") as raised:
        change_site(connection, "default", site_id, SiteChange(time_zone="Mars/Base"))
    assert raised.value.field == "time_zone"


def test_a_sites_time_zone_costs_no_look_into_the_time_zones_files_each_time() -> None:
    def taken_s(**fields: str) -> float:
        started = time.perf_counter()
        for number in range(300):
            NewSite(site_id=f"bus-{number}", kind="bus", **fields)
        return time.perf_counter() - started

    taken_s(time_zone="Asia/Jakarta")
    assert taken_s(time_zone="Asia/Jakarta") < 20 * taken_s()


def test_a_name_with_brackets_is_listed_as_it_is(connection: psycopg.Connection, plimsoll: Plimsoll) -> None:
    tenant = f"t-{uuid.uuid4().hex[:8]}"
    for site_id, name in (("a", "Gate [/]"), ("b", "Hall [north]")):
        add_site(connection, tenant, NewSite(site_id=site_id, kind="venue", name=name))

    listed = plimsoll("sites", "list", "--tenant", tenant, check=False)

    assert "Gate [/]" in listed.stdout and "Hall [north]" in listed.stdout, listed.stderr[-300:]


def test_a_csv_of_sites_is_taken_and_brings_known_ones_up_to_date(
    connection: psycopg.Connection, plimsoll: Plimsoll, tmp_path: Path
) -> None:
    mark = uuid.uuid4().hex[:8]
    file = tmp_path / "sites.csv"
    file.write_text(
        f"\ufeffsite_id;kind;capacity;time_zone;hold_s;lat;lon\n{mark}-a;venue;100;Europe/London;900;51.5;-0.1\n"
    )
    plimsoll("sites", "import", str(file))
    file.write_text(f"site_id,kind,name,capacity\n{mark}-a,venue,Old hall,120\n{mark}-b,bus,,\n")
    plimsoll("sites", "import", str(file))

    rows = connection.execute(
        "SELECT name, kind, capacity, time_zone, hold_s, lat FROM registry.sites"
        " WHERE site_id LIKE %s ORDER BY site_id",
        [f"{mark}%"],
    ).fetchall()
    assert rows == [
        ("Old hall", "venue", 120, "Europe/London", 900, 51.5), (f"{mark}-b", "bus", None, "UTC", 300, None),
    ]  # fmt: skip


def test_a_capacity_that_was_the_sum_of_the_places_follows_them(connection: psycopg.Connection) -> None:
    site = {"site_id": f"bus-{uuid.uuid4().hex[:8]}", "kind": "bus"}
    known = []
    for change in ({"seats": 30, "standing": 50, "name": "Old bus"}, {"seats": 40}, {"capacity": 70}, {"seats": 43}):
        put_sites(connection, "default", [NewSite.model_validate(site | change)])
        found = find_site(connection, "default", site["site_id"])
        known.append((found["name"], found["seats"], found["standing"], found["capacity"]))

    assert known == [
        ("Old bus", 30, 50, 80), ("Old bus", 40, 50, 90), ("Old bus", 40, 50, 70), ("Old bus", 43, 50, 70),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("site_id,kind\na,bus\nb,pub\n", "line 3: kind: input should be"),
        ("site_id,kind\na,bus\na,bus\n", "line 3: site_id: 'a' stands in line 2 already"),
        ("site_id,kind,colour\na,bus,red\n", "unknown column 'colour'"),
        ("kind\nbus\n", "no column 'site_id'"),
        ("site_id,kind,capacity\na,bus,0\n", "line 2: capacity: input should be greater than or equal to 1"),
        ("site_id,kind,lat\na,bus,1\n", "line 2: lat, lon: a position needs both"),
        ("site_id,kind\na,bus,extra\n", "line 2: more cells than the header has columns"),
        ("site_id,kind,name,name\na,bus,x,y\n", "two columns are called 'name'"),
        ("site_id,kind,name\na,bus,\udce4\n", "cannot be read: it is not UTF-8: save it as UTF-8"),
        ("", "no column 'site_id'"),
    ],
)
def test_a_wrong_csv_names_the_line_and_changes_nothing(tmp_path: Path, text: str, complaint: str) -> None:
    from ingest.registry.csv_files import read_entries
    from plimsoll.errors import PlimsollError

    file = tmp_path / "sites.csv"
    file.write_text(text, errors="surrogateescape")

    with pytest.raises(PlimsollError) as raised:
        read_entries(file, NewSite, ["site_id"])
    assert complaint in str(raised.value)


def test_rows_that_a_spreadsheet_left_empty_are_none(tmp_path: Path) -> None:
    from ingest.registry.csv_files import read_entries

    file = tmp_path / "sites.csv"
    file.write_text("\ufeffsite_id;kind;name\r\na;bus;\r\n;;\r\n ; ;\r\nb;venue;B\r\n")

    assert [(line, site.site_id) for line, site in read_entries(file, NewSite, ["site_id"]).items()] == [
        (2, "a"), (5, "b"),
    ]  # fmt: skip


def test_a_csv_of_devices_gets_secrets_in_a_private_file_and_moves_known_ones(
    connection: psycopg.Connection, plimsoll: Plimsoll, tmp_path: Path, device_id: str
) -> None:
    own = "a-secret-that-came-with-it"
    file, out = tmp_path / "devices.csv", tmp_path / "secrets.csv"
    file.write_text(f"device_id,site_id,secret\n{device_id},bus-1,\n{device_id}-own,bus-2,{own}\n")

    first = plimsoll("devices", "import", str(file), "--secrets-to", str(out))
    file.write_text(f"device_id,site_id\n{device_id},bus-9\n{device_id}-own,\n{device_id}-plain,bus-3\n")
    second = plimsoll("devices", "import", str(file))
    file.write_text(f"device_id,secret\n{device_id}-new,\n{device_id},another-secret-than-its-own\n")
    refused = plimsoll("devices", "import", str(file), check=False)

    made = list(csv.DictReader(out.open()))
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert [row["device_id"] for row in made] == [device_id]
    assert stored(connection, device_id)[-1] == ("bus-9", made[0]["secret"], True)
    assert stored(connection, f"{device_id}-own") == [("bus-2", own, True)]
    assert stored(connection, f"{device_id}-plain") == [("bus-3", None, True)]
    assert "registered 2, changed 0, unchanged 0" in first.stdout
    assert "registered 1, changed 1, unchanged 1" in second.stdout
    assert refused.returncode == 1 and "registered with another secret" in refused.stderr
    assert stored(connection, f"{device_id}-new") == []


def test_a_revoked_device_in_a_file_is_refused_with_its_line_unless_it_is_registered_anew_on_purpose(
    connection: psycopg.Connection, plimsoll: Plimsoll, tmp_path: Path, device_id: str
) -> None:
    file = tmp_path / "devices.csv"
    file.write_text(f"device_id,site_id\n{device_id}-new,bus-1\n{device_id},bus-2\n")
    secret = add_device(connection, "default", NewDevice(device_id=device_id, site_id="bus-2"))
    revoke_device(connection, "default", device_id)

    refused = plimsoll("devices", "import", str(file), check=False)
    after = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    file.write_text(f"device_id,site_id,valid_from\n{device_id},bus-3,{after}\n")
    on_purpose = plimsoll("devices", "import", str(file), "--secrets-to", str(tmp_path / "secrets.csv"))

    assert refused.returncode == 1
    assert f"{file}: line 3: device_id: the device '{device_id}' was revoked on" in refused.stderr
    assert f"plimsoll devices add {device_id}" in refused.stderr and "nothing was imported" in refused.stderr
    assert stored(connection, f"{device_id}-new") == []
    assert "registered 1, changed 0, unchanged 0" in on_purpose.stdout
    (old, new) = stored(connection, device_id)
    assert old == ("bus-2", secret, False)
    assert new[0] == "bus-3" and new[1] not in (None, secret)


@pytest.mark.parametrize("again", ["devices", "another site", "another secret"])
def test_planned_and_past_devices_are_imported_again_without_change_or_refused_with_their_line(
    connection: psycopg.Connection, plimsoll: Plimsoll, tmp_path: Path, device_id: str, again: str
) -> None:
    file = tmp_path / "devices.csv"
    text = (
        f"device_id,site_id,secret,valid_from,valid_to\n{device_id}-past,bus-1,the-first-of-its-secrets,,2026-01-01T00:00Z\n"
        f"{device_id},bus-1,the-next-of-its-secrets,2100-01-01T00:00Z,\n"
    )
    file.write_text(text)
    plimsoll("devices", "import", str(file))
    before = stored(connection, device_id)
    changes = {"another site": ("bus-1,the-next", "bus-9,the-next"), "another secret": ("the-next", "the-last")}
    file.write_text(text.replace(*changes.get(again, ("", ""))))

    done = plimsoll("devices", "import", str(file), check=False)

    assert stored(connection, device_id) == before
    if again == "devices":
        assert "registered 0, changed 0, unchanged 2" in done.stdout
    else:
        assert done.returncode == 1 and f"line 3: {'secret' if 'secret' in again else 'device_id'}: " in done.stderr


def test_a_device_that_is_to_sign_is_not_registered_as_one_that_need_not(
    connection: psycopg.Connection, plimsoll: Plimsoll, tmp_path: Path, device_id: str
) -> None:
    file = tmp_path / "devices.csv"
    file.write_text(f"device_id,signs\n{device_id}-plain,false\n{device_id},true\n")

    refused = plimsoll("devices", "import", str(file), check=False)
    taken = plimsoll("devices", "import", str(file), "--secrets-to", str(tmp_path / "secrets.csv"))
    again = plimsoll("devices", "import", str(file))
    file.write_text(f"device_id,signs\n{device_id}-plain,true\n")
    contrary = plimsoll("devices", "import", str(file), check=False)

    assert refused.returncode == 1 and f"line 3: signs: the device '{device_id}' is to sign" in refused.stderr
    assert "registered 2" in taken.stdout and "unchanged 2" in again.stdout
    assert stored(connection, device_id)[0][1] is not None
    assert contrary.returncode == 1 and "is registered as one that need not sign" in contrary.stderr


def test_devices_whose_secrets_cannot_be_written_are_not_imported(
    connection: psycopg.Connection, plimsoll: Plimsoll, tmp_path: Path, device_id: str
) -> None:
    file = tmp_path / "devices.csv"
    file.write_text(f"device_id\n{device_id}\n")

    refused = plimsoll("devices", "import", str(file), "--secrets-to", str(tmp_path / "none" / "s.csv"), check=False)

    assert refused.returncode == 1 and "Traceback" not in refused.stderr
    assert "s.csv: cannot be written" in refused.stderr and "nothing was imported" in refused.stderr
    assert stored(connection, device_id) == []


def test_a_registration_that_would_end_before_it_begins_is_refused_with_its_field(
    connection: psycopg.Connection, device_id: str
) -> None:
    add_device(connection, "default", NewDevice(device_id=device_id))
    revoke_device(connection, "default", device_id)

    with pytest.raises(RegistryError, match="must be after valid_from, which is now") as raised:
        add_device(connection, "default", NewDevice(device_id=device_id, valid_to=datetime(2020, 1, 1, tzinfo=UTC)))

    assert (raised.value.code, raised.value.field) == ("invalid_device", "valid_to")


def test_sites_of_a_kind_that_there_is_not_are_told(plimsoll: Plimsoll) -> None:
    listed = plimsoll("sites", "list", "--kind", "buss", check=False)

    assert listed.returncode == 1 and "--kind buss: write one of bus, venue, area, stop" in listed.stderr


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"device_id": "a/b"}, "must not hold / "),
        ({"device_id": "a\x00"}, "must not hold control characters"),
        ({"device_id": "a", "secret": "short"}, "at least 16 characters"),
        ({"device_id": "a", "secret": "long-enough-to-be-one", "signs": False}, "a device that does not sign has none"),
    ],
)
def test_a_device_that_cannot_be_is_refused(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        NewDevice(**values)
