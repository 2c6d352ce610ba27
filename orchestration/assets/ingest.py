"""From Kafka to the raw tables. The lander does it, all the time and outside Dagster; here it is watched."""

from collections.abc import Iterator, Sequence

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    AssetSpec,
    MetadataValue,
    ObserveResult,
    TableColumn,
    TableSchema,
    multi_observable_source_asset,
)

from orchestration.keys import PLATFORM_TEAM, raw_key, topic_key
from orchestration.resources import Platform
from orchestration.streams import StreamState, ends_if_known, stream_state
from plimsoll.contracts import Contract
from plimsoll.contracts.ddl import LANDING_COLUMNS

GROUP = "ingest"


def topic_specs(contracts: Sequence[Contract]) -> list[AssetSpec]:
    """The Kafka topics, which nobody runs."""
    return [
        AssetSpec(
            topic_key(contract),
            group_name=GROUP,
            owners=[PLATFORM_TEAM],
            kinds={"kafka"},
            description=(
                f"{contract.description}\n\nThe Kafka topic `{contract.topic}`, filled by the gateways. "
                f"What its contract refuses goes to `{contract.dead_letter_topic}`."
            ),
            metadata={
                "topic": contract.topic,
                "dead_letter_topic": contract.dead_letter_topic,
                "partitions": contract.partitions,
                "key": contract.key,
                "contract": f"{contract.name} {contract.version}",
            },
        )
        for contract in contracts
    ]


def raw_tables(contracts: Sequence[Contract]) -> AssetsDefinition:
    """The raw tables, observed together so that the broker is asked once."""
    by_key = {raw_key(contract): contract for contract in contracts}

    @multi_observable_source_asset(name="observe_raw_tables", specs=[_raw_spec(c) for c in contracts], can_subset=True)  # type: ignore[untyped-decorator]
    def observe_raw_tables(context: AssetExecutionContext, platform: Platform) -> Iterator[ObserveResult]:
        chosen = [by_key[key] for key in sorted(context.selected_asset_keys)]
        ends = ends_if_known(platform.settings().kafka_bootstrap_servers, chosen)
        with platform.connection() as connection:
            for contract in chosen:
                state = stream_state(connection, contract, ends)
                yield ObserveResult(asset_key=raw_key(contract), metadata=_metadata(state))

    made: AssetsDefinition = observe_raw_tables
    return made


def _raw_spec(contract: Contract) -> AssetSpec:
    columns = [TableColumn(f.name, f.physical_type, f.description) for f in contract.fields] + [
        TableColumn(name, definition.split()[0]) for name, definition in LANDING_COLUMNS.items()
    ]
    kept = contract.retention.get(contract.table)
    return AssetSpec(
        raw_key(contract),
        deps=[topic_key(contract)],
        group_name=GROUP,
        owners=[PLATFORM_TEAM],
        kinds={"postgres", "kafka"},
        description=(
            f"{contract.table_description} {contract.description}\n\n"
            "The lander (`plimsoll lander run`) writes it as messages come; Dagster only looks. "
            "The observation says how much landed, how fresh it is and how far the lander is behind Kafka."
        ),
        metadata={
            "dagster/table_name": contract.table,
            "dagster/column_schema": TableSchema(columns=columns),
            "contract": f"{contract.name} {contract.version}",
            **({"retention_days": kept.days} if kept else {}),
        },
    )


def _metadata(state: StreamState) -> dict[str, MetadataValue]:
    metadata: dict[str, MetadataValue] = {
        "rows_last_hour": MetadataValue.int(state.rows_last_hour),
        "rows_last_day": MetadataValue.int(state.rows_last_day),
        "rejected_last_day": MetadataValue.int(state.rejected_last_day),
        "rows_estimated": MetadataValue.int(state.rows_estimated),
        "megabytes_on_disk": MetadataValue.float(round(state.bytes_on_disk / 1e6, 1)),
    }
    if state.newest_event_at:
        metadata["newest_event_at"] = MetadataValue.timestamp(state.newest_event_at)
    if state.newest_landing_at:
        metadata["newest_landing_at"] = MetadataValue.timestamp(state.newest_landing_at)
    if state.rejects:
        metadata["rejected_by_reason"] = MetadataValue.json(state.rejects)
    if state.lag is not None:
        metadata["lag_messages"] = MetadataValue.int(sum(state.lag.values()))
        metadata["lag_by_partition"] = MetadataValue.json({str(number): count for number, count in state.lag.items()})
    return metadata
