"""The city meets the platform: its registry, its history as a bulk load, and its life as requests to the gateway."""

from __future__ import annotations

import logging
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import psycopg

from ingest.bulk import SIMULATOR_PARTITION, BulkLoad
from ingest.gateways.signatures import sign
from ingest.lander.landing import Message
from ingest.registry.rows import register_devices, register_routes, register_sites
from ingest.simulator.city import City, SimulatedDay
from ingest.simulator.clock import day_start
from ingest.simulator.live import STREAMS, Delivery, iter_history, service_date, upcoming
from plimsoll.contracts import Contract
from plimsoll.errors import PlimsollError

log = logging.getLogger(__name__)
_CANONICAL = {"traffic.counts": {"timestamp": "ts_device"}, "device.heartbeats": {"battery": "battery_percent"}}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_EVENTS_PER_REQUEST = 500
PIECE_MESSAGES = 100_000
"""So many of a day land at once: a large city's day need not fit into memory as messages."""


def register(connection: psycopg.Connection, city: City) -> None:
    """Write the city's sites, devices and routes to the registry."""
    register_sites(connection, city.sites())
    register_devices(connection, city.devices())
    register_routes(connection, city.routes(), city.config.time_zone)


def load_history(
    connection: psycopg.Connection,
    contracts: dict[str, Contract],
    city: City,
    start_at: datetime,
    end_at: datetime,
    truth_dir: Path,
    on_day: Callable[[date], None] = lambda day: None,
    on_start: Callable[[int], None] = lambda days: None,
) -> tuple[int, int]:
    """Bulk-load what the city delivered from `start_at`, or from where the last load ended, until `end_at`.

    The ledger counts microseconds since 1970 of the delivery, so a load that was broken off goes on by itself.
    The truth of every day goes to Parquet files in `truth_dir`, apart from all that the platform may see.

    Args:
        on_day: told each day that is done.
        on_start: told the number of days to come.

    Returns:
        Rows landed and rows rejected.
    """
    load = BulkLoad(connection, {topic: contracts[topic] for topic in STREAMS}, SIMULATOR_PARTITION)
    done_until = _EPOCH + timedelta(microseconds=load.next_offset(STREAMS[0]))
    start_at = max(start_at, done_until)
    landed = rejected = 0
    first_day = service_date(city, start_at) - timedelta(days=1)  # some of it may still be on its way
    on_start((service_date(city, end_at) - first_day).days + 1)
    for day in iter_history(city, first_day, end_at):
        done_at = min(end_at, day_start(day.service_date + timedelta(days=1), city.config.time_zone))
        for from_at, until_at in pairwise(_bounds(day, start_at, done_at)):
            # A day's stragglers land with it; a load broken off just then lands them again, and repeats are harmless.
            next_offset = _microseconds(min(until_at, done_at))
            rows, bad = load.land(
                list(_messages(day, city.config.tenant_id, from_at, until_at)),
                {topic: max(next_offset, load.next_offset(topic)) for topic in STREAMS},
            )
            landed, rejected = landed + rows, rejected + bad
        _write_truth(day, truth_dir)
        on_day(day.service_date)
    return landed, rejected


def history_end(connection: psycopg.Connection) -> datetime | None:
    """Until when the city's history is loaded; None if there is none."""
    row = connection.execute(
        "SELECT next_offset FROM ingest.offsets WHERE topic = %s AND partition = %s", [STREAMS[0], SIMULATOR_PARTITION]
    ).fetchone()
    return _EPOCH + timedelta(microseconds=row[0]) if row else None


def _tables(day: SimulatedDay) -> dict[str, pd.DataFrame]:
    return dict(zip(STREAMS, (day.events, day.traffic, day.statuses, day.heartbeats), strict=True))


def _bounds(day: SimulatedDay, start_at: datetime, done_at: datetime) -> list[datetime]:
    """Instants between which a piece of the day was delivered, from `start_at` to after its last straggler."""
    delivered = pd.concat([table["delivered_at"] for table in _tables(day).values()]).sort_values()
    pieces = delivered[delivered >= start_at].iloc[PIECE_MESSAGES::PIECE_MESSAGES].dt.to_pydatetime()
    end = max([start_at, done_at, *delivered.iloc[-1:].dt.to_pydatetime()]) + timedelta(microseconds=1)
    return [start_at, *pieces, end]


def _messages(day: SimulatedDay, tenant_id: str, from_at: datetime, until_at: datetime) -> Iterator[Message]:
    for topic, table in _tables(day).items():
        fresh = _delivered(table, from_at, until_at)
        if fresh.empty:
            continue
        fresh = fresh.rename(columns=_CANONICAL.get(topic, {})).assign(tenant_id=tenant_id)
        delivered = fresh.pop("delivered_at").dt.to_pydatetime()
        lines = fresh.to_json(orient="records", lines=True, date_format="iso", date_unit="us", double_precision=15)
        for delivered_at, line in zip(delivered, lines.encode().splitlines(), strict=True):
            yield Message(topic, SIMULATOR_PARTITION, _microseconds(delivered_at), delivered_at, None, line)
    malformed = _delivered(day.malformed, from_at, until_at)
    for delivered_at, payload in malformed[["delivered_at", "payload"]].itertuples(index=False):
        at = delivered_at.to_pydatetime()
        yield Message(STREAMS[0], SIMULATOR_PARTITION, _microseconds(at), at, None, payload.encode())


def _delivered(table: pd.DataFrame, from_at: datetime, until_at: datetime) -> pd.DataFrame:
    return table[(table["delivered_at"] >= from_at) & (table["delivered_at"] < until_at)]


