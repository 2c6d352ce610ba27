"""Does Kafka answer, and how many messages wait to be landed? Cheap enough to be asked by every health check."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from plimsoll.broker_probe import speaks_kafka
from plimsoll.contracts.topics import Ends, open_consumer, read_ends

log = logging.getLogger(__name__)


class Broker:
    """Watches one Kafka cluster.

    Args:
        bootstrap_servers: `host:port[,host:port]`.
    """

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        # kafka-python's consumer belongs to one thread.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kafka-lag")
        self._consumer: Any = None

    async def answers(self) -> bool:
        """Whether a broker of the list speaks Kafka within a second or two."""
        servers = self._bootstrap_servers.split(",")
        return any(await asyncio.gather(*(asyncio.to_thread(speaks_kafka, server) for server in servers)))

    async def end_offsets(self, topics: Iterable[str]) -> Ends | None:
        """How far the topics go; None if not to be had."""
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, self._read_ends, set(topics))
        except Exception as error:  # kafka-python raises many kinds; a health check must survive all of them
            log.warning("Kafka did not say how far its topics go: %s", error)
            return None

    def _read_ends(self, topics: set[str]) -> Ends:
        if self._consumer is None:
            self._consumer = open_consumer(self._bootstrap_servers)
        return read_ends(self._consumer, topics)

    async def close(self) -> None:
        """Let go of the connection."""
        if self._consumer is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._consumer.close)
        self._thread.shutdown(wait=False, cancel_futures=True)
