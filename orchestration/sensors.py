"""What runs because something happened. Every sensor declares whether it runs from the start."""

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from dagster import (
    AssetMaterialization,
    DagsterRunStatus,
    DefaultSensorStatus,
    RunFailureSensorContext,
    RunRequest,
    RunStatusSensorContext,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    run_failure_sensor,
    run_status_sensor,
    sensor,
)

from orchestration.abandoned_runs import abandoned_runs
from orchestration.each_tenant import require_everybody
from orchestration.jobs import ONLY_STALE
from orchestration.keys import ALERTS, HOTSPOTS, RECOMMENDATIONS
from orchestration.resources import Platform
from orchestration.schedules import refresh_under_way

SYSTEM_ERROR = "system_error"
DAGSTER = "dagster"
# A tenant whose training fails or has too little data is not asked for more often than this.
_TRAINING_RETRY = timedelta(hours=6)
# What was measured longer ago, nobody trains for.
_DRIFT_COUNTS = timedelta(days=2)


@sensor(
    name="watch_hotspots",
    minimum_interval_seconds=60,
    default_status=DefaultSensorStatus.RUNNING,
    description=(
        "Runs from the start. Every minute it finds hotspots and proposes actions itself, in seconds even for "
        "thousands of sites: a run of its own would take longer to start than to work."
    ),
)
def watch_hotspots(context: SensorEvaluationContext, platform: Platform) -> SensorResult:
    """Do the minute's round and report it to the asset graph."""
    from orchestration.operations import recommend_everywhere, watch_everywhere

    with platform.connection() as connection:
        watched, unwatched = watch_everywhere(context.log, connection)
        recommended, unadvised = recommend_everywhere(context.log, connection)
    require_everybody([*unwatched, *unadvised])
    return SensorResult(
        skip_reason=SkipReason(f"{watched.open} hotspots open, {recommended.open} recommendations; no run is needed"),
        asset_events=[
            AssetMaterialization(HOTSPOTS, metadata=asdict(watched)),
            AssetMaterialization(RECOMMENDATIONS, metadata=asdict(recommended)),
        ],
    )


@sensor(
    name="watch_alerts",
    minimum_interval_seconds=60,
    default_status=DefaultSensorStatus.RUNNING,
    description=(
        "Runs from the start. Every minute it looks for high occupancy, silent devices and late data, and records "
        "alerts with hysteresis and cool-down."
    ),
)
def watch_alerts(context: SensorEvaluationContext, platform: Platform) -> SensorResult:
    """Do the minute's round and report it to the asset graph."""
    from orchestration.operations import alert_everywhere

    with platform.connection() as connection:
        alerted, failed = alert_everywhere(context.log, connection, platform.settings())
    require_everybody(failed)
    return SensorResult(
        skip_reason=SkipReason(f"{alerted.open} alerts open; no run is needed"),
        asset_events=[AssetMaterialization(ALERTS, metadata=asdict(alerted))],
    )


@sensor(
    name="deliver_alerts",
    minimum_interval_seconds=30,
    default_status=DefaultSensorStatus.RUNNING,
    description=(
        "Runs from the start. Tells people about alerts: in the log, and on the channels that PLIMSOLL_ALERT_CHANNELS "
        "names. What fails is tried again with growing pauses and given up after the eighth time."
    ),
)
def deliver_alerts(platform: Platform) -> SkipReason:
    """Send what is due."""
    from forecasting.alerts.channels import channels
    from forecasting.alerts.delivery import deliver
    from plimsoll.database import connect

    settings = platform.settings()
    ways = channels(settings.alert_channels.get_secret_value())
    with connect(settings.require_database_url(), autocommit=True) as connection:
        done = deliver(connection, ways)
    return SkipReason(f"{done.delivered} messages delivered, {done.failed} to try again, {done.given_up} given up")


@sensor(
    name="new_landings",
    job_name="refresh_marts",
    minimum_interval_seconds=60,
    default_status=DefaultSensorStatus.STOPPED,
    description=(
        "Stopped from the start. Asks for a refresh within a minute of new rows instead of every five minutes; switch "
        "it on where fresher marts are worth the processor time."
    ),
)
def new_landings(context: SensorEvaluationContext, platform: Platform) -> SensorResult | SkipReason:
    """Ask for a refresh when the lander's ledger has moved, but never for a queue of them."""
    from orchestration.streams import ledger

    with platform.connection() as connection:
        cursor = json.dumps(ledger(connection), sort_keys=True)
    if cursor == context.cursor:
        return SkipReason("nothing has landed since the last look")
    return refresh_under_way(context.instance) or SensorResult(run_requests=[RunRequest()], cursor=cursor)


