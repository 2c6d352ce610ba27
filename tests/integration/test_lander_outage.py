"""An outage may last: what a lander does meanwhile must leave nothing behind."""

from __future__ import annotations

import gc
import logging
import uuid

import psycopg
import pytest

from ingest.lander.lander import Lander
from plimsoll.contracts import load_contracts
from plimsoll.settings import PROJECT_DIR
from plimsoll.stack.local import LocalStack
from plimsoll.stack.ports import free_port

pytestmark = pytest.mark.integration
FAILURES = 4


def test_connections_that_fail_do_not_pile_up_in_memory(stack: LocalStack) -> None:
    """The loop runs without garbage collection, and a failed connection is a cycle."""
    contracts = load_contracts(PROJECT_DIR / "data" / "contracts")
    nowhere = f"postgresql://127.0.0.1:{free_port()}/nowhere"
    lander = Lander(nowhere, stack.bootstrap_servers, contracts, group=f"outage-{uuid.uuid4().hex[:8]}")
    alive: list[int] = []

    def count(record: logging.LogRecord) -> bool:
        if "nothing can land because of Postgres" in record.getMessage():
            alive.append(sum(isinstance(one, psycopg.OperationalError) for one in gc.get_objects()))
        if len(alive) == FAILURES:
            lander.stop()
        return True

    log = logging.getLogger(Lander.__module__)
    log.addFilter(count)
    try:
        lander.run()
    finally:
        log.removeFilter(count)

    assert alive[1:] == [alive[1]] * (FAILURES - 1), "the errors in memory at each failure"
