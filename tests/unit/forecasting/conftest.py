"""Synthetic panels with a weekly habit: small enough to train on in a second or two."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest


def habit(local: pd.DatetimeIndex) -> np.ndarray:
    """A day with one afternoon peak, quieter at weekends, empty at night."""
    hour = local.hour.to_numpy()
    day = np.exp(-(((hour - 16) / 4.0) ** 2)) * (hour >= 6) * (hour <= 22)
    return day * np.where(local.day_of_week.to_numpy() >= 5, 0.6, 1.0)


@pytest.fixture(scope="session")
def weekly_panel() -> Callable[..., pd.DataFrame]:
    """Build a panel of sites of different sizes, noise in proportion, seeded."""

    def build(
        sites: int = 4, days: int = 70, start: str = "2026-01-05", tz: str = "Asia/Jakarta", noise: float = 0.15,
        seed: int = 1,
    ) -> pd.DataFrame:  # fmt: skip
        rng = np.random.default_rng(seed)
        hours = pd.date_range(pd.Timestamp(start, tz=tz), periods=24 * days, freq="h").tz_convert("UTC").as_unit("ns")
        shape = habit(hours.tz_convert(tz))
        parts = []
        for number in range(sites):
            expected = shape * 40 * (number + 1)
            value = np.maximum(expected * (1 + noise * rng.standard_normal(len(hours))), 0)
            parts.append(pd.DataFrame({"site_id": f"site-{number}", "hour": hours, "value": value}))
        return pd.concat(parts, ignore_index=True)

    return build
