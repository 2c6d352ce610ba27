"""Alerts about champions that have drifted: one for each tenant and group, resolved when it holds again."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import psycopg

from forecasting.alerts import Condition, raise_alert, resolve_alert

if TYPE_CHECKING:
    from forecasting.store import DriftRow

RULE = "model_drift"


def tell(connection: psycopg.Connection, tenant_id: str, row: DriftRow, now: datetime) -> None:
    """Open the group's alert or keep it open while its champion drifts; else resolve it."""
    about = f"forecasts of group {row.series_group}"
    message = (
        f"The {about} have drifted ({'; '.join(row.reasons)}). A training is asked for; `plimsoll forecast list` "
        "shows what came of it, `plimsoll forecast rollback` goes back to the model before."
    )
    evidence = {"model_version": row.model_version, "wape": row.wape, "baseline_wape": row.baseline_wape,
                "coverage_80": row.coverage_80, "cusum": row.cusum, "psi_share": row.psi_share}  # fmt: skip
    drifted = Condition(RULE, "system", about, message, "high", evidence)
    if row.reasons:
        raise_alert(connection, tenant_id, drifted, now)
    else:
        resolve_alert(connection, tenant_id, drifted.fingerprint, f"Model {row.model_version} holds.", now)
