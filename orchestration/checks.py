"""Asset checks on the raw tables. dbt's tests become checks by themselves; these come before dbt and hold it back."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from dagster import (
    AssetCheckEvaluation,
    AssetCheckExecutionContext,
    AssetCheckKey,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetCheckSpec,
    DagsterInstance,
    EventLogEntry,
    MetadataValue,
    TimestampMetadataValue,
    asset_check,
    multi_asset_check,
)
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from forecasting.alerts.signals import landed_until
from orchestration.expectations import SAMPLE_ROWS, Finding, Rule, rules, sample, validate
from orchestration.keys import raw_key
from orchestration.resources import Platform
from plimsoll.contracts import Contract

# How far back a check looks that has never passed.
_FIRST_LOOK = timedelta(days=7)
# A batch gets its landing time before it commits, so what the last check saw may have grown behind its back.
_OVERLAP = timedelta(minutes=10)
_CHECKED_UNTIL = "checked_until"


def raw_checks(contracts: Sequence[Contract]) -> list[AssetChecksDefinition]:
    """For each raw table: the expectations of its contract, and whether it still receives anything."""
    return [
        check
        for contract in contracts
        for check in (_expectations(contract), *([_landing(contract)] if contract.freshness else []))
    ]


def _expectations(contract: Contract) -> AssetChecksDefinition:
    asserted = {rule.name: rule for rule in rules(contract)}
    name = contract.schema_table[1]

    @multi_asset_check(
        name=f"expect_{name}",
        specs=[_spec(contract, rule) for rule in asserted.values()],
        can_subset=True,
    )
    def expect(context: AssetCheckExecutionContext, platform: Platform) -> Iterator[AssetCheckResult]:
        chosen = [asserted[key.name] for key in sorted(context.selected_asset_check_keys)]
        now = datetime.now(UTC)
        since = _last_passed(context.instance, contract, chosen) or now - _FIRST_LOOK
        with platform.connection() as connection:
            rows = sample(connection, contract, since - _OVERLAP)
        findings = validate(contract, rows) if len(rows) else []
        for rule in chosen:
            mine = [finding for finding in findings if finding.rule == rule.name]
            yield _result(contract, rule, mine, len(rows), since, now)

    return expect


def _spec(contract: Contract, rule: Rule) -> AssetCheckSpec:
    consequence = (
        "Critical: while it fails no mart is built on this table. Mend or remove the rows, then run again."
        if rule.is_critical
        else "A warning: the marts are built all the same."
    )
    return AssetCheckSpec(
        rule.name,
        asset=raw_key(contract),
        blocking=rule.is_critical,
        description=f"{rule.description} {consequence} Looks at what landed since it last passed, at most the "
        f"{SAMPLE_ROWS:,} newest rows (Great Expectations, from the contract {contract.name}).",
        metadata={"contract": f"{contract.name} {contract.version}"},
    )


def _last_passed(instance: DagsterInstance, contract: Contract, chosen: Sequence[Rule]) -> datetime | None:
    """Until when every chosen rule has passed, so that bad rows stay in sight until mended; None if one never did."""
    reached = []
    for rule in chosen:
        records = instance.event_log_storage.get_asset_check_execution_history(
            AssetCheckKey(raw_key(contract), rule.name),
            limit=1,
            status={AssetCheckExecutionRecordStatus.SUCCEEDED},
        )
        until = _checked_until(records[0].event) if records else None
        if until is None:
            return None
        reached.append(until)
    return min(reached)


def _checked_until(event: EventLogEntry | None) -> datetime | None:
    evaluation = event.dagster_event.event_specific_data if event and event.dagster_event else None
    if not isinstance(evaluation, AssetCheckEvaluation):
        return None
    until = evaluation.metadata.get(_CHECKED_UNTIL)
    return datetime.fromtimestamp(until.value, UTC) if isinstance(until, TimestampMetadataValue) else None


def _result(
    contract: Contract, rule: Rule, findings: Sequence[Finding], rows: int, since: datetime, now: datetime
) -> AssetCheckResult:
    failed = [finding for finding in findings if not finding.passed]
    metadata: dict[str, MetadataValue[Any]] = {
        "rows_checked": MetadataValue.int(rows),
        "rows_failed": MetadataValue.int(sum(finding.rows_failed for finding in findings)),
        "checked_since": MetadataValue.timestamp(since),
        _CHECKED_UNTIL: MetadataValue.timestamp(now),
    }
    if failed:
        metadata["breaches"] = MetadataValue.md(_breaches(failed))
    return AssetCheckResult(
        asset_key=raw_key(contract),
        check_name=rule.name,
        passed=not failed,
        severity=AssetCheckSeverity.ERROR if rule.is_critical else AssetCheckSeverity.WARN,
        metadata=metadata,
    )


def _breaches(failed: Sequence[Finding]) -> str:
    lines = ["| expectation | rows | for example |", "| --- | --- | --- |"]
    lines += [f"| {f.expectation} | {f.rows_failed:,} | {'; '.join(f.examples).replace('|', '/')} |" for f in failed]
    return "\n".join(lines)


def _landing(contract: Contract) -> AssetChecksDefinition:
    allowed = contract.freshness or timedelta()

    @asset_check(
        asset=raw_key(contract),
        name="is_landing",
        description=(
            f"The newest landing from Kafka is at most {allowed} old, as the contract promises. A warning: a city may "
            "be asleep, or a gateway, Kafka or the lander is down."
        ),
    )
    def is_landing(platform: Platform) -> AssetCheckResult:
        with platform.connection() as connection:
            newest = landed_until(connection, [contract.topic]).get(contract.topic)
        age = datetime.now(UTC) - newest if newest else None
        return AssetCheckResult(
            passed=age is not None and age <= allowed,
            severity=AssetCheckSeverity.WARN,
            metadata={
                "allowed_minutes": MetadataValue.float(allowed.total_seconds() / 60),
                **({"age_minutes": MetadataValue.float(round(age.total_seconds() / 60, 1))} if age else {}),
                **({"newest_landing_at": MetadataValue.timestamp(newest)} if newest else {}),
            },
        )

    return is_landing
