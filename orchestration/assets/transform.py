"""dbt's models as assets. The folder of a model is its schema and its group.

All models are one definition. Some of them read predictions and hotspots, which follow from others: in a job that has
those in between, Dagster cuts the build in parts; elsewhere it is one call of dbt.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dagster import AssetCheckSpec, AssetExecutionContext, AssetKey, AssetsDefinition, AssetSpec
from dagster_dbt import DagsterDbtTranslator, DbtCliResource, DbtProject, dbt_assets

from orchestration.dbt import building
from orchestration.keys import PLATFORM_TEAM, topic_key
from orchestration.resources import Platform
from plimsoll.contracts import Contract

_SOURCE_GROUP = "ingest"


# What a generic test asserts, in words, from its arguments: the names that dbt gives to tests say it only to machines.
_ASSERTED = {
    "not_null": "{column_name} is never empty",
    "unique": "{column_name} never repeats",
    "unique_together": "No two rows share {columns}",
    "accepted_values": "{column_name} is one of {values}",
    "accepted_range": "{column_name} is {bounds}",
    "expression_holds": "{expression} holds in every row",
}
_BOUNDS = {"min_value": "at least", "max_value": "at most"}


# What reads predictions or hotspots comes after them in the graph, and is grouped with them.
_GROUP_AFTER = {"forecast": "forecasting", "ops": "recommendations"}


class PlimsollTranslator(DagsterDbtTranslator):
    """Names a dbt node as the platform names everything: schema/table, grouped by schema.

    Args:
        manifest: the parsed dbt project.
    """

    def __init__(self, manifest: Mapping[str, Any]) -> None:
        super().__init__()
        self._late = _late_groups(manifest)

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> AssetKey:
        """The node's schema and name, wherever a developer's target puts it."""
        if dbt_resource_props["resource_type"] == "source":
            return AssetKey([dbt_resource_props["source_name"], dbt_resource_props["name"]])
        return AssetKey([_folder(dbt_resource_props), dbt_resource_props["name"]])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str:
        """The folder of a model; the group of what it reads where that is made after the marts."""
        if dbt_resource_props["resource_type"] == "source":
            return _SOURCE_GROUP
        return self._late.get(dbt_resource_props["unique_id"]) or _folder(dbt_resource_props)

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> Sequence[str]:
        """The owner that the model names, else the platform's team."""
        return super().get_owners(dbt_resource_props) or [PLATFORM_TEAM]

    def get_asset_check_spec(
        self, asset_spec: AssetSpec, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> AssetCheckSpec | None:
        """The check of a dbt test, with what it asserts in words."""
        spec = super().get_asset_check_spec(asset_spec, manifest, unique_id, project)
        return spec and spec._replace(description=check_description(manifest["nodes"][unique_id]))


def check_description(test: Mapping[str, Any]) -> str:
    """What a dbt test asserts, and of which rows; a test that describes itself is taken at its word."""
    generic = test.get("test_metadata") or {}
    asserted = _ASSERTED.get(generic.get("name", ""))
    if test.get("description") or asserted is None:
        return str(test.get("description") or test["name"])
    bounds = [f"{words} {generic['kwargs'][name]}" for name, words in _BOUNDS.items() if name in generic["kwargs"]]
    words = {name: _listed(value) for name, value in generic["kwargs"].items()}
    sentence = asserted.format(**words, bounds=" and ".join(bounds))
    rows = test["config"].get("where")
    return f"{sentence}, in rows where {rows}." if rows else f"{sentence}."


def _listed(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _folder(dbt_resource_props: Mapping[str, Any]) -> str:
    """`staging` for models/staging/…; seeds have no folder and belong to staging."""
    if dbt_resource_props["resource_type"] == "seed":
        return "staging"
    return str(dbt_resource_props["fqn"][1])


def _late_groups(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The group of every node that descends from a source of `_GROUP_AFTER`; the later source wins."""
    groups: dict[str, str] = {}
    for schema, group in _GROUP_AFTER.items():
        waiting = [name for name, source in manifest["sources"].items() if source["source_name"] == schema]
        while waiting:
            children = manifest["child_map"].get(waiting.pop(), [])
            groups |= dict.fromkeys(children, group)
            waiting += children
    return groups


def dbt_models(manifest: Mapping[str, Any]) -> AssetsDefinition:
    """Every model and seed, built and tested."""

    @dbt_assets(name="dbt_models", manifest=manifest, dagster_dbt_translator=PlimsollTranslator(manifest))
    def build(context: AssetExecutionContext, dbt: DbtCliResource, platform: Platform) -> Iterator[Any]:
        # Unit tests prove the models and not the data: they run with the other tests, not with every refresh.
        arguments = ["build", "--exclude-resource-type", "unit_test"]
        with building(platform.settings()):
            invocation = dbt.cli(arguments, context=context)
            yield from invocation.stream()
        # One folder of artefacts for every run would grow without end; a failed run keeps its own for the person.
        shutil.rmtree(invocation.target_path, ignore_errors=True)

    return build


def source_specs(manifest: Mapping[str, Any], present: set[AssetKey], contracts: Sequence[Contract]) -> list[AssetSpec]:
    """Dbt's sources that no other asset stands for: what people and the lander write beside the raw tables."""
    live = [(AssetKey(["live", c.live.table]), topic_key(c)) for c in contracts if c.live]
    translator = PlimsollTranslator(manifest)
    specs = []
    for unique_id, source in manifest["sources"].items():
        if translator.get_asset_key(source) not in present:
            found = translator.get_asset_spec(manifest, unique_id, None)
            specs.append(
                AssetSpec(
                    found.key,
                    deps=[topic for table, topic in live if table == found.key],
                    group_name=_SOURCE_GROUP,
                    owners=[PLATFORM_TEAM],
                    kinds={"postgres"},
                    description=f"{source['source_description']} {source['description']}",
                    metadata={"dagster/table_name": f"{source['schema']}.{source['name']}"},
                )
            )
    return specs


def exposed(manifest: Mapping[str, Any]) -> list[AssetKey]:
    """The models that an exposure names: what leaves the platform."""
    named = {unique_id for exposure in manifest["exposures"].values() for unique_id in exposure["depends_on"]["nodes"]}
    translator = PlimsollTranslator(manifest)
    return sorted(translator.get_asset_key(manifest["nodes"][name]) for name in named if name in manifest["nodes"])
