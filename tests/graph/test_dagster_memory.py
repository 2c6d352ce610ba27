"""Dagster's own history is forgotten after a while, and only then."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dagster import AssetKey, AssetMaterialization, DagsterRunStatus
from dagster._core.test_utils import create_run_for_test, instance_for_test

from orchestration.history import Forgotten, forget


def test_finished_runs_events_without_a_run_and_old_artefacts_go(tmp_path: Path) -> None:
    old, new = tmp_path / "dbt_models-1234567-aaaaaaa", tmp_path / "dbt_models-7654321-bbbbbbb"
    for folder in (old, new):
        folder.mkdir()
    os.utime(old, (1, 1))
    with instance_for_test() as instance:
        create_run_for_test(instance, status=DagsterRunStatus.SUCCESS)
        running = create_run_for_test(instance, status=DagsterRunStatus.STARTED)
        instance.report_runless_asset_event(AssetMaterialization("hotspots"))
        later = datetime.now(UTC) + timedelta(minutes=1)

        kept = forget(instance, datetime.now(UTC) - timedelta(days=1), tmp_path, dry_run=True)
        foretold = forget(instance, later, tmp_path, dry_run=True)
        forgotten = forget(instance, later, tmp_path, dry_run=False)
        again = forget(instance, later, tmp_path, dry_run=False)

        assert kept == Forgotten(0, 0, 1)
        assert (foretold.runs, foretold.loose_events) == (1, 1)
        assert (forgotten.runs, forgotten.loose_events) == (1, 1)
        assert (again.runs, again.loose_events) == (0, 0)
        assert [run.run_id for run in instance.get_runs()] == [running.run_id]
        # What an asset last said is remembered with the asset.
        assert instance.get_latest_materialization_event(AssetKey("hotspots")) is not None
