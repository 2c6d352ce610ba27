"""Time of training on many sites × a year of hours and of scoring a week ahead: `python bench/forecast_scale.py`.

Seconds of the wall clock and of the processor are printed side by side: on a busy machine only the second compare.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pandas as pd

from forecasting.model import train

TZ = "Asia/Jakarta"
HORIZON_H = 168
Result = TypeVar("Result")


def city(sites: int, days: int) -> pd.DataFrame:
    """A seeded panel: daily and weekly habit, a season, a slow random level for each site, noise in proportion."""
    rng = np.random.default_rng(7)
    hours = pd.date_range("2025-01-06", periods=24 * days, freq="h", tz=TZ)
    hour, weekday, day = hours.hour.to_numpy(), hours.day_of_week.to_numpy(), np.arange(24 * days) // 24
    parts = []
    for number in range(sites):
        peak = rng.normal(14, 4)
        habit = 0.05 + np.exp(-(((hour - peak) / rng.uniform(2, 5)) ** 2))
        habit *= np.where(weekday >= 5, rng.uniform(0.4, 1.3), 1) * (1 + 0.2 * np.sin(2 * np.pi * day / 365))
        level = np.exp(np.cumsum(rng.normal(0, 0.02, days)))[day] * np.exp(rng.normal(0, 0.15, days))[day]
        value = rng.uniform(10, 400) * habit * level * rng.gamma(30, 1 / 30, len(hours))
        parts.append(pd.DataFrame({"site_id": f"site-{number:04d}", "hour": hours.tz_convert("UTC"), "value": value}))
    return pd.concat(parts, ignore_index=True)


def main() -> None:
    """Print both times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sites", type=int, default=500)
    parser.add_argument("--days", type=int, default=365)
    asked = parser.parse_args()
    panel = city(asked.sites, asked.days)
    origin = panel["hour"].max() + pd.Timedelta(hours=1)
    what = f"{asked.sites} sites × {asked.days} days of hours"
    model = _timed(f"training on {what}", lambda: train(panel, tz=TZ))
    _timed(
        f"scoring {asked.sites} sites × {HORIZON_H} h", lambda: model.predict(panel, origin=origin, horizon=HORIZON_H)
    )


def _timed(what: str, work: Callable[[], Result]) -> Result:
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"{what}: {wall:.1f} s, processor {processor:.1f} s")
    return result


if __name__ == "__main__":
    main()