@sensor(
    name="no_champion",
    job_name="train_forecasts",
    minimum_interval_seconds=600,
    default_status=DefaultSensorStatus.RUNNING,
    description="Runs from the start. Asks for a training when a tenant has series but no champion to speak for them.",
)
def no_champion(context: SensorEvaluationContext, platform: Platform) -> SensorResult | SkipReason:
    """Ask for a training where there is something to learn from and nobody has."""
    from forecasting.operation.training import waiting_tenants

    now = datetime.now(UTC)
    with platform.connection() as connection:
        waiting = waiting_tenants(connection, now)
    if not waiting:
        return SkipReason("every group of series has a champion, or there is nothing to learn from yet")
    retry = int(now.timestamp() // _TRAINING_RETRY.total_seconds())
    # Whoever has a fresh champion is not trained again every few hours because another's training keeps failing.
    request = RunRequest(run_key=f"{','.join(waiting)}@{retry}", run_config=ONLY_STALE)
    return SensorResult(run_requests=[request])


@sensor(
    name="retrain_on_drift",
    job_name="train_forecasts",
    minimum_interval_seconds=600,
    default_status=DefaultSensorStatus.RUNNING,
    description="Runs from the start. Asks for a training when a champion was found drifting, once per measurement.",
)
def retrain_on_drift(context: SensorEvaluationContext, platform: Platform) -> SensorResult | SkipReason:
    """Ask for a training where the newest measurement of a champion gives reasons."""
    from forecasting.store import drifting_champions

    with platform.connection() as connection:
        drifting = drifting_champions(connection, since=datetime.now(UTC) - _DRIFT_COUNTS)
    if not drifting:
        return SkipReason("no champion has drifted")
    # One run measures all champions, so the day names the measurement, whoever of them is left after a training.
    newest = max(one.rpartition("@")[2] for one in drifting)
    return SensorResult(run_requests=[RunRequest(run_key=f"drift@{newest}")])


@sensor(
    name="fail_abandoned_runs",
    minimum_interval_seconds=60,
    default_status=DefaultSensorStatus.RUNNING,
    description=(
        "Runs from the start. Within two minutes it takes runs whose process is gone (killed, out of memory, machine "
        "off) for failed: schedules would wait for their end for ever."
    ),
)
def fail_abandoned_runs(context: SensorEvaluationContext, platform: Platform) -> SensorResult:
    """Fail the runs that were found abandoned in the look before, and still are."""
    suspected = set(json.loads(context.cursor or "[]"))
    with platform.connection() as connection:
        gone = abandoned_runs(context.instance, connection)
    still_gone = suspected & gone.keys()
    for run_id in still_gone:
        context.instance.report_run_failed(gone[run_id], "The run's process is gone: killed, or with its machine.")
    return SensorResult(
        skip_reason=SkipReason(f"{len(still_gone)} abandoned runs failed; no run is needed"),
        cursor=json.dumps(sorted(gone.keys() - suspected)),
    )


@run_failure_sensor(
    name="alert_on_failure",
    minimum_interval_seconds=30,
    monitor_all_code_locations=True,  # runs from the shell too
    default_status=DefaultSensorStatus.RUNNING,
    description="Runs from the start. A failed run of any job opens an alert in ops.alerts, or keeps it open.",
)
def alert_on_failure(context: RunFailureSensorContext, platform: Platform) -> None:
    """Open an alert about the job."""
    from forecasting.alerts import Condition, raise_alert

    run = context.dagster_run
    steps = [event.step_key for event in context.get_step_failure_events() if event.step_key]
    message = f"The job {run.job_name} failed{' in ' + ', '.join(steps) if steps else ''}."
    evidence = {"run_id": run.run_id, "steps": steps, "error": context.failure_event.message}
    failure = Condition(SYSTEM_ERROR, "system", run.job_name, message, "high", evidence)
    with platform.connection() as connection:
        raise_alert(connection, platform.settings().default_tenant, failure, datetime.now(UTC), actor=DAGSTER)


@run_status_sensor(
    name="resolve_on_success",
    run_status=DagsterRunStatus.SUCCESS,
    minimum_interval_seconds=30,
    monitor_all_code_locations=True,  # runs from the shell too
    default_status=DefaultSensorStatus.RUNNING,
    description="Runs from the start. A job that succeeds again resolves its alert.",
)
def resolve_on_success(context: RunStatusSensorContext, platform: Platform) -> None:
    """Resolve the job's alert, if there is one."""
    from forecasting.alerts import resolve_alert

    run = context.dagster_run
    with platform.connection() as connection:
        resolve_alert(
            connection,
            platform.settings().default_tenant,
            f"{SYSTEM_ERROR}|system|{run.job_name}",
            f"Run {run.run_id} succeeded.",
            datetime.now(UTC),
            actor=DAGSTER,
        )


SENSORS: list[SensorDefinition] = [
    watch_hotspots,
    watch_alerts,
    deliver_alerts,
    new_landings,
    no_champion,
    retrain_on_drift,
    fail_abandoned_runs,
    alert_on_failure,
    resolve_on_success,
]
