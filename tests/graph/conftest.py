"""Definitions built once: from this checkout's contracts and dbt project, with no server in sight."""

from __future__ import annotations

from pathlib import Path

import pytest
from dagster import AssetKey, Definitions
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

from orchestration.definitions import build_defs
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
