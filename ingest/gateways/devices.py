"""Which site a device counts for, by the registry; remembered for a minute."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

FindSite = Callable[[str, str], Awaitable[str | None]]
"""(tenant_id, device_id) to the site it is assigned to now, or None."""
TTL_S = 60.0
MAX_REMEMBERED = 100_000

SITE_OF_DEVICE = """
    SELECT site_id FROM registry.devices
    WHERE tenant_id = %s AND device_id = %s AND valid_from <= now() AND now() < valid_to
"""


class DeviceSites:
    """A small cache before the registry, so that a device at 1 Hz does not cost a query each time."""

    def __init__(self, find: FindSite) -> None:
        self._find = find
        self._known: dict[tuple[str, str], tuple[float, str | None]] = {}

    async def site_of(self, tenant_id: str, device_id: str) -> str | None:
        """The site that the device is assigned to; None if the registry does not know."""
        key = (tenant_id, device_id)
        known = self._known.get(key)
        if known and known[0] > time.monotonic():
            return known[1]
        site_id = await self._find(tenant_id, device_id)
        if len(self._known) >= MAX_REMEMBERED:
            self._known.clear()
        self._known[key] = (time.monotonic() + TTL_S, site_id)
        return site_id
