"""A contract as the platform uses it, read from an Open Data Contract Standard (v3) YAML file.

Nothing here knows Kafka, Postgres or dbt: the modules beside this one derive those from a `Contract`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from open_data_contract_standard.model import OpenDataContractStandard, SchemaProperty
from pydantic import ValidationError

from plimsoll.errors import PlimsollError

# The physical types of each logical type that the lander can write; the first is the default.
PHYSICAL_TYPES = {
    "string": ("text", "uuid"),
    "integer": ("bigint", "integer", "smallint"),
    "number": ("double precision",),
    "boolean": ("boolean",),
    "timestamp": ("timestamptz",),
    "date": ("date",),
    "object": ("jsonb",),
    "array": ("jsonb",),
}
_INTEGER_BITS = {"smallint": 16, "integer": 32, "bigint": 64}
_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


class ContractError(PlimsollError):
    """A contract file says something the platform cannot use."""


@dataclass(frozen=True)
class Field:
    """One field of a stream: its name on the wire is its column's name."""

    name: str
    logical_type: str
    physical_type: str
    description: str
    is_required: bool = False
    default: Any = None
    allowed_values: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def bounds(self) -> tuple[int, int]:
        """The lowest and the highest value of an integer: what its column holds, narrowed by its options."""
        limit = 2 ** (_INTEGER_BITS[self.physical_type] - 1)
        return max(-limit, self.options.get("minimum", -limit)), min(limit - 1, self.options.get("maximum", limit - 1))


@dataclass(frozen=True)
class Accumulation:
    """How events that tell no level change the last known one.

    Attributes:
        column: the level.
        add: the field that raises it.
        subtract: the field that lowers it.
        unless: a field and the value with which `add` and `subtract` are running totals: such an event says nothing of
            the level.
    """

    column: str
    add: str
    subtract: str
    unless: tuple[str, str] | None = None


@dataclass(frozen=True)
class LiveState:
    """Which fields of the newest event per key are kept in a table of schema `live`."""

    table: str
    key: tuple[str, ...]
    at: str
    columns: tuple[str, ...]
    sequence: str | None = None
    accumulate: Accumulation | None = None


@dataclass(frozen=True)
class Contract:
    """One stream: fields, topic, raw table, identity, live state, promises."""

    name: str
    version: str
    description: str
    fields: tuple[Field, ...]
    table: str
    table_description: str
    topic: str
    partitions: int
    key: str
    event_time: str
    max_ahead: timedelta
    require_one_of: tuple[tuple[str, ...], ...]
    identity: dict[str, Any]
    live: LiveState | None
    retention: dict[str, timedelta]
    freshness: timedelta | None
    quality: tuple[dict[str, Any], ...]

    @property
    def dead_letter_topic(self) -> str:
        """Where the messages go that this contract refuses."""
        return f"{self.topic}.dlq"

    @property
    def schema_table(self) -> tuple[str, str]:
        """The raw table as (schema, name)."""
        schema, _, name = self.table.partition(".")
        return schema, name

    def field(self, name: str) -> Field:
        """The field of that name; KeyError if there is none."""
        for candidate in self.fields:
            if candidate.name == name:
                return candidate
        raise KeyError(name)


def load_contracts(directory: Path) -> dict[str, Contract]:
    """Every contract of a folder by topic, in the order of their file names.

    Raises:
        ContractError: the folder is empty, or a file is not a usable contract.
    """
    files = sorted(directory.glob("*.yaml"))
    if not files:
        raise ContractError(f"{directory}: no contract (*.yaml) here; set PLIMSOLL_CONTRACTS_DIR to their folder")
    contracts: dict[str, Contract] = {}
    for file in files:
        contract = load_contract(file)
        if contract.topic in contracts:
            raise ContractError(f"{file.name}: topic '{contract.topic}' has a contract already")
        contracts[contract.topic] = contract
    return contracts


def load_contract(file: Path) -> Contract:
    """Read one contract file.

    Raises:
        ContractError: naming the file, the property and what to write there.
    """
    try:
        document = OpenDataContractStandard.from_string(file.read_text())
    except (ValidationError, TypeError, yaml.YAMLError) as error:
        raise ContractError(f"{file.name}: not an ODCS v3 data contract: {error}") from error
    return _Reader(file.name, document).contract()


