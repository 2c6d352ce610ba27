"""The evaluation as Dagster runs it, on a city that is small and soon judged."""

from __future__ import annotations

import pytest
from dagster import Definitions, MarkdownMetadataValue
from dagster._core.test_utils import instance_for_test

from orchestration.keys import EVALUATION


@pytest.mark.long
def test_the_evaluation_runs_as_a_job_and_shows_its_tables(defs: Definitions) -> None:
    small = {"ops": {"evaluation__hotspots": {"config": {"weeks": 3, "days": 1, "buses": 28}}}}
    with instance_for_test() as instance:  # one that stores: what cannot be serialized fails here
        assert defs.resolve_job_def("evaluate_hotspots").execute_in_process(small, instance=instance).success
        event = instance.get_latest_materialization_event(EVALUATION)

    assert event is not None and event.asset_materialization is not None
    metadata = event.asset_materialization.metadata
    assert metadata["crowded_minutes"].value > 0
    tables = metadata["tables"]
    assert isinstance(tables, MarkdownMetadataValue)
    assert "| routes × direction: forecast |" in str(tables.value) and "| everything |" in str(tables.value)
