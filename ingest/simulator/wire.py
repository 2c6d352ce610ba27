"""Rows as the JSON that devices send.

Buses speak the legacy form, venues the canonical one, roads the form of traffic counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

BUS_CODE = "TJ"
_UNSENT = ("tenant_id", "delivered_at")

Payload = dict[str, Any]


def event_payloads(events: pd.DataFrame) -> list[Payload]:
    """Return what the devices sent for rows of `events`; what a device does not send is left out."""
    payloads = []
    for row in _rows(events, ("ts_device",)):
        if "route_id" in row:
            row = {"bus_id": row.pop("site_id"), "bus_code": BUS_CODE, **row}
        payloads.append(row)
    return payloads


def traffic_payloads(traffic: pd.DataFrame, time_zone: str) -> list[Payload]:
    """Return the road areas' messages; their time is local with the offset, as 2025-12-02T15:21:42+0700."""
    local = traffic["timestamp"].dt.tz_convert(ZoneInfo(time_zone))
    return list(_rows(traffic.assign(timestamp=local.dt.strftime("%Y-%m-%dT%H:%M:%S%z")), ()))


def device_payloads(reports: pd.DataFrame) -> list[Payload]:
    """Return statuses or heartbeats as the devices sent them."""
    return list(_rows(reports, ("ts_device",)))


def to_json(payload: Payload) -> str:
    """Return the text on the wire, without spaces."""
    return json.dumps(payload, separators=(",", ":"))


def _rows(frame: pd.DataFrame, instants: tuple[str, ...]) -> Iterable[Payload]:
    names = [name for name in frame.columns if name not in _UNSENT]
    columns = [_zulu(frame[name]) if name in instants else _plain(frame[name]) for name in names]
    for values in zip(*columns, strict=True):
        yield {name: value for name, value in zip(names, values, strict=True) if value is not None}


def _plain(column: pd.Series[Any]) -> list[Any]:
    return column.astype(object).where(column.notna(), None).tolist()


def _zulu(column: pd.Series[Any]) -> list[Any]:
    utc = column.dt.tz_convert(None).to_numpy().astype("datetime64[s]")
    return [f"{text}Z" for text in np.datetime_as_string(utc, unit="s")]
