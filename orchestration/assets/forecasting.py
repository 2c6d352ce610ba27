"""From the hourly series to a week of predictions: panel → model → backtest → predictions."""

from collections.abc import Iterator
from dataclasses import dataclass
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
from orchestration.resources import Platform, tenants

GROUP = "forecasting"
# Stale after a week and a day, so that the weekly training is what normally renews it.
_STALE_AFTER_DAYS = 8.0


class TrainingConfig(Config):
    """When to train."""

    only_if_stale: bool = Field(False, description="Train only tenants without a champion, or with an old one.")
    stale_after_days: float = Field(
        _STALE_AFTER_DAYS, gt=0, description="A champion is old when its training data end longer ago than this."
    )


@dataclass(frozen=True)
class Trained:
    """What a training made, by `tenant/group`: versions that await their trial, and whose training failed."""

    versions: dict[str, str]
    failed: list[str]


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
            tenants(connection),
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
) -> Output[Trained]:
    """Train a challenger for each group of series that needs one; `backtests` tells of those that failed."""
    from forecasting.operation.training import needs_training, train_challenger

    now, max_age = datetime.now(UTC), timedelta(days=config.stale_after_days)
    groups = _groups(panels)
    metadata: dict[str, Any] = {"tenants": len(panels)}

    def train(name: str) -> str | None:
        tenant, group, panel = groups[name]
        if config.only_if_stale and not needs_training(connection, tenant, group, now, max_age):
            context.log.info(f"{name}: the champion is fresh, nothing to train")
            return None
        version, model, awaits_trial = train_challenger(connection, tenant, group, panel)
        context.log.info(f"{name}: model {version}{'' if awaits_trial else ', which was judged already'}")
        metadata.update(model_metadata(tenant, group, version, model.metadata))
        return version if awaits_trial else None

    with platform.connection() as connection:
        trained, failed = serve_each(context.log, connection, groups, train)
    versions = {name: version for name, version in trained.items() if version}
    return Output(Trained(versions, failed), metadata=metadata | {"models_trained": len(versions)})


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
    context: AssetExecutionContext, platform: Platform, panels: dict[str, Any], trained: Trained
) -> Iterator[MaterializeResult[None]]:
    """Judge what was just trained, tell how the champions stand, and name whom this training left out."""
    from forecasting.operation.trial import judge
    from forecasting.store import champion_errors

    groups = _groups(panels)
    metadata: dict[str, Any] = {}

    def promoted(name: str) -> bool:
        tenant, group, panel = groups[name]
        trial = judge(connection, tenant, group, panel, trained.versions[name], datetime.now(UTC))
        metadata.update(trial_metadata(tenant, group, trial))
        return trial.decision.promoted

    with platform.connection() as connection:
        judged, failed = serve_each(context.log, connection, trained.versions, promoted)
        standing = champions_table(champion_errors(connection))
    metadata |= {"champions": standing, "models_judged": len(judged), "models_promoted": sum(judged.values())}
    yield MaterializeResult(metadata=metadata)
    unread = [tenant for tenant, theirs in panels.items() if not theirs]
    require_everybody([*unread, *trained.failed, *failed])


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
        scored, failed = serve_each(
            context.log, connection, tenants(connection), lambda tenant: score(connection, tenant, origin, country)
        )
    known = {tenant: result for tenant, result in scored.items() if result is not None}
    for tenant in scored.keys() - known.keys():
        context.log.warning(f"{tenant}: no series has been seen in the last weeks, nothing to predict")
    yield MaterializeResult(metadata=prediction_metadata(origin, known))
    require_everybody(failed)


def _groups(panels: dict[str, dict[str, Any]]) -> dict[str, tuple[str, str, Any]]:
    """`tenant/group` to tenant, group of series, and its panel."""
    return {f"{tenant}/{group}": (tenant, group, panel) for tenant, of in panels.items() for group, panel in of.items()}


ASSETS: list[AssetsDefinition] = [training_panel, models, backtests, occupancy_hourly]
