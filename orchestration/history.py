"""Dagster's own memory: runs, events and logs, which grow without bound unless somebody forgets them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._core.storage.event_log import SqlEventLogStorage, SqlEventLogStorageTable
from sqlalchemy import delete, func, select

_FINISHED = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
_AT_ONCE = 500


@dataclass(frozen=True)
class Forgotten:
    """How much of Dagster's memory went, or would go."""

    runs: int
    loose_events: int
    dbt_folders: int


def forget(instance: DagsterInstance, before: datetime, dbt_target: Path, *, dry_run: bool) -> Forgotten:
    """Forget finished runs that were last touched before `before`, with their events and output.

    Also the events that belong to no run (sensors report them), and the artefacts of dbt builds that failed.
    """
    return Forgotten(
        _forget_runs(instance, before, dry_run),
        _forget_loose_events(instance, before, dry_run),
        _forget_dbt_folders(dbt_target, before, dry_run),
    )


def _forget_runs(instance: DagsterInstance, before: datetime, dry_run: bool) -> int:
    old = RunsFilter(statuses=_FINISHED, updated_before=before)
    if dry_run:
        return instance.get_runs_count(old)
    count = 0
    while runs := instance.get_runs(old, limit=_AT_ONCE):
        for run in runs:
            instance.compute_log_manager.delete_logs(prefix=[run.run_id])
            instance.delete_run(run.run_id)
        count += len(runs)
    return count


def _forget_loose_events(instance: DagsterInstance, before: datetime, dry_run: bool) -> int:
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return 0
    # Dagster offers to delete a run's events, but none that came without a run.
    table = SqlEventLogStorageTable
    naive_utc = before.replace(tzinfo=None)
    loose = (table.c.run_id == "") & (table.c.timestamp < naive_utc)
    with storage.index_connection() as connection:
        if dry_run:
            return int(connection.execute(select(func.count()).select_from(table).where(loose)).scalar() or 0)
        return int(connection.execute(delete(table).where(loose)).rowcount)


def _forget_dbt_folders(target: Path, before: datetime, dry_run: bool) -> int:
    old = [
        folder
        for folder in (target.glob("dbt_*-*") if target.is_dir() else ())
        if folder.is_dir() and folder.stat().st_mtime < before.timestamp()
    ]
    if not dry_run:
        for folder in old:
            shutil.rmtree(folder, ignore_errors=True)
    return len(old)
