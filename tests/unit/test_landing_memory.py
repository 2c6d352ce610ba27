"""The landing loops run without garbage collection, so a batch must not be part of a cycle."""

from __future__ import annotations

import gc
import weakref
from datetime import UTC, datetime

from ingest.lander.landing import Landing, Message
from plimsoll.contracts import load_contracts
from plimsoll.settings import PROJECT_DIR


def test_a_batch_with_rejects_is_freed_without_garbage_collection() -> None:
    landing = Landing(load_contracts(PROJECT_DIR / "data" / "contracts"))
    values = [b"{", b"[]", b'{"site_id":1}', b'{"site_id":"a","ts_device":"2026-01-01T00:00:00Z","x":1}', b"", None,
              b'{"site_id":"a","occupancy":1,"ts_device":"2090-01-01T00:00:00Z"}', b"[" * 100_000]  # fmt: skip
    gc.collect()
    gc.disable()
    try:
        batch = landing.decode(
            Message("occupancy.events", 0, offset, datetime.now(UTC), None, value)
            for offset, value in enumerate(values)
        )
        assert len(batch.rejects) == len(values)
        gone = weakref.ref(batch)
        del batch
        assert gone() is None
    finally:
        gc.enable()
