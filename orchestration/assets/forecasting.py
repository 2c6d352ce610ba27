"""From the hourly series to a week of predictions: panel → model → backtest → predictions."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetIn,
    AssetsDefinition,
    Config,
    FreshnessPolicy,
    MaterializeResult,
    Output,
    asset,
)
from pydantic import Field

from orchestration.each_tenant import require_everybody, serve_each
from orchestration.forecast_metadata import (
    champions_table,
    model_metadata,
    panel_metadata,
    prediction_metadata,
    trial_metadata,
)
from orchestration.keys import BACKTESTS, FORECAST_TEAM, MODELS, PREDICTIONS, SERIES, TRAINING_PANEL
from orchestration.resources import Platform

GROUP = "forecasting"
# Stale after a week and a day, so that the weekly training is what normally renews it.
_STALE_AFTER_DAYS = 8.0


class TrainingConfig(Config):
    """When to train."""

    only_if_stale: bool = Field(False, description="Train only tenants without a champion, or with an old one.")
    stale_after_days: float = Field(
        _STALE_AFTER_DAYS, gt=0, description="A champion is old when its training data end longer ago than this."
    )


@asset(
    key=TRAINING_PANEL,
    deps=[SERIES],
    group_name=GROUP,
    owners=[FORECAST_TEAM],
    kinds={"python", "pandas"},
    description=(
        "What models learn from: every tenant's hourly series by group (venues, areas, routes by direction), complete "
        "hours only, with their calendar. A snapshot, so that training and backtest see the very same rows."
    ),
)
def training_panel(context: AssetExecutionContext, platform: Platform) -> Output[dict[str, Any]]:
    """Read every tenant's panels; a tenant that cannot be read has none, and `backtests` tells at the end."""
    from forecasting.operation.panels import read_groups
    from forecasting.operation.predicting import this_hour

    country = platform.settings().country
    with platform.connection() as connection:
        read, failed = serve_each(
            context.log,
            connection,
            lambda tenant: read_groups(connection, tenant, until=this_hour(), country=country),
        )
    panels = {tenant: groups for tenant, groups in read.items() if groups} | {tenant: {} for tenant in failed}
    return Output(panels, metadata=panel_metadata([panel for groups in panels.values() for panel in groups.values()]))


@asset(
    key=MODELS,
    ins={"panels": AssetIn(TRAINING_PANEL)},
    group_name=GROUP,
    owners=[FORECAST_TEAM],
    kinds={"python", "xgboost"},
    description=(
        "One row per tenant, group of series and model version: a weekly profile and a gradient-boosted model on "
        "what it leaves, with a calibrated 80 % band. A new version enters as challenger; the backtest decides what "
        "becomes of it."
    ),
)
def models(
    context: AssetExecutionContext, platform: Platform, config: TrainingConfig, panels: dict[str, Any]
) -> Output[dict[str, dict[str, str]]]:
    """Train a challenger for each group of series that needs one."""
    from forecasting.operation.training import needs_training, train_challenger

    now, max_age = datetime.now(UTC), timedelta(days=config.stale_after_days)
    trained: dict[str, dict[str, str]] = {}
    metadata: dict[str, Any] = {"tenants": len(panels), "models_trained": 0}
    with platform.connection() as connection:
        for tenant, group, panel in _each(panels):
            if config.only_if_stale and not needs_training(connection, tenant, group, now, max_age):
                context.log.info(f"{tenant}, {group}: the champion is fresh, nothing to train")
                continue
            version, model, awaits_trial = train_challenger(connection, tenant, group, panel)
            context.log.info(
                f"{tenant}, {group}: model {version}{'' if awaits_trial else ', which was judged already'}"
            )
            metadata |= model_metadata(tenant, group, version, model.metadata)
            if awaits_trial:
                trained.setdefault(tenant, {})[group] = version
                metadata["models_trained"] += 1
    return Output(trained, metadata=metadata)


@asset(
    key=BACKTESTS,
    ins={"panels": AssetIn(TRAINING_PANEL), "trained": AssetIn(MODELS)},
    group_name=GROUP,
    owners=[FORECAST_TEAM],
    kinds={"python", "xgboost"},
    description=(
        "One row per model version, method and horizon: errors over rolling origins a week ahead, with the model "
        "trained on what was known then, beside three baselines. Promotes the new model where it is the first, "
        "clearly better than the champion, or not clearly worse than one that has grown old or drifts. Shows every "
        "champion with its errors, also when there was nothing to judge."
    ),
)
def backtests(
    platform: Platform, panels: dict[str, Any], trained: dict[str, dict[str, str]]
) -> Iterator[MaterializeResult[None]]:
    """Judge what was just trained, and tell how the champions stand."""
    from forecasting.operation.trial import judge
    from forecasting.store import champion_errors

    metadata: dict[str, Any] = {"models_judged": 0, "models_promoted": 0}
    with platform.connection() as connection:
        for tenant, group, version in _each(trained):
            trial = judge(connection, tenant, group, panels[tenant][group], version, datetime.now(UTC))
            metadata["models_judged"] += 1
            metadata["models_promoted"] += trial.decision.promoted
            metadata |= trial_metadata(tenant, group, trial)
        standing = champions_table(champion_errors(connection))
    yield MaterializeResult(metadata={"champions": standing, **metadata})
    require_everybody(tenant for tenant, groups in panels.items() if not groups)


@asset(
    key=PREDICTIONS,
    deps=[SERIES, BACKTESTS],
    group_name=GROUP,
    owners=[FORECAST_TEAM],
    kinds={"python", "xgboost", "postgres"},
    freshness_policy=FreshnessPolicy.time_window(fail_window=timedelta(hours=3), warn_window=timedelta(hours=1.5)),
    description=(
        "One row per series, target hour, origin and model version: the next 168 hours with an 80 % band, append-only. "
        "Each group's champion speaks; where there is none, too old a one, or one found worse than the baseline, the "
        "weekly profile does, and `model_version` and `method` say so."
    ),
)
def occupancy_hourly(context: AssetExecutionContext, platform: Platform) -> Iterator[MaterializeResult[None]]:
    """Predict every tenant's series from the present hour on."""
    from forecasting.operation.predicting import score, this_hour

    origin, country = this_hour(), platform.settings().country
    with platform.connection() as connection:
        scored, failed = serve_each(context.log, connection, lambda tenant: score(connection, tenant, origin, country))
    known = {tenant: result for tenant, result in scored.items() if result is not None}
    for tenant in scored.keys() - known.keys():
        context.log.warning(f"{tenant}: no series has been seen in the last weeks, nothing to predict")
    yield MaterializeResult(metadata=prediction_metadata(origin, known))
    require_everybody(failed)


def _each(by_tenant: dict[str, dict[str, Any]]) -> Iterator[tuple[str, str, Any]]:
    """Tenant, group of series and what is theirs."""
    for tenant, groups in by_tenant.items():
        for group, one in groups.items():
            yield tenant, group, one


ASSETS: list[AssetsDefinition] = [training_panel, models, backtests, occupancy_hourly]
