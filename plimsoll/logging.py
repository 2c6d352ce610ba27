"""One log format for every process: `time level name message key=value`, in UTC."""

from __future__ import annotations

import logging
import time


def configure(level: str = "INFO") -> None:
    """Set up the root logger; the libraries that narrate every request are held at WARNING."""
    formatter = logging.Formatter("%(asctime)sZ %(levelname)-7s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("kafka.net.selector").setLevel(logging.ERROR)  # it times its own start-up
    for noisy in ("kafka", "httpx", "uvicorn.access", "asyncio"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
