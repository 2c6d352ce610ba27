"""Names that several modules share: asset keys, groups, owners. A key is `schema/table`, wherever that is a table."""

from __future__ import annotations

from dagster import AssetKey

from plimsoll.contracts import Contract

PLATFORM_TEAM = "team:data-platform"
FORECAST_TEAM = "team:forecasting"
OPERATIONS_TEAM = "team:operations"

SERIES = AssetKey(["marts", "fct_series_hourly"])
TRAINING_PANEL = AssetKey(["forecast", "training_panel"])
MODELS = AssetKey(["forecast", "models"])
BACKTESTS = AssetKey(["forecast", "backtests"])
DRIFT = AssetKey(["forecast", "drift"])
ACCURACY = AssetKey(["marts", "fct_forecast_accuracy"])
PREDICTIONS = AssetKey(["forecast", "occupancy_hourly"])
HOTSPOTS = AssetKey(["ops", "hotspots"])
RECOMMENDATIONS = AssetKey(["ops", "recommendations"])
ALERTS = AssetKey(["ops", "alerts"])
EVALUATION = AssetKey(["evaluation", "hotspots"])
RETENTION = AssetKey(["ops", "retention_log"])
API = AssetKey(["serving", "api"])


def topic_key(contract: Contract) -> AssetKey:
    """The asset that stands for a contract's Kafka topic."""
    return AssetKey(["kafka", contract.topic])


def raw_key(contract: Contract) -> AssetKey:
    """The asset of a contract's raw table, which is also its dbt source."""
    return AssetKey(list(contract.schema_table))
