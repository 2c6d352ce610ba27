"""Peers' forecasts for a row of the benchmark, made in their own environment and kept while their input is the same."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

FOLDER = Path(__file__).parent / "peers"
PYTHON = FOLDER / ".venv" / "bin" / "python"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "plimsoll" / "forecast-peers"
METHODS = ("mstl", "auto_ets", "mlforecast_lightgbm", "mlforecast_xgboost", "hist_gradient_boosting")


def peer_forecasts(
    method: str, panel: pd.DataFrame, tz: str, origins: Sequence[pd.Timestamp], horizon: int
) -> pd.Series:
    """Predictions indexed by (site_id, origin, hour), UTC; negative ones are 0.

    Args:
        method: one of METHODS.
        panel: `site_id, hour, value`; only hours before an origin are shown to the method at that origin.
        tz: the sites' time zone: peers see the wall clock, as their users would lay the data out.
        origins: ascending.
        horizon: hours ahead.
    """
    observed = panel.dropna(subset=["value"])
    wall = observed["hour"].dt.tz_convert(tz).dt.tz_localize(None)
    tidy = observed.assign(ds=wall, y=observed["value"]).groupby(["site_id", "ds"], as_index=False)["y"].mean()
    # A daylight-saving change makes the wall clock run an hour ahead or behind: one more hour reaches every target.
    asked = pd.DataFrame({"origin": [_wall(o, tz) for o in origins], "horizon": horizon + 1})
    stored = CACHE / f"{method}-{_key(method, tidy, asked)}.parquet"
    if not stored.exists():
        _run(method, tidy, asked, stored)
    found = pd.read_parquet(stored).drop_duplicates(["site_id", "origin", "ds"])
    back = dict(zip(asked["origin"], origins, strict=True))
    hours = found["ds"].dt.tz_localize(tz, ambiguous="NaT", nonexistent="NaT").dt.tz_convert("UTC")
    found = found.assign(origin=found["origin"].map(back), hour=hours).dropna(subset=["hour"])
    return found.set_index(["site_id", "origin", "hour"])["prediction"]


def _wall(instant: pd.Timestamp, tz: str) -> pd.Timestamp:
    return instant.tz_convert(tz).tz_localize(None)


def _key(method: str, tidy: pd.DataFrame, asked: pd.DataFrame) -> str:
    digest = hashlib.sha256(method.encode())
    for name in ("predict.py", "requirements.lock", *(["direct.py"] if method == "hist_gradient_boosting" else [])):
        digest.update((FOLDER / name).read_bytes())
    for frame in (tidy, asked):
        digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    return digest.hexdigest()[:16]


def _run(method: str, tidy: pd.DataFrame, asked: pd.DataFrame, out: Path) -> None:
    if not PYTHON.exists():
        raise SystemExit(
            f"the peers' environment is missing: run `make bench-forecast`, which builds {PYTHON.parents[1]}"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        panel_path, origins_path = Path(folder) / "panel.parquet", Path(folder) / "origins.parquet"
        done = Path(folder) / "predictions.parquet"
        tidy.to_parquet(panel_path, index=False)
        asked.to_parquet(origins_path, index=False)
        command = [str(PYTHON), str(FOLDER / "predict.py"), method, str(panel_path), str(origins_path), str(done)]
        # One thread each: the machine is shared, and a race between methods is about accuracy here.
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        subprocess.run(command, check=True, env=os.environ | threads)
        out.write_bytes(done.read_bytes())
