"""What runs by the clock (UTC). Every schedule declares whether it runs from the start."""

from __future__ import annotations

from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    DefaultScheduleStatus,
    RunRequest,
    RunsFilter,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SkipReason,
    schedule,
)

_UNFINISHED = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
]


@schedule(
    cron_schedule="*/5 * * * *",
    job_name="refresh_marts",
    default_status=DefaultScheduleStatus.RUNNING,
    description="Runs from the start. Every five minutes, unless the last refresh is still under way.",
)
def refresh_marts_every_5_minutes(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
    """Ask for a refresh, but never for a queue of them."""
    return refresh_under_way(context.instance) or RunRequest()


def refresh_under_way(instance: DagsterInstance) -> SkipReason | None:
    """Why no refresh need be asked for now, if so."""
    for job in ("refresh_marts", "build_everything"):
        if instance.get_runs_count(RunsFilter(job_name=job, statuses=_UNFINISHED)):
            return SkipReason(f"{job} is under way, and brings the marts up to date")
    return None


SCHEDULES: list[ScheduleDefinition] = [
    refresh_marts_every_5_minutes,
    ScheduleDefinition(
        name="score_forecasts_hourly",
        cron_schedule="7 * * * *",
        job_name="score_forecasts",
        default_status=DefaultScheduleStatus.RUNNING,
        description="Runs from the start. Seven minutes past, when the marts know the hour that has just ended.",
    ),
    ScheduleDefinition(
        name="measure_drift_daily",
        cron_schedule="50 1 * * *",
        job_name="measure_drift",
        default_status=DefaultScheduleStatus.RUNNING,
        description="Runs from the start. Every night, before a weekly training that wants to know.",
    ),
    ScheduleDefinition(
        name="train_forecasts_weekly",
        cron_schedule="30 2 * * 1",
        job_name="train_forecasts",
        default_status=DefaultScheduleStatus.RUNNING,
        description="Runs from the start. Monday night: the week that ended joins what the model learns from.",
    ),
    ScheduleDefinition(
        name="apply_retention_daily",
        cron_schedule="30 3 * * *",
        job_name="apply_retention",
        default_status=DefaultScheduleStatus.RUNNING,
        description="Runs from the start, and does remove: only what is older than the contracts promise to keep.",
    ),
]
