"""Housekeeping: what has been kept long enough goes."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    Config,
    MaterializeResult,
    MetadataValue,
    TableColumn,
    TableRecord,
    TableSchema,
    asset,
)
from pydantic import Field

from ingest.retention import Removal, apply_retention
from orchestration.history import forget
from orchestration.keys import PLATFORM_TEAM, RETENTION, raw_key
from orchestration.resources import Platform
from plimsoll.contracts import Contract, load_contracts
from plimsoll.database import connect

_REPORT = TableSchema(
    columns=[
        TableColumn("relation", "string", "Table, or what else was pruned."),
        TableColumn("cut_off", "string", "What is older went (UTC)."),
        TableColumn("rows", "int", "Rows deleted; an estimate for dropped partitions."),
        TableColumn("partitions", "int", "Partitions dropped."),
    ]
)


class RetentionConfig(Config):
    """How the retention runs."""

    dry_run: bool = Field(False, description="Only report what would go; nothing is removed.")
    keep_landing_log_days: int = Field(30, ge=1, description="Days that landing batches and rejects are kept.")
    keep_predictions_days: int = Field(180, ge=1, description="Days that a prediction outlives its hour.")
    keep_decisions_days: int = Field(
        180, ge=29, description="Days that hotspots (four weeks teach), recommendations and alerts outlive their end."
    )
    keep_runs_days: int = Field(30, ge=1, description="Days that Dagster's finished runs and events are kept.")


def retention(contracts: Sequence[Contract]) -> AssetsDefinition:
    """The asset that removes what is older than the contracts promise to keep."""

    @asset(
        key=RETENTION,
        deps=[raw_key(contract) for contract in contracts],
        group_name="maintenance",
        owners=[PLATFORM_TEAM],
        kinds={"postgres"},
        description=(
            "Drops raw day partitions and deletes hourly rows older than the contracts promise (`slaProperties`), "
            "old landing batches, rejects, predictions, hotspots, recommendations and alerts, and Dagster's own old "
            "runs and events. One row per relation and run in `ops.retention_log`. Set `dry_run: true` in the "
            "launchpad to see first."
        ),
    )
    def retention_log(
        context: AssetExecutionContext, platform: Platform, config: RetentionConfig
    ) -> MaterializeResult[None]:
        settings, now = platform.settings(), datetime.now(UTC)
        with connect(settings.require_database_url(), autocommit=True) as connection:
            removals = apply_retention(
                connection,
                load_contracts(settings.contracts_dir).values(),
                now,
                keep_landing_log=timedelta(days=config.keep_landing_log_days),
                keep_predictions=timedelta(days=config.keep_predictions_days),
                keep_decisions=timedelta(days=config.keep_decisions_days),
                dry_run=config.dry_run,
            )
        before = now - timedelta(days=config.keep_runs_days)
        gone = forget(context.instance, before, settings.dbt_project_dir / "target", dry_run=config.dry_run)
        report = [
            *removals,
            Removal("dagster runs", before, gone.runs),
            Removal("dagster events without a run", before, gone.loose_events),
            Removal("dbt artefacts of failed runs", before, gone.dbt_folders),
        ]
        return MaterializeResult(
            metadata={
                "dry_run": config.dry_run,
                "rows_deleted": sum(removal.rows for removal in removals),
                "partitions_dropped": sum(len(removal.partitions) for removal in removals),
                "dagster_runs_deleted": gone.runs,
                "oldest_cut_off": MetadataValue.timestamp(min(removal.cut_off_at for removal in report)),
                "removals": MetadataValue.table([_record(removal) for removal in report], schema=_REPORT),
            }
        )

    return retention_log


def _record(removal: Removal) -> TableRecord:
    return TableRecord(
        {
            "relation": removal.relation,
            "cut_off": f"{removal.cut_off_at:%Y-%m-%d %H:%M}",
            "rows": removal.rows,
            "partitions": len(removal.partitions),
        }
    )
