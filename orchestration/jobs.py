"""What is run together. Every job runs its steps in one process: starting one for each step costs seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dagster import AssetSelection, define_asset_job, in_process_executor
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from orchestration.keys import (
    ALERTS,
    BACKTESTS,
    DRIFT,
    EVALUATION,
    HOTSPOTS,
    MODELS,
    PREDICTIONS,
    RECOMMENDATIONS,
    RETENTION,
    TRAINING_PANEL,
    raw_key,
)
from plimsoll.contracts import Contract

_DBT = AssetSelection.kind("dbt")
# Run configuration: who has a fresh champion is not trained.
ONLY_STALE = {"ops": {"forecast__models": {"config": {"only_if_stale": True}}}}
_TRAINING = AssetSelection.assets(TRAINING_PANEL, MODELS, BACKTESTS)


def jobs(contracts: Sequence[Contract]) -> list[UnresolvedAssetJobDefinition]:
    """Every job, named by what it does."""
    # Only what Dagster observes itself can be run; topics and live tables are there to be seen.
    raw = AssetSelection.assets(*(raw_key(contract) for contract in contracts))
    return [
        _job(
            "refresh_marts",
            raw | _DBT,
            "Look at the raw tables, check what landed, and bring every mart up to date with it. Cost follows what is "
            "new. A critical check that fails holds the marts back as they were.",
        ),
        _job(
            "train_forecasts",
            _TRAINING,
            "Train a new model, backtest it against baselines and champion, and promote it where it earned it.",
        ),
        _job(
            "score_forecasts",
            AssetSelection.assets(PREDICTIONS) | _forecast_marts(),
            "Predict the next 168 hours of every series with the champion, and score past predictions.",
        ),
        _job(
            "measure_drift",
            AssetSelection.assets(DRIFT),
            "Measure how the champions would have done over the last week, store it, and alert where one has drifted.",
        ),
        _job(
            "detect_hotspots",
            AssetSelection.assets(HOTSPOTS, RECOMMENDATIONS, ALERTS),
            "Find what is too full now or will be, propose what to do, and alert. The sensors watch_hotspots and "
            "watch_alerts do the same every minute without a run; this job is for doing it by hand.",
        ),
        _job(
            "evaluate_hotspots",
            AssetSelection.assets(EVALUATION),
            "Measure hotspots and recommendations on the simulated city, whose truth is known. Takes minutes.",
        ),
        _job(
            "apply_retention",
            AssetSelection.assets(RETENTION),
            "Remove what is older than the contracts promise to keep; `dry_run: true` only reports.",
        ),
        _job(
            "build_everything",
            raw | (AssetSelection.all() - AssetSelection.assets(RETENTION, EVALUATION)),
            "The whole way in one run: raw tables → marts → model (trained only if there is none or it is old) → "
            "predictions → hotspots → recommendations.",
            ONLY_STALE,
        ),
    ]


def _forecast_marts() -> AssetSelection:
    """The dbt models that read predictions, without those that wait for hotspots."""
    after = AssetSelection.assets(PREDICTIONS).downstream() - AssetSelection.assets(HOTSPOTS).downstream()
    return after & _DBT


def _job(
    name: str, selection: AssetSelection, description: str, config: dict[str, Any] | None = None
) -> UnresolvedAssetJobDefinition:
    return define_asset_job(
        name,
        selection,
        description=description,
        config=config,
        executor_def=in_process_executor,
    )