def _microseconds(at: datetime) -> int:
    return int((at - _EPOCH) / timedelta(microseconds=1))


def _write_truth(day: SimulatedDay, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    day.truth.to_parquet(folder / f"sites-{day.service_date}.parquet")
    day.route_truth.to_parquet(folder / f"routes-{day.service_date}.parquet")


_ADDRESSES: dict[str, Callable[[dict[str, Any]], str]] = {
    "occupancy.events": lambda _: "/api/occupancy/ingest",
    "traffic.counts": lambda _: "/api/traffic/ingest",
    "device.status": lambda payload: f"/api/devices/{payload['device_id']}/status",
    "device.heartbeats": lambda payload: f"/api/devices/{payload['device_id']}/heartbeat",
}


def send_live(
    city: City,
    api_url: str,
    from_at: datetime,
    stop: threading.Event,
    *,
    until: datetime | None = None,
    speed: float = 1.0,
) -> tuple[int, int]:
    """Send what the city delivers from `from_at` on to the API's gateway, at the time it is due.

    City time starts at `from_at` and runs `speed` times as fast as the clock until it has caught up with the clock;
    events of the future are never sent. Waits and tries again while the gateway answers that it cannot.
    Devices sign with their secrets; a few signatures do not fit, as the city's faults say.

    Args:
        until: stop at this city time; None goes on until `stop` is set.

    Returns:
        Events that the gateway accepted, and events that it refused.

    Raises:
        PlimsollError: the gateway refuses for good.
    """
    import httpx

    secrets = {device["device_id"]: device["secret"] for device in city.devices()}
    accepted = refused = 0
    started_at = datetime.now(UTC)
    with httpx.Client(base_url=api_url, timeout=30, trust_env=not _is_here(api_url)) as client:
        for batch in _batches(city, from_at, until):
            due_at = batch[-1][0]
            if not _await(due_at, from_at, started_at, speed, stop):
                break
            for address, payloads in _by_address(batch, secrets, city.config.faults.bad_signature).items():
                taken, bad = _post(client, address, payloads, stop)
                accepted, refused = accepted + taken, refused + bad
            if stop.is_set():
                break
    return accepted, refused


def _is_here(api_url: str) -> bool:
    """Whether the API is on this machine, where a proxy of the environment does not reach it."""
    host = urlsplit(api_url).hostname or ""
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback or address.is_unspecified


def _batches(city: City, from_at: datetime, until: datetime | None) -> Iterator[list[Delivery]]:
    """Deliveries of up to one second of city time together."""
    batch: list[Delivery] = []
    for delivery in upcoming(city, from_at):
        if until is not None and delivery[0] >= until:
            break
        if batch and (len(batch) >= MAX_EVENTS_PER_REQUEST or delivery[0] - batch[0][0] > timedelta(seconds=1)):
            yield batch
            batch = []
        batch.append(delivery)
    if batch:
        yield batch


def _await(due_at: datetime, from_at: datetime, started_at: datetime, speed: float, stop: threading.Event) -> bool:
    """Wait until city time has reached `due_at`; False when stopped meanwhile."""
    by_speed = started_at + (due_at - from_at) / speed
    wait_s = (max(by_speed, due_at) - datetime.now(UTC)).total_seconds()
    return not (stop.wait(wait_s) if wait_s > 0 else stop.is_set())


def _by_address(batch: list[Delivery], secrets: Mapping[str, str], spoilt: float) -> dict[str, list[dict[str, Any]]]:
    """Payloads by the address that takes them, each signed with its device's secret; a share of them wrongly."""
    grouped: dict[str, list[dict[str, Any]]] = {}
    for _, stream, payload in batch:
        secret = secrets.get(payload.get("device_id", ""))
        if secret is not None:
            signature = sign(payload, secret)
            # Drawn from the signature itself: the same event is spoilt in every run.
            fits = zlib.crc32(signature.encode()) >= spoilt * 2**32
            payload["sig"] = signature if fits else signature[::-1]
        grouped.setdefault(_ADDRESSES[stream](payload), []).append(payload)
    return grouped


def _post(client: Any, address: str, payloads: list[dict[str, Any]], stop: threading.Event) -> tuple[int, int]:
    """Send until the gateway has judged them; return how many it took and refused, none when stopped before.

    Raises:
        PlimsollError: it refuses whatever it is sent.
    """
    import httpx

    while not stop.is_set():
        try:
            answer = client.post(address, json=payloads)
        except httpx.TransportError as error:
            log.warning("the gateway cannot be reached (%s); trying again in 2 s", error)
            stop.wait(2)
            continue
        said = answer.json() if "json" in answer.headers.get("Content-Type", "") else {}
        if answer.status_code == 429 or (answer.status_code == 503 and said.get("code") != "ingest_off"):
            wait_s = float(answer.headers.get("Retry-After", "2"))
            log.warning("the gateway takes nothing now (%s); trying again in %g s", said.get("code"), wait_s)
            stop.wait(wait_s)
            continue
        errors = said.get("errors", [])
        # The city's faults include events that deserve refusal; a refusal that names none of them is of the sender.
        if answer.is_success or (errors and answer.status_code in (401, 422)):
            if errors:
                log.info("the gateway refused %d events, the first because of %s", len(errors), errors[0])
            return len(payloads) - len(errors), len(errors)
        raise PlimsollError(f"the gateway at {address} answered {answer.status_code}: {answer.text[:200]}")
    return 0, 0
