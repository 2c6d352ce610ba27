"""The code location, `orchestration.definitions`. Nothing is read or connected before Dagster loads it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from dagster import BetaWarning, Definitions, definitions, in_process_executor

from plimsoll.settings import Settings

# Observing several sources at once is what Dagster calls beta; its version is pinned, so nobody need be told each time.
warnings.filterwarnings("ignore", category=BetaWarning)


@definitions
def defs() -> Definitions:
    """The platform as this installation's settings describe it."""
    return build_defs()


def build_defs(resources: Mapping[str, Any] | None = None, settings: Settings | None = None) -> Definitions:
    """Fresh definitions.

    Args:
        resources: put in the place of resources of the same name, such as `platform`.
        settings: where contracts and dbt project are; by default the environment's.

    Raises:
        PlimsollError: a contract or the dbt project cannot be read.
    """
    from orchestration.assets import (
        drift,
        evaluation,
        forecasting,
        ingest,
        maintenance,
        recommendations,
        transform,
    )
    from orchestration.checks import raw_checks
    from orchestration.dbt import Dbt, load_manifest
    from orchestration.jobs import jobs
    from orchestration.resources import Platform
    from orchestration.schedules import SCHEDULES
    from orchestration.sensors import SENSORS
    from plimsoll.contracts import load_contracts

    settings = settings or Settings.load()
    contracts = list(load_contracts(settings.contracts_dir).values())
    manifest = load_manifest(settings)
    raw = ingest.raw_tables(contracts)
    computed = [
        raw,
        transform.dbt_models(manifest),
        *forecasting.ASSETS,
        *drift.ASSETS,
        *recommendations.ASSETS,
        evaluation.hotspot_evaluation,
        maintenance.retention(contracts),
    ]
    present = {key for one in computed for key in one.keys}
    return Definitions(
        assets=[
            *ingest.topic_specs(contracts),
            *transform.source_specs(manifest, present, contracts),
            *computed,
            recommendations.api_spec(transform.exposed(manifest)),
        ],
        asset_checks=raw_checks(contracts),
        jobs=jobs(contracts),
        schedules=SCHEDULES,
        sensors=SENSORS,
        resources={
            "platform": Platform(database_url=None),
            "dbt": Dbt.of(settings),
            **(resources or {}),
        },
        executor=in_process_executor,
    )
