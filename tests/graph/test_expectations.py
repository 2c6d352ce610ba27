"""The suites that contracts give: each rule passes good rows and fails the bad ones that it is about."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from orchestration.expectations import FIELD_LIMITS, rules, validate
from plimsoll.contracts import Contract, ContractError, load_contracts
from plimsoll.settings import PROJECT_DIR

LANDED = datetime(2026, 1, 15, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def contract() -> Contract:
    return load_contracts(PROJECT_DIR / "data" / "contracts")["occupancy.events"]


def rows(contract: Contract, **changes: Any) -> pd.DataFrame:
    good: dict[str, Any] = {field.name: None for field in contract.fields}
    good |= {"tenant_id": "default", "site_id": "gym", "ts_device": LANDED - timedelta(seconds=5), "occupancy": 7}
    good |= {"_landed_at": LANDED}
    return pd.DataFrame([good, good | changes])


def failed(contract: Contract, **changes: Any) -> set[str]:
    return {finding.rule for finding in validate(contract, rows(contract, **changes)) if not finding.passed}


def test_good_rows_pass_every_rule(contract: Contract) -> None:
    assert failed(contract) == set()


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"ts_device": LANDED + timedelta(hours=2)}, "device_clock_is_sane"),
        ({"occupancy": None}, "someone_was_counted"),
        ({"occupancy": 900_000}, "occupancy_is_plausible"),
        ({"direction_id": 2}, FIELD_LIMITS),
        ({"count_mode": "guessed"}, FIELD_LIMITS),
        ({"site_id": ""}, FIELD_LIMITS),
        ({"ts_device": datetime(1999, 1, 1, tzinfo=UTC)}, FIELD_LIMITS),
    ],
)
def test_a_bad_row_fails_the_rule_that_it_breaks(contract: Contract, changes: dict[str, Any], rule: str) -> None:
    assert failed(contract, **changes) == {rule}


def test_a_breach_names_the_column_and_shows_the_value(contract: Contract) -> None:
    breach = next(f for f in validate(contract, rows(contract, direction_id=2)) if not f.passed)

    assert "direction_id" in breach.expectation
    assert breach.rows_failed == 1
    assert breach.examples == ("2.0",)


def test_a_door_count_stands_in_for_an_occupancy(contract: Contract) -> None:
    assert failed(contract, occupancy=None, in_count=3, out_count=1) == set()


def test_a_rule_with_an_unknown_metric_is_refused_with_those_that_are_known(contract: Contract) -> None:
    odd = replace(contract, quality=({"name": "odd", "metric": "columnIsBlue"},))

    with pytest.raises(ContractError, match=r"'odd' has metric 'columnIsBlue'; write one of columnValuesBetween"):
        rules(odd)
