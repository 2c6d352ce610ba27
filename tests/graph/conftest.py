"""Definitions built once: from this checkout's contracts and dbt project, with no server in sight."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey, DagsterInstance, Definitions, SensorDefinition, build_sensor_context
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

from orchestration.definitions import build_defs
from orchestration.resources import Platform
from plimsoll.settings import Settings


@pytest.fixture(scope="session")
def offline_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings without any server."""
    home: Path = tmp_path_factory.mktemp("home")
    return Settings().model_copy(update={"home": home, "database_url": None, "kafka_bootstrap_servers": None})


@pytest.fixture(scope="session")
def defs(offline_settings: Settings) -> Definitions:
    """The code location."""
    return build_defs(settings=offline_settings)


@pytest.fixture(scope="session")
def graph(defs: Definitions) -> AssetGraph:
    """Its asset graph."""
    return defs.resolve_asset_graph()


@pytest.fixture(scope="session")
def keys(graph: AssetGraph) -> list[AssetKey]:
    """Every asset's key."""
    return sorted(graph.get_all_asset_keys())


@pytest.fixture(scope="session")
def tick() -> Callable[..., Any]:
    """Give `tick(sensor, instance, database_url, cursor=None)`: what a sensor answers when it is asked once."""

    def ask(sensor: SensorDefinition, instance: DagsterInstance, database_url: str, cursor: str | None = None) -> Any:
        platform = Platform(database_url=database_url)
        with build_sensor_context(instance, cursor=cursor, resources={"platform": platform}) as context:
            return sensor(context)

    return ask
