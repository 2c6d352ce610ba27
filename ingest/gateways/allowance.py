"""How much one client may send: a bound on events a minute, so that one gone mad leaves room for the others."""

from __future__ import annotations

import math
import time

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

_LONGEST_WAIT_S = 60


class Allowance:
    """Counts what clients send, over a sliding minute, in this process's memory.

    Args:
        events_per_minute: of each client; 0 for no bound.
    """

    def __init__(self, events_per_minute: int) -> None:
        self.events_per_minute = events_per_minute
        self._item = RateLimitItemPerMinute(max(1, events_per_minute))
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    def take(self, client: tuple[str, ...], events: int) -> int | None:
        """Take from a client's allowance; None if it had so much, else how long it should wait (s).

        What alone is more than a minute's allowance takes the whole of it. What is refused takes nothing: a list that
        is sent again and again would stand in its own way.
        """
        if not self.events_per_minute:
            return None
        if self._limiter.hit(self._item, *client, cost=min(events, self.events_per_minute)):
            return None
        return self._wait_s(client)

    def look(self, client: tuple[str, ...]) -> int | None:
        """As `take` of one event, and take nothing."""
        if not self.events_per_minute or self._limiter.test(self._item, *client):
            return None
        return self._wait_s(client)

    def _wait_s(self, client: tuple[str, ...]) -> int:
        wait_s = self._limiter.get_window_stats(self._item, *client).reset_time - time.time()
        return min(max(1, math.ceil(wait_s)), _LONGEST_WAIT_S)
