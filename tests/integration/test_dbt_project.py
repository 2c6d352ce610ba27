"""The dbt project by itself: parsed without a database, every model described."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from plimsoll.settings import PROJECT_DIR

DBT = str(Path(sys.executable).with_name("dbt"))
PROJECT = str(PROJECT_DIR / "dbt_project")
SERVED = {
    "dim_site", "fct_occupancy_hourly", "fct_route_occupancy_hourly", "fct_traffic_hourly", "forecast_latest",
    "fct_forecast_accuracy", "fct_hotspots", "fct_series_hourly", "fct_occupancy_daily", "fct_device_health_daily",
}  # fmt: skip


def run(target: Path, *arguments: str) -> None:
    places = [
        "--project-dir",
        PROJECT,
        "--profiles-dir",
        PROJECT,
        "--target-path",
        str(target),
        "--log-path",
        str(target),
    ]
    environment = {"PATH": os.environ["PATH"], "HOME": str(target)}
    done = subprocess.run([DBT, *arguments, *places], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, dict]]:  # type: ignore[type-arg]
    """Parsed with an empty environment: no database, no address of one."""
    target = tmp_path_factory.mktemp("parse")
    run(target, "parse", "--no-partial-parse")
    return json.loads((target / "manifest.json").read_text())  # type: ignore[no-any-return]


def models(manifest: dict[str, dict[str, dict]]) -> list[dict]:  # type: ignore[type-arg]
    return [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]


def test_schema_is_the_first_folder(manifest: dict[str, dict[str, dict]]) -> None:  # type: ignore[type-arg]
    assert {m["name"]: m["schema"] for m in models(manifest)} == {m["name"]: m["fqn"][1] for m in models(manifest)}


def test_every_model_tells_its_grain_and_describes_its_columns(manifest: dict[str, dict[str, dict]]) -> None:  # type: ignore[type-arg]
    untold = [m["name"] for m in models(manifest) if not m["description"].startswith("One row per ")]
    undescribed = [
        f"{m['name']}.{c}" for m in models(manifest) for c, column in m["columns"].items() if not column["description"]
    ]
    assert (untold, undescribed) == ([], [])


def test_served_marts_keep_a_contract_and_an_exposure(manifest: dict[str, dict[str, dict]]) -> None:  # type: ignore[type-arg]
    assert {m["name"] for m in models(manifest) if m["config"]["contract"]["enforced"]} >= SERVED
    exposed = {name.rpartition(".")[2] for e in manifest["exposures"].values() for name in e["depends_on"]["nodes"]}
    assert exposed >= SERVED


def test_only_staging_reads_sources(manifest: dict[str, dict[str, dict]]) -> None:  # type: ignore[type-arg]
    outside = [m["name"] for m in models(manifest) if m["sources"] and m["fqn"][1] != "staging"]
    assert outside == []
