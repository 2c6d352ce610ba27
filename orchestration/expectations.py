"""A Great Expectations suite for every contract: its quality rules and its fields' limits, on the newest raw rows.

The lander has decoded every row, so a breach means a fault of ours or a hand that wrote past the lander.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from plimsoll.contracts import Contract, ContractError

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.expectations.expectation import Expectation

FIELD_LIMITS = "fields_within_limits"
SAMPLE_ROWS = 50_000
_EXAMPLES = 5


@dataclass(frozen=True)
class Rule:
    """What one asset check of a raw table asserts: a rule of the contract, or the limits of all its fields."""

    name: str
    description: str
    is_critical: bool


@dataclass(frozen=True)
class Finding:
    """How one expectation fared on a sample."""

    rule: str
    expectation: str
    passed: bool
    rows_failed: int
    examples: tuple[str, ...]


def rules(contract: Contract) -> list[Rule]:
    """The asset checks of a contract's raw table.

    Raises:
        ContractError: a quality rule uses a metric that is not known here.
    """
    found = []
    for quality in contract.quality:
        if quality.get("metric") not in _METRICS:
            raise ContractError(
                f"{contract.name}: quality rule '{quality.get('name')}' has metric '{quality.get('metric')}'; "
                f"write one of {', '.join(_METRICS)}"
            )
        critical = quality.get("severity") == "critical"
        found.append(Rule(str(quality["name"]), str(quality.get("description", "")), critical))
    limits = "Every field keeps to the minimum, maximum, length and values that its contract allows."
    return [*found, Rule(FIELD_LIMITS, limits, True)]


def sample(connection: psycopg.Connection, contract: Contract, since: datetime) -> pd.DataFrame:
    """The newest rows that landed after `since`, at most SAMPLE_ROWS: the cost follows what is new."""
    import pandas as pd

    names = [*(f.name for f in contract.fields), "_landed_at"]
    query = sql.SQL("SELECT {} FROM {} WHERE _landed_at > {} ORDER BY _landed_at DESC LIMIT {}").format(
        sql.SQL(", ").join(map(sql.Identifier, names)),
        sql.Identifier(*contract.schema_table),
        sql.Literal(since),
        sql.Literal(SAMPLE_ROWS),
    )
    return pd.DataFrame(connection.execute(query).fetchall(), columns=names)


def validate(contract: Contract, rows: pd.DataFrame) -> list[Finding]:
    """Run the contract's suite over a sample.

    Raises:
        RuntimeError: an expectation could not be evaluated.
    """
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_pandas(contract.name)
    batch = source.add_dataframe_asset(contract.table).add_batch_definition_whole_dataframe("newest")
    suite = gx.ExpectationSuite(name=contract.name, expectations=expectations(contract, rows))
    result = batch.get_batch({"dataframe": rows}).validate(
        suite, result_format={"result_format": "BASIC", "partial_unexpected_count": _EXAMPLES}
    )
    return [_finding(one) for one in result.results]


def expectations(contract: Contract, rows: pd.DataFrame) -> list[Expectation]:
    """The suite; rules that compare two instants get their shifted column in `rows`."""
    suite = []
    for quality in contract.quality:
        for expectation in _METRICS[quality["metric"]](rows, **quality["arguments"]):
            expectation.meta = {"rule": quality["name"]}
            suite.append(expectation)
    for expectation in _field_limits(contract):
        expectation.meta = {"rule": FIELD_LIMITS}
        suite.append(expectation)
    return suite


def _finding(result: Any) -> Finding:
    config = result.expectation_config
    if result.exception_info.get("raised_exception"):
        raise RuntimeError(f"{config.type} could not be evaluated: {result.exception_info['exception_message']}")
    columns = [str(config.kwargs[name]) for name in ("column", "column_A", "column_B") if name in config.kwargs]
    return Finding(
        rule=config.meta["rule"],
        expectation=f"{config.type}({', '.join(columns)})",
        passed=bool(result.success),
        rows_failed=int(result.result.get("unexpected_count") or 0),
        examples=tuple(str(value) for value in result.result.get("partial_unexpected_list") or ()),
    )


def _between(
    rows: pd.DataFrame, *, column: str, min: float | None = None, max: float | None = None, mostly: float = 1.0
) -> list[Expectation]:
    return [_expect("ExpectColumnValuesToBeBetween", column=column, min_value=min, max_value=max, mostly=mostly)]


def _not_both_null(rows: pd.DataFrame, *, columns: list[str]) -> list[Expectation]:
    from great_expectations.expectations.row_conditions import Column

    first, second = columns
    return [_expect("ExpectColumnValuesToNotBeNull", column=first, row_condition=Column(second).is_null())]


def _not_after(rows: pd.DataFrame, *, earlier: str, later: str, tolerance_s: float = 0) -> list[Expectation]:
    latest = f"{later}+{tolerance_s:g}s"
    rows[latest] = rows[later] + timedelta(seconds=tolerance_s)
    return [
        _expect(
            "ExpectColumnPairValuesAToBeGreaterThanB",
            column_A=latest,
            column_B=earlier,
            or_equal=True,
            ignore_row_if="either_value_is_missing",
        )
    ]


# A metric of a contract's quality rule to the expectations that it means.
_METRICS: Mapping[str, Callable[..., list[Expectation]]] = {
    "columnValuesBetween": _between,
    "columnPairNotBothNull": _not_both_null,
    "columnPairNotAfter": _not_after,
}


def _expect(kind: str, **arguments: Any) -> Expectation:
    from great_expectations import expectations

    made: Expectation = getattr(expectations, kind)(**arguments)
    return made


def _field_limits(contract: Contract) -> list[Expectation]:
    suite: list[Expectation] = []
    for one in contract.fields:
        options = one.options
        if one.is_required:
            suite.append(_expect("ExpectColumnValuesToNotBeNull", column=one.name))
        if one.allowed_values:
            suite.append(_expect("ExpectColumnValuesToBeInSet", column=one.name, value_set=list(one.allowed_values)))
        if one.logical_type in ("integer", "number", "timestamp") and {"minimum", "maximum"} & options.keys():
            low, high = (_limit(options.get(end), one.logical_type) for end in ("minimum", "maximum"))
            suite.append(_expect("ExpectColumnValuesToBeBetween", column=one.name, min_value=low, max_value=high))
        if one.logical_type == "string" and {"minLength", "maxLength"} & options.keys():
            suite.append(
                _expect(
                    "ExpectColumnValueLengthsToBeBetween",
                    column=one.name,
                    min_value=options.get("minLength"),
                    max_value=options.get("maxLength"),
                )
            )
    return suite


def _limit(value: Any, logical_type: str) -> Any:
    # Great Expectations compares instants only with datetime.
    return datetime.fromisoformat(value) if logical_type == "timestamp" and isinstance(value, str) else value
