"""A run whose process was killed is failed; one that works is left alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance, DagsterRunStatus, SensorResult

from orchestration.sensors import fail_abandoned_runs

pytestmark = pytest.mark.integration
RUN = """
import sys
from dagster import DagsterInstance, asset, materialize
from orchestration.resources import Platform

@asset
def waits(platform: Platform) -> None:
    print("working", flush=True)
    sys.stdin.read()

with DagsterInstance.local_temp(sys.argv[1]) as instance:
    materialize([waits], instance=instance, resources={"platform": Platform(database_url=sys.argv[2])})
"""


def test_a_run_whose_process_was_killed_is_failed_and_one_that_works_is_not(
    database_url: str, tmp_path: Path, tick: Callable[..., Any]
) -> None:
    cursor: str | None = None

    def look() -> DagsterRunStatus:
        nonlocal cursor
        found = tick(fail_abandoned_runs, instance, database_url, cursor)
        assert isinstance(found, SensorResult)
        cursor = found.cursor
        [run] = instance.get_runs()
        return run.status

    command = [sys.executable, "-c", RUN, str(tmp_path), database_url]
    with (
        DagsterInstance.local_temp(str(tmp_path)) as instance,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        assert [look(), look(), look()] == [DagsterRunStatus.STARTED] * 3
        process.kill()
        process.wait()

        assert [look(), look()] == [DagsterRunStatus.STARTED, DagsterRunStatus.FAILURE]
