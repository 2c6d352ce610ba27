"""What a file of counts says about its sites: their last known capacity, and how long an observation holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from ingest.columns import Plan, Row
from ingest.lander.landing import storable
from plimsoll.contracts import Contract

DEFAULT_HOLD_S = 1_800
MAX_HOLD_S = 6 * 3600


class SiteSurvey:
    """Looks at every row that goes by; memory follows the number of sites."""

    def __init__(self, contract: Contract) -> None:
        fields = {f.name: f.options for f in contract.fields}
        self._longest = fields.get("site_id", {}).get("maxLength", 0)
        self._largest = fields.get("capacity", {}).get("maximum", 0)
        self._capacities: dict[str, int | None] = {}
        self._last_at: dict[str, datetime] = {}
        self._steps_s: Counter[int] = Counter()

    def add(self, rows: Iterable[Row]) -> None:
        """Take rows into account that have a site and a time."""
        capacities, last_at, steps_s = self._capacities, self._last_at, self._steps_s
        for _, at, fields, _ in rows:
            if at is None or not isinstance(fields, dict) or not isinstance(site_id := fields.get("site_id"), str):
                continue
            capacity = fields.get("capacity")
            if isinstance(capacity, int) and 0 < capacity <= self._largest:
                capacities[site_id] = capacity
            before = last_at.get(site_id)
            if before is None:
                capacities.setdefault(site_id, None)
            elif at > before:
                steps_s[min(MAX_HOLD_S, int((at - before).total_seconds()))] += 1
            last_at[site_id] = at

    def hold_s(self) -> int:
        """Twice the usual (median) step between a site's rows, in whole minutes (s)."""
        if not self._steps_s:
            return DEFAULT_HOLD_S
        return min(max(60, round(2 * _median(self._steps_s) / 60) * 60), MAX_HOLD_S)

    def sites(self, plan: Plan, kind: str, hold_s: int | None) -> list[dict[str, Any]]:
        """The sites as rows for the registry; `hold_s` None takes the file's own."""
        return [
            {
                "tenant_id": plan.tenant_id, "site_id": site_id, "name": site_id, "kind": kind, "capacity": capacity,
                "seats": None, "standing": None, "time_zone": plan.time_zone or "UTC", "route_id": None, "lat": None,
                "lon": None, "hold_s": hold_s or self.hold_s(),
            }
            for site_id, capacity in self._capacities.items()
            if len(site_id) <= self._longest and storable(site_id) == site_id  # else the contract refused its rows
        ]  # fmt: skip


def _median(counted: Counter[int]) -> int:
    half, seen = counted.total() / 2, 0
    for value in sorted(counted):
        seen += counted[value]
        if seen >= half:
            return value
    raise ValueError("nothing was counted")
