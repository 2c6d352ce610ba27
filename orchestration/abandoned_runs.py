"""Runs whose process is gone: killed, out of memory, or gone with its machine.

Dagster's own launcher cannot tell them from runs that compute. They would hold their place for ever, and keep schedules
waiting for their end. So a run holds a lock in the database for as long as it lives, which ends with its connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from plimsoll.database import connect

_LOCK = 7_305_808  # any constant: the class of the advisory locks on runs
_HOLDS_LOCK = {"plimsoll/holds_lock": "true"}
_ALIVE = [DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]


@contextmanager
def alive(database_url: str, instance: DagsterInstance, run: DagsterRun) -> Iterator[None]:
    """Hold the run's lock, and say on the run that it is held.

    Raises:
        PlimsollError: the database cannot be reached.
    """
    with connect(database_url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock_shared(%s, hashtext(%s))", [_LOCK, run.run_id])
        instance.add_run_tags(run.run_id, _HOLDS_LOCK)
        yield


def abandoned_runs(instance: DagsterInstance, connection: psycopg.Connection) -> dict[str, DagsterRun]:
    """Unfinished runs that held their lock and do no longer, by their ids; `connection` is in autocommit.

    A run that is just ending, or lost its connection to a database that was started again, may be among them: who
    is here twice is gone.
    """
    unfinished = instance.get_runs(RunsFilter(statuses=_ALIVE, tags=_HOLDS_LOCK))
    return {run.run_id: run for run in unfinished if not _is_held(connection, run.run_id)}


def _is_held(connection: psycopg.Connection, run_id: str) -> bool:
    taken = connection.execute("SELECT pg_try_advisory_xact_lock(%s, hashtext(%s))", [_LOCK, run_id]).fetchone()
    return taken != (True,)
