"""The asset graph as a newcomer finds it: complete, named by one rule, flowing from left to right."""

from __future__ import annotations

import json

import pytest
from dagster import AssetCheckKey, AssetKey
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

from orchestration import keys as names
from plimsoll.contracts import Contract, load_contracts
from plimsoll.settings import PROJECT_DIR, Settings

# From left to right; maintenance stands beside.
FLOW = ["ingest", "staging", "intermediate", "marts", "forecasting", "recommendations"]


@pytest.fixture(scope="module")
def contracts() -> list[Contract]:
    return list(load_contracts(PROJECT_DIR / "data" / "contracts").values())


def test_every_asset_says_who_owns_it_what_it_is_and_where_it_belongs(graph: AssetGraph, keys: list[AssetKey]) -> None:
    bare = [
        key.to_user_string()
        for key in keys
        if not (
            graph.get(key).owners
            and graph.get(key).kinds
            and (graph.get(key).description or "").strip()
            and graph.get(key).group_name in {*FLOW, "maintenance"}
        )
    ]

    assert bare == []


def test_a_key_is_schema_and_table_in_plain_letters(keys: list[AssetKey]) -> None:
    odd = [
        key.path
        for key in keys
        if len(key.path) != 2 or any(not part.replace(".", "_").isidentifier() for part in key.path)
    ]

    assert odd == []


def test_no_edge_runs_back_to_an_earlier_group(graph: AssetGraph, keys: list[AssetKey]) -> None:
    place = {group: number for number, group in enumerate([*FLOW, "maintenance"])}
    back = [
        (parent.to_user_string(), key.to_user_string())
        for key in keys
        for parent in graph.get(key).parent_keys
        if place[graph.get(parent).group_name] > place[graph.get(key).group_name]
    ]

    assert back == []


def test_what_the_api_serves_comes_from_every_topic_that_counts_people(
    graph: AssetGraph, contracts: list[Contract]
) -> None:
    behind: set[AssetKey] = set()
    waiting = {names.API}
    while waiting:
        behind |= waiting
        waiting = {parent for key in waiting for parent in graph.get(key).parent_keys} - behind

    counting = {names.topic_key(c) for c in contracts if c.topic in ("occupancy.events", "traffic.counts")}
    assert counting | {names.MODELS, names.BACKTESTS, names.PREDICTIONS, names.HOTSPOTS} <= behind


def test_dbt_models_that_read_predictions_come_after_them(graph: AssetGraph) -> None:
    assert names.PREDICTIONS in graph.get(AssetKey(["staging", "stg_forecast__predictions"])).parent_keys
    assert names.HOTSPOTS in graph.get(AssetKey(["staging", "stg_ops__hotspots"])).parent_keys


def test_raw_tables_show_the_columns_of_their_contract(graph: AssetGraph, contracts: list[Contract]) -> None:
    for contract in contracts:
        schema = graph.get(names.raw_key(contract)).metadata["dagster/column_schema"]
        shown = [column.name for column in schema.columns]
        assert shown[: len(contract.fields)] == [field.name for field in contract.fields]
        assert "_landed_at" in shown


def test_every_rule_of_a_contract_is_a_check_and_the_critical_ones_block(
    graph: AssetGraph, contracts: list[Contract]
) -> None:
    for contract in contracts:
        for rule in contract.quality:
            check = graph.get_check_spec(AssetCheckKey(names.raw_key(contract), rule["name"]))
            assert check.blocking == (rule["severity"] == "critical"), check.key


def test_every_data_test_of_dbt_is_an_asset_check(graph: AssetGraph, offline_settings: Settings) -> None:
    manifest = json.loads((offline_settings.dbt_project_dir / "target" / "manifest.json").read_text())
    on_models = {
        node["name"]
        for node in manifest["nodes"].values()
        if node["resource_type"] == "test" and node.get("attached_node", "").startswith("model.")
    }

    checks = {key.name for key in graph.asset_check_keys}

    assert on_models <= checks


def test_every_check_says_in_words_what_it_asserts(graph: AssetGraph) -> None:
    described = {key.name: graph.get_check_spec(key).description or "" for key in graph.asset_check_keys}

    # Contracts' rules and dbt's tests alike; a bare name would say it only to machines.
    assert [name for name, words in described.items() if " " not in words] == []
    range_check = described["accepted_range_fct_occupancy_hourly_coverage__1__0"]
    assert range_check.startswith("coverage is at least 0 and at most 1, in rows where refreshed_at")
