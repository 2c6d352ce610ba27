"""From the hourly series to a week of predictions: panel → model → backtest → predictions."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from dagster import (
    AssetExecutionContext,
    AssetIn,
    AssetsDefinition,
    Config,
    FreshnessPolicy,
    MaterializeResult,
    MetadataValue,
    Output,
    asset,
)
from pydantic import Field

from orchestration.keys import BACKTESTS, FORECAST_TEAM, MODELS, PREDICTIONS, SERIES, TRAINING_PANEL
from orchestration.resources import Platform, tenants

if TYPE_CHECKING:
    from forecasting.store import Panel
    from orchestration.forecasts import Backtest, Scored

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
        "What models learn from: every tenant's hourly series (venues, areas, routes by direction), complete hours "
        "only. A snapshot, so that training and backtest see the very same rows."
    ),
)
def training_panel(platform: Platform) -> Output[dict[str, Any]]:
    """Read every tenant's panel."""
    from forecasting.store import read_panel
    from orchestration.forecasts import this_hour

    with platform.connection() as connection:
        panels = {tenant: read_panel(connection, tenant, until=this_hour()) for tenant in tenants(connection)}
    panels = {tenant: panel for tenant, panel in panels.items() if len(panel.hours)}
    return Output(panels, metadata=_panel_metadata(panels))


@asset(
    key=MODELS,
    ins={"panels": AssetIn(TRAINING_PANEL)},
    group_name=GROUP,
    owners=[FORECAST_TEAM],
    kinds={"python", "xgboost"},
    description=(
        "One row per tenant and model version: a weekly profile and one gradient-boosted model on what it leaves, with "
        "a calibrated 80 % band. A new version enters as challenger; the backtest decides what becomes of it."
    ),
)
def models(
    context: AssetExecutionContext, platform: Platform, config: TrainingConfig, panels: dict[str, Any]
) -> Output[dict[str, str]]:
    """Train a challenger for each tenant that needs one."""
    from orchestration.forecasts import needs_training, train_challenger

    now, max_age = datetime.now(UTC), timedelta(days=config.stale_after_days)
    trained: dict[str, str] = {}
    metadata: dict[str, Any] = {"tenants": len(panels)}
    with platform.connection() as connection:
        for tenant, panel in panels.items():
            if config.only_if_stale and not needs_training(connection, tenant, now, max_age):
                context.log.info(f"{tenant}: the champion is fresh, nothing to train")
                continue
            version, model, is_new = train_challenger(connection, tenant, panel)
            context.log.info(f"{tenant}: model {version}{'' if is_new else ', which is registered already'}")
            metadata |= _model_metadata(version, model.metadata)
            if is_new:
                trained[tenant] = version
    return Output(trained, metadata=metadata | {"models_trained": len(trained)})


@asset(
    key=BACKTESTS,
    ins={"panels": AssetIn(TRAINING_PANEL), "trained": AssetIn(MODELS)},
    group_name=GROUP,
    owners=[FORECAST_TEAM],
    kinds={"python", "xgboost"},
    description=(
        "One row per model version, method and horizon: errors over rolling origins a week ahead, with the model "
        "trained on what was known then, beside three baselines. Promotes the new model where it is the first, "
        "clearly better than the champion, or as good as one that has grown old."
    ),
)
def backtests(platform: Platform, panels: dict[str, Any], trained: dict[str, str]) -> MaterializeResult[None]:
    """Judge what was just trained."""
    from orchestration.forecasts import judge

    metadata: dict[str, Any] = {"models_judged": len(trained), "models_promoted": 0}
    with platform.connection() as connection:
        for tenant, version in trained.items():
            result = judge(connection, tenant, panels[tenant], version, datetime.now(UTC))
            metadata["models_promoted"] += result.decision.promoted
            metadata |= _backtest_metadata(result)
    return MaterializeResult(metadata=metadata)


