"""The forecast's tables in PostgreSQL. SQL only: what a model is and which is better is decided elsewhere."""

from forecasting.store.calendar import read_calendar, read_countries
from forecasting.store.drift import DriftRow, drifting_champions, latest_drift, save_drift
from forecasting.store.models import (
    ChampionErrors,
    ModelNotFound,
    StoredModel,
    champion_errors,
    champion_or_none,
    list_models,
    load_champion,
    load_model,
    promote,
    reject,
    rollback,
    save_backtests,
    save_model,
)
from forecasting.store.panel import Panel, read_panel
from forecasting.store.predictions import Prediction, append_predictions, ensure_partitions, latest_predictions

__all__ = [
    "ChampionErrors",
    "DriftRow",
    "ModelNotFound",
    "Panel",
    "Prediction",
    "StoredModel",
    "append_predictions",
    "champion_errors",
    "champion_or_none",
    "drifting_champions",
    "ensure_partitions",
    "latest_drift",
    "latest_predictions",
    "list_models",
    "load_champion",
    "load_model",
    "promote",
    "read_calendar",
    "read_countries",
    "read_panel",
    "reject",
    "rollback",
    "save_backtests",
    "save_drift",
    "save_model",
]
