"""What runs together, and what starts by itself."""

from __future__ import annotations

import pytest
from dagster import (
    AssetKey,
    DagsterRunStatus,
    DefaultScheduleStatus,
    DefaultSensorStatus,
    Definitions,
    RunRequest,
    build_schedule_context,
)
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.test_utils import create_run_for_test, instance_for_test

from orchestration import keys as names

JOBS = {
    "refresh_marts", "train_forecasts", "score_forecasts", "measure_drift", "detect_hotspots", "evaluate_hotspots",
    "apply_retention",
    "build_everything",
}  # fmt: skip
AUTOMATION = {
    "refresh_marts_every_5_minutes": DefaultScheduleStatus.RUNNING,
    "score_forecasts_hourly": DefaultScheduleStatus.RUNNING,
    "measure_drift_daily": DefaultScheduleStatus.RUNNING,
    "train_forecasts_weekly": DefaultScheduleStatus.RUNNING,
    "apply_retention_daily": DefaultScheduleStatus.RUNNING,
    "watch_hotspots": DefaultSensorStatus.RUNNING,
    "watch_alerts": DefaultSensorStatus.RUNNING,
    "deliver_alerts": DefaultSensorStatus.RUNNING,
    "no_champion": DefaultSensorStatus.RUNNING,
    "retrain_on_drift": DefaultSensorStatus.RUNNING,
    "fail_abandoned_runs": DefaultSensorStatus.RUNNING,
    "alert_on_failure": DefaultSensorStatus.RUNNING,
    "resolve_on_success": DefaultSensorStatus.RUNNING,
    "new_landings": DefaultSensorStatus.STOPPED,
}


def selected(defs: Definitions, job: str) -> set[AssetKey]:
    return set(defs.resolve_job_def(job).asset_layer.selected_asset_keys)


def test_there_are_exactly_the_jobs_that_are_documented(defs: Definitions) -> None:
    assert {job.name for job in defs.resolve_all_job_defs() if not job.name.startswith("__")} == JOBS


def test_every_job_says_what_it_is_for(defs: Definitions) -> None:
    assert [job for job in JOBS if not defs.resolve_job_def(job).description] == []


def test_schedules_and_sensors_start_as_declared_and_say_so(defs: Definitions) -> None:
    repository = defs.get_repository_def()
    automation = [*repository.schedule_defs, *repository.sensor_defs]

    assert {one.name: one.default_status for one in automation} == AUTOMATION
    for one in automation:
        running = AUTOMATION[one.name] in (DefaultScheduleStatus.RUNNING, DefaultSensorStatus.RUNNING)
        assert (one.description or "").startswith("Runs from the start" if running else "Stopped from the start")


def test_a_refresh_builds_every_model_and_touches_no_forecast(defs: Definitions, graph: AssetGraph) -> None:
    chosen = selected(defs, "refresh_marts")

    assert {key for key in graph.get_all_asset_keys() if "dbt" in graph.get(key).kinds} <= chosen
    assert not chosen & {names.TRAINING_PANEL, names.MODELS, names.PREDICTIONS, names.HOTSPOTS, names.RETENTION}


def test_a_refresh_is_one_call_of_dbt_and_the_whole_way_is_cut_where_forecasts_come_between(defs: Definitions) -> None:
    def dbt_steps(job: str) -> int:
        return sum(node.name.startswith("dbt_models") for node in defs.resolve_job_def(job).nodes)

    assert dbt_steps("refresh_marts") == 1
    assert dbt_steps("build_everything") == 3


def test_scoring_predicts_and_refreshes_only_what_shows_predictions(defs: Definitions) -> None:
    chosen = selected(defs, "score_forecasts")

    assert names.PREDICTIONS in chosen
    assert AssetKey(["marts", "fct_forecast_accuracy"]) in chosen
    assert not chosen & {names.MODELS, names.HOTSPOTS, AssetKey(["marts", "fct_occupancy_hourly"])}
    assert AssetKey(["marts", "fct_hotspots"]) not in chosen


def test_the_whole_way_removes_nothing(defs: Definitions) -> None:
    assert names.RETENTION not in selected(defs, "build_everything")


@pytest.mark.parametrize("job", sorted(JOBS))
def test_jobs_run_in_one_process(defs: Definitions, job: str) -> None:
    assert defs.resolve_job_def(job).executor_def.name == "in_process"


@pytest.mark.parametrize("busy", ["refresh_marts", "build_everything"])
def test_no_refresh_is_asked_for_while_one_is_under_way(defs: Definitions, busy: str) -> None:
    schedule = defs.get_repository_def().get_schedule_def("refresh_marts_every_5_minutes")
    with instance_for_test() as instance:
        idle = schedule.evaluate_tick(build_schedule_context(instance))
        create_run_for_test(instance, job_name=busy, status=DagsterRunStatus.STARTED)
        occupied = schedule.evaluate_tick(build_schedule_context(instance))

    assert isinstance((idle.run_requests or [None])[0], RunRequest)
    assert not occupied.run_requests
    assert busy in (occupied.skip_message or "")