class _Reader:
    def __init__(self, file: str, document: OpenDataContractStandard) -> None:
        self.file = file
        self.document = document
        self.custom: dict[str, Any] = {str(p.property): p.value for p in document.customProperties or []}

    def fail(self, what: str) -> ContractError:
        return ContractError(f"{self.file}: {what}")

    def contract(self) -> Contract:
        objects = self.document.schema_ or []
        if len(objects) != 1:
            raise self.fail("schema: exactly one table per stream is needed")
        table = objects[0]
        if not table.physicalName or not table.physicalName.startswith("raw."):
            raise self.fail("schema: physicalName must name the raw table, such as raw.occupancy_events")
        fields = tuple(self._field(p) for p in table.properties or [])
        names = {f.name for f in fields}
        contract = Contract(
            name=self.document.id or self.file.removesuffix(".yaml"),
            version=self.document.version or "0.0.0",
            description=(self.document.description.purpose if self.document.description else None) or "",
            fields=fields,
            table=table.physicalName,
            table_description=table.description or "One row per landed message.",
            topic=self._custom("topic"),
            partitions=int(self.custom.get("partitions", 1)),
            key=self._known(self._custom("key"), names, "key"),
            event_time=self._known(self._custom("eventTime"), names, "eventTime"),
            max_ahead=timedelta(seconds=int(self.custom.get("maxAheadSeconds", 3600))),
            require_one_of=tuple(
                tuple(self._known(n, names, "requireOneOf") for n in group)
                for group in self.custom.get("requireOneOf", [])
            ),
            identity=self._identity(names),
            live=self._live(fields),
            retention=self._promises("retention"),
            freshness=self._promises("latency").get(table.physicalName),
            quality=tuple(q.model_dump(exclude_none=True) for q in table.quality or []),
        )
        if "tenant_id" not in names:
            raise self.fail("schema: property 'tenant_id' is missing; every row has a tenant")
        return contract

    def _field(self, prop: SchemaProperty) -> Field:
        if not prop.name:
            raise self.fail("schema: a property has no name")
        if prop.logicalType not in PHYSICAL_TYPES:
            known = ", ".join(PHYSICAL_TYPES)
            found = f"logicalType '{prop.logicalType}'" if prop.logicalType else "no logicalType"
            raise self.fail(f"property '{prop.name}' has {found}; write one of {known}")
        if not prop.description:
            raise self.fail(f"property '{prop.name}' has no description; say what it means and its unit")
        custom = {p.property: p.value for p in prop.customProperties or []}
        return Field(
            name=prop.name,
            logical_type=prop.logicalType,
            physical_type=self._physical_type(prop),
            description=prop.description,
            is_required=bool(prop.required),
            default=custom.get("default"),
            allowed_values=tuple(str(e.value) for e in prop.enum or []),
            options=prop.logicalTypeOptions or {},
        )

    def _physical_type(self, prop: SchemaProperty) -> str:
        """What the column is, if the lander can write there what the decoder makes of the field."""
        possible = PHYSICAL_TYPES[str(prop.logicalType)]
        kind = prop.physicalType or possible[0]
        if kind not in possible:
            types = f"the types of {prop.logicalType} are {', '.join(possible)}"
            raise self.fail(f"property '{prop.name}' has physicalType '{kind}'; {types}")
        has_format = (prop.logicalTypeOptions or {}).get("format") == "uuid"
        if has_format != (kind == "uuid"):
            has, lacks = ("format", "physicalType") if has_format else ("physicalType", "format")
            raise self.fail(f"property '{prop.name}' has {has} uuid without {lacks} uuid; write both or neither")
        if prop.enum and kind != "text":
            raise self.fail(f"property '{prop.name}' is a {kind} with an enum; only text can have one")
        return kind

    def _custom(self, name: str) -> str:
        if name not in self.custom:
            raise self.fail(f"customProperties: '{name}' is missing")
        return str(self.custom[name])

    def _known(self, name: str, names: set[str], where: str) -> str:
        if name not in names:
            raise self.fail(f"customProperties: {where} names '{name}', which is no property of the schema")
        return name

    def _identity(self, names: set[str]) -> dict[str, Any]:
        identity = dict(self.custom.get("identity") or {})
        if not identity.get("content"):
            raise self.fail("customProperties: identity.content must list the fields that make two events the same")
        named: Sequence[str | None] = [identity.get("id"), *identity.get("sequence", []), *identity["content"]]
        for name in filter(None, named):
            self._known(name, names, "identity")
        return identity

    def _live(self, fields: Sequence[Field]) -> LiveState | None:
        raw = self.custom.get("live")
        if raw is None:
            return None
        names = {f.name for f in fields}
        for name in [*raw["key"], *raw["columns"], *filter(None, [raw.get("sequence")])]:
            self._known(name, names, "live")
        return LiveState(
            table=raw["table"],
            key=tuple(raw["key"]),
            at=raw["at"],
            columns=tuple(raw["columns"]),
            sequence=raw.get("sequence"),
            accumulate=self._accumulation(raw["accumulate"], fields) if "accumulate" in raw else None,
        )

    def _accumulation(self, raw: dict[str, Any], fields: Sequence[Field]) -> Accumulation:
        integers = {f.name for f in fields if f.logical_type == "integer"}
        column, add, subtract = (raw[part] for part in ("column", "add", "subtract"))
        if not {column, add, subtract} <= integers:
            raise self.fail("customProperties: live.accumulate: column, add and subtract must name integers")
        unless = next(iter(raw.get("unless", {}).items()), None)
        if unless:
            self._known(unless[0], {f.name for f in fields}, "live.accumulate.unless")
        return Accumulation(column, add, subtract, unless)

    def _promises(self, name: str) -> dict[str, timedelta]:
        found: dict[str, timedelta] = {}
        for sla in self.document.slaProperties or []:
            if sla.property != name:
                continue
            if not sla.element or sla.unit not in _UNITS or not isinstance(sla.value, int | float):
                raise self.fail(f"slaProperties: {name} needs element, a number as value and a unit of d, h, m or s")
            found[sla.element] = timedelta(**{_UNITS[sla.unit]: float(sla.value)})
        return found
