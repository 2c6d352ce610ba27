"""The files that contracts write: dbt's sources and the AsyncAPI document. Committed, and checked for drift."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from plimsoll.contracts.ddl import LANDING_COLUMNS
from plimsoll.contracts.model import Contract, Field

_NOTICE = "# Written by `plimsoll contracts migrate` from data/contracts. Change the contract, not this file.\n"
_LANDING_DESCRIPTIONS = {
    "extra": "Fields of the message that the contract does not name.",
    "_topic": "Topic the message came by.",
    "_partition": "Partition of the topic; below zero for a bulk load.",
    "_offset": "Offset in the partition.",
    "_broker_at": "When the broker took the message (UTC).",
    "_landed_at": "When the lander's transaction wrote the row (UTC); grows strictly per partition.",
}
_JSON_TYPES = {"timestamp": "string", "date": "string", "number": "number"}


def generated_files(contracts: Iterable[Contract], dbt_project_dir: Path, docs_dir: Path) -> dict[Path, str]:
    """Every generated file with its wanted content."""
    contracts = list(contracts)
    return {
        dbt_project_dir / "models" / "staging" / "_contracts__sources.yml": dbt_sources(contracts),
        docs_dir / "asyncapi.yaml": asyncapi(contracts),
    }


def dbt_sources(contracts: Iterable[Contract]) -> str:
    """The dbt source `raw` with tables, columns, freshness, and each stream's identity as `meta`."""
    tables = [_source_table(contract) for contract in contracts]
    document = {
        "version": 2,
        "sources": [
            {
                "name": "raw",
                "schema": "raw",
                "description": "Landed messages, one table per stream, as the contracts shape them. Repeats included.",
                "tables": tables,
            }
        ],
    }
    return _NOTICE + _dump(document)


def _source_table(contract: Contract) -> dict[str, Any]:
    columns: list[dict[str, Any]] = []
    for field in contract.fields:
        column: dict[str, Any] = {
            "name": field.name,
            "description": field.description,
            "data_type": field.physical_type,
        }
        columns.append(column)
    columns += [
        {"name": name, "description": _LANDING_DESCRIPTIONS[name], "data_type": definition.split()[0]}
        for name, definition in LANDING_COLUMNS.items()
    ]
    config: dict[str, Any] = {
        "meta": {
            "topic": contract.topic,
            "event_time": contract.event_time,
            "identity": contract.identity,
            "contract": f"{contract.name} {contract.version}",
        },
        "loaded_at_field": "_landed_at",
    }
    if contract.freshness:
        minutes = int(contract.freshness.total_seconds() // 60)
        config["freshness"] = {"warn_after": {"count": minutes, "period": "minute"}}
    return {
        "name": contract.schema_table[1],
        "description": f"{contract.table_description} {contract.description}",
        "config": config,
        "columns": columns,
    }


def asyncapi(contracts: Iterable[Contract]) -> str:
    """An AsyncAPI 3.0 document: one channel and message per stream, and its dead-letter channel."""
    channels: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for contract in contracts:
        slug = contract.topic.replace(".", "_")
        messages[slug] = _message(contract)
        reference = {"$ref": f"#/components/messages/{slug}"}
        channels[slug] = {
            "address": contract.topic,
            "description": contract.description,
            "messages": {slug: reference},
            "bindings": {"kafka": {"partitions": contract.partitions}},
        }
        channels[f"{slug}_dlq"] = {
            "address": contract.dead_letter_topic,
            "description": f"Messages of {contract.topic} that the contract refused, with the reason in headers.",
        }
        operations[f"land_{slug}"] = {"action": "receive", "channel": {"$ref": f"#/channels/{slug}"}}
    document = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Plimsoll streams",
            "version": "1.0.0",
            "description": "The streams that Plimsoll lands.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    }
    return _NOTICE + _dump(document)


def _message(contract: Contract) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "type": "object",
        "required": [f.name for f in contract.fields if f.is_required and f.default is None],
        "properties": {f.name: _json_schema(f) for f in contract.fields},
    }
    if contract.require_one_of:
        payload["anyOf"] = [{"required": list(group)} for group in contract.require_one_of]
    key = _json_schema(contract.field(contract.key))
    return {
        "name": contract.name,
        "title": contract.name,
        "summary": contract.description,
        "payload": payload,
        "bindings": {"kafka": {"key": key}},
    }


def _json_schema(field: Field) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": _JSON_TYPES.get(field.logical_type, field.logical_type),
        "description": field.description,
    }
    if field.logical_type in ("timestamp", "date"):
        schema["format"] = "date-time" if field.logical_type == "timestamp" else "date"
    else:
        schema |= dict(field.options.items())
    if field.allowed_values:
        schema["enum"] = list(field.allowed_values)
    if field.default is not None:
        schema["default"] = field.default
    return schema


def _dump(document: dict[str, Any]) -> str:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)
