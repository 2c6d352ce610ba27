"""What the asset pages show about training, trial and predictions. Names end in tenant and group where those differ."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dagster import MetadataValue, TableColumn, TableMetadataValue, TableRecord, TableSchema

if TYPE_CHECKING:
    from forecasting.operation.predicting import Scored
    from forecasting.operation.trial import Trial
    from forecasting.store import ChampionErrors, Panel

_CHAMPIONS = TableSchema(
    columns=[
        TableColumn("tenant"),
        TableColumn("group"),
        TableColumn("wape", "float", description="A week ahead, in its trial."),
        TableColumn("baseline_wape", "float", description="Of the four-week mean over the same hours."),
        TableColumn("better_by", description="Than the baseline."),
        TableColumn("coverage", "float", description="Of the 80 % band."),
        TableColumn("model_version"),
        TableColumn("learnt_until", description="UTC."),
    ]
)


def panel_metadata(panels: Sequence[Panel]) -> dict[str, Any]:
    """What there is to learn from."""
    hours = [panel.hours for panel in panels]
    metadata: dict[str, Any] = {
        "groups": len(panels),
        "series": sum(rows["site_id"].nunique() for rows in hours),
        "hours_observed": sum(int((~rows["is_imputed"]).sum()) for rows in hours),
        "hours_imputed": sum(int(rows["is_imputed"].sum()) for rows in hours),
        "calendar_events": sum(len(panel.events.entries) for panel in panels),
    }
    if hours:
        metadata["first_hour"] = MetadataValue.timestamp(min(rows["hour"].min() for rows in hours).to_pydatetime())
        metadata["last_hour"] = MetadataValue.timestamp(max(rows["hour"].max() for rows in hours).to_pydatetime())
    return metadata


def model_metadata(tenant: str, group: str, version: str, trained: dict[str, Any]) -> dict[str, Any]:
    """What was trained, from what, and how it did on weeks that it had not seen."""
    validation = trained.get("validation", {})
    return _named(
        tenant,
        group,
        {
            "model_version": version,
            "trained_from": MetadataValue.timestamp(datetime.fromisoformat(trained["trained_from"])),
            "trained_to": MetadataValue.timestamp(datetime.fromisoformat(trained["trained_to"])),
            "series": trained["sites"],
            "training_rows": trained["training_rows"],
            **{f"validation_{name}": value for name, value in validation.items()},
        },
    )


def trial_metadata(tenant: str, group: str, trial: Trial) -> dict[str, Any]:
    """The decision with every number that it rests on, and pictures of both."""
    from forecasting.plain import plain
    from orchestration.plots import backtest_plot, gain_plot

    numbers = trial.decision.numbers
    metadata: dict[str, Any] = {
        "model_version": trial.model_version,
        "promoted": trial.decision.promoted,
        "decision": trial.decision.reason,
        "decision_numbers": MetadataValue.json(plain(numbers)),
    }
    if "segments" in numbers:
        metadata["gain_plot"] = MetadataValue.md(gain_plot(numbers))
        metadata |= {name: _rounded(numbers[name]) for name in ("gain", "gain_low", "gain_high", "champion_wape")}
    if trial.summary is None or trial.window_from is None or trial.window_to is None:
        return _named(tenant, group, metadata)
    metadata["plot"] = MetadataValue.md(backtest_plot(trial.summary))
    for row in trial.summary.to_dict("records"):
        if row["method"] == "champion":
            metadata |= {name: _rounded(row[name]) for name in ("wape", "mase", "bias", "coverage")}
        else:
            metadata[f"wape_{row['method']}"] = _rounded(row["wape"])
    metadata |= {
        "origins": trial.origins,
        "window_from": MetadataValue.timestamp(trial.window_from),
        "window_to": MetadataValue.timestamp(trial.window_to),
    }
    return _named(tenant, group, metadata)


def champions_table(champions: Sequence[ChampionErrors]) -> TableMetadataValue:
    """Every champion with the errors of its trial."""
    return MetadataValue.table([_champion(one) for one in champions], schema=_CHAMPIONS)


def _champion(one: ChampionErrors) -> TableRecord:
    better = 1 - one.wape / one.baseline_wape if one.wape is not None and one.baseline_wape else None
    return TableRecord(
        {
            "tenant": one.tenant_id,
            "group": one.series_group,
            "wape": None if one.wape is None else _rounded(one.wape),
            "baseline_wape": None if one.baseline_wape is None else _rounded(one.baseline_wape),
            "better_by": "" if better is None else f"{better:.1%}",
            "coverage": None if one.coverage_80 is None else _rounded(one.coverage_80),
            "model_version": one.model_version,
            "learnt_until": f"{one.trained_to:%Y-%m-%d %H:%M}",
        }
    )


def prediction_metadata(origin: datetime, known: dict[str, Scored]) -> dict[str, Any]:
    """What was predicted, by whom, and a picture of the busiest series."""
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
        metadata[f"plot_{tenant}"] = MetadataValue.md(forecast_plot(result.predictions, result.recent))
        for group, version in result.speakers.items():
            metadata |= _named(tenant, group, {"model": version})
        for group, why in result.fallbacks.items():
            metadata |= _named(tenant, group, {"fallback": why})
    return metadata


def _named(tenant: str, group: str, values: dict[str, Any]) -> dict[str, Any]:
    return {f"{name}_{tenant}_{group}": value for name, value in values.items()}


def _rounded(measure: float) -> float:
    return round(float(measure), 4)
