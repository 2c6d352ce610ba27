"""Whether champions still hold: measured daily, stored, shown, and told where they do not."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetsDefinition,
    MaterializeResult,
    MetadataValue,
    asset,
)

from orchestration.each_tenant import require_everybody, serve_each
from orchestration.keys import ACCURACY, BACKTESTS, DRIFT, FORECAST_TEAM, SERIES
from orchestration.resources import Platform, tenants

if TYPE_CHECKING:
    from forecasting.operation.health import Health

CHECK = "champions_hold"


@asset(
    key=DRIFT,
    deps=[SERIES, BACKTESTS, ACCURACY],
    group_name="forecasting",
    owners=[FORECAST_TEAM],
    kinds={"python", "xgboost", "postgres"},
    check_specs=[
        AssetCheckSpec(
            CHECK,
            asset=DRIFT,
            description=(
                "No champion has drifted over the last week: error against the baseline, coverage of the 80 % band, "
                "CUSUM of the daily residuals, PSI of the features. A warning: a training is asked for, and where the "
                "champion is worse than the baseline the profile speaks meanwhile."
            ),
        )
    ],
    description=(
        "One row per tenant, group of series and measurement: what the champion would have said from every local "
        "midnight of the last week, a day ahead, beside baseline and profile, and what has moved."
    ),
)
def drift(context: AssetExecutionContext, platform: Platform) -> Iterator[MaterializeResult[None]]:
    """Measure every group's champion, and alert where one has drifted."""
    from forecasting.operation.drift_alerts import tell
    from forecasting.operation.health import measure
    from forecasting.operation.panels import read_groups
    from forecasting.operation.predicting import LOOK_BACK

    now, country = datetime.now(UTC), platform.settings().country
    measured: dict[tuple[str, str], Health] = {}

    def measure_all(tenant: str) -> None:
        groups = read_groups(connection, tenant, since=now - LOOK_BACK, until=now, country=country)
        for group, panel in groups.items():
            health = measure(connection, tenant, group, panel, now)
            if health is None:
                context.log.info(f"{tenant}, {group}: no champion, or too few hours to measure it by")
                continue
            measured[tenant, group] = health
            tell(connection, tenant, health.row, now)

    with platform.connection() as connection:
        _, failed = serve_each(context.log, connection, tenants(connection), measure_all)
    yield MaterializeResult(metadata=_metadata(measured), check_results=[_check(measured)])
    require_everybody(failed)


def _metadata(measured: dict[tuple[str, str], "Health"]) -> dict[str, Any]:
    from orchestration.plots import drift_plot

    metadata: dict[str, Any] = {
        "champions": len(measured),
        "drifting": sum(bool(health.row.reasons) for health in measured.values()),
    }
    for (tenant, group), health in measured.items():
        row = health.row
        numbers = {
            "wape": row.wape, "baseline_wape": row.baseline_wape, "profile_wape": row.profile_wape, "bias": row.bias,
            "coverage": row.coverage_80, "cusum": row.cusum, "psi_max": row.psi_max, "psi_share": row.psi_share,
        }  # fmt: skip
        shown = {name: round(value, 4) for name, value in numbers.items() if value is not None and value == value}
        metadata |= {f"{name}_{tenant}_{group}": value for name, value in shown.items()}
        metadata[f"model_version_{tenant}_{group}"] = row.model_version
        metadata[f"plot_{tenant}_{group}"] = MetadataValue.md(drift_plot(health.daily))
        if row.reasons:
            metadata[f"reasons_{tenant}_{group}"] = "; ".join(row.reasons)
    return metadata


def _check(measured: dict[tuple[str, str], "Health"]) -> AssetCheckResult:
    drifting = {
        f"{tenant}, {group}": "; ".join(health.row.reasons)
        for (tenant, group), health in measured.items()
        if health.row.reasons
    }
    return AssetCheckResult(
        check_name=CHECK,
        passed=not drifting,
        severity=AssetCheckSeverity.WARN,
        metadata={"champions": len(measured), **drifting},
    )


ASSETS: list[AssetsDefinition] = [drift]
