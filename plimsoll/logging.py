"""One log format for every process, times in UTC: `2026-01-15T12:34:56Z INFO    name message`."""

from __future__ import annotations

import logging
import time


def configure(level: str = "INFO") -> None:
    """Set up the root logger; the libraries that narrate every request are held at WARNING.

    The Kafka client tells of every attempt to connect, ten a second; who uses it says what is wrong.
    """
    formatter = logging.Formatter("%(asctime)sZ %(levelname)-7s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    if root.level > logging.DEBUG:
        logging.getLogger("kafka").setLevel(logging.CRITICAL)
    for noisy in ("httpx", "uvicorn.access", "asyncio"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
