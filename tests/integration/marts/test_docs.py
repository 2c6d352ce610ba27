"""The documentation that dbt makes of the built marts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mart_events import Dbt

pytestmark = pytest.mark.integration


def test_docs_build_and_describe_every_column(marts: str, dbt: Dbt, target: Path) -> None:
    dbt("docs", "generate")

    catalog = json.loads((target / "catalog.json").read_text())["nodes"]
    manifest = json.loads((target / "manifest.json").read_text())["nodes"]
    models = {name: node for name, node in manifest.items() if node["resource_type"] == "model"}
    assert models.keys() <= catalog.keys()
    undescribed = {f"{m}.{c}" for m, node in models.items() for c in catalog[m]["columns"] if c not in node["columns"]}
    assert undescribed == set()