@asset(
    key=PREDICTIONS,
    deps=[SERIES, BACKTESTS],
    group_name=GROUP,
    owners=[FORECAST_TEAM],
    kinds={"python", "xgboost", "postgres"},
    freshness_policy=FreshnessPolicy.time_window(fail_window=timedelta(hours=3), warn_window=timedelta(hours=1.5)),
    description=(
        "One row per series, target hour, origin and model version: the next 168 hours with an 80 % band, append-only. "
        "The champion speaks; where there is none, or too old a one, the weekly profile does and `method` says so."
    ),
)
def occupancy_hourly(context: AssetExecutionContext, platform: Platform) -> MaterializeResult[None]:
    """Predict every tenant's series from the present hour on."""
    from orchestration.forecasts import score, this_hour

    origin = this_hour()
    with platform.connection() as connection:
        scored = {tenant: score(connection, tenant, origin) for tenant in tenants(connection)}
    known = {tenant: result for tenant, result in scored.items() if result is not None}
    for tenant in scored.keys() - known.keys():
        context.log.warning(f"{tenant}: no series has been seen in the last weeks, nothing to predict")
    return MaterializeResult(metadata=_prediction_metadata(origin, known))


def _panel_metadata(panels: dict[str, "Panel"]) -> dict[str, Any]:
    hours = [panel.hours for panel in panels.values()]
    metadata: dict[str, Any] = {
        "tenants": len(panels),
        "series": sum(rows["site_id"].nunique() for rows in hours),
        "hours_observed": sum(int((~rows["is_imputed"]).sum()) for rows in hours),
        "hours_imputed": sum(int(rows["is_imputed"].sum()) for rows in hours),
    }
    if hours:
        metadata["first_hour"] = MetadataValue.timestamp(min(rows["hour"].min() for rows in hours).to_pydatetime())
        metadata["last_hour"] = MetadataValue.timestamp(max(rows["hour"].max() for rows in hours).to_pydatetime())
    return metadata


def _model_metadata(version: str, trained: dict[str, Any]) -> dict[str, Any]:
    validation = trained.get("validation", {})
    return {
        "model_version": version,
        "trained_from": MetadataValue.timestamp(datetime.fromisoformat(trained["trained_from"])),
        "trained_to": MetadataValue.timestamp(datetime.fromisoformat(trained["trained_to"])),
        "series": trained["sites"],
        "training_rows": trained["training_rows"],
        **{f"validation_{name}": value for name, value in validation.items()},
    }


def _backtest_metadata(result: "Backtest") -> dict[str, Any]:
    from orchestration.plots import backtest_plot

    metadata: dict[str, Any] = {
        "model_version": result.model_version,
        "promoted": result.decision.promoted,
        "decision": result.decision.reason,
    }
    if result.summary is None or result.window_from is None or result.window_to is None:
        return metadata
    metadata["plot"] = MetadataValue.md(backtest_plot(result.summary))
    for row in result.summary.to_dict("records"):
        if row["method"] == "champion":
            metadata |= {name: _rounded(row[name]) for name in ("wape", "mase", "bias", "coverage")}
        else:
            metadata[f"wape_{row['method']}"] = _rounded(row["wape"])
    return metadata | {
        "origins": result.origins,
        "window_from": MetadataValue.timestamp(result.window_from),
        "window_to": MetadataValue.timestamp(result.window_to),
    }


def _rounded(measure: float) -> float:
    return round(float(measure), 4)


def _prediction_metadata(origin: datetime, known: dict[str, "Scored"]) -> dict[str, Any]:
    from orchestration.plots import forecast_plot

    metadata: dict[str, Any] = {
        "origin": MetadataValue.timestamp(origin),
        "tenants": len(known),
        "series": sum(result.predictions["site_id"].nunique() for result in known.values()),
        "rows_added": sum(result.rows_added for result in known.values()),
    }
    for tenant, result in known.items():
        by_method = result.predictions["method"].value_counts()
        metadata[f"methods_{tenant}"] = ", ".join(f"{name} {count:,}" for name, count in by_method.items())
        metadata[f"model_{tenant}"] = result.model_version
        metadata[f"plot_{tenant}"] = MetadataValue.md(forecast_plot(result.predictions, result.recent))
    return metadata


ASSETS: list[AssetsDefinition] = [training_panel, models, backtests, occupancy_hourly]
