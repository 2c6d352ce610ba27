"""The tables of a contract: `raw.<stream>`, partitioned by landing day, and its part of a table of schema `live`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

from psycopg import sql

from plimsoll.contracts.model import Contract, LiveState

# What the platform knows of a message beside its fields.
LANDING_COLUMNS = {
    "extra": "jsonb",
    "_topic": "text NOT NULL",
    "_partition": "integer NOT NULL",
    "_offset": "bigint NOT NULL",
    "_broker_at": "timestamptz NOT NULL",
    "_landed_at": "timestamptz NOT NULL",
}
# Beside a level that accumulates: what was counted in its last minute, so that a repeat is known.
COUNTED = "_counted"
Columns = dict[str, dict[str, str]]
"""Table name (schema.table) to its columns and their types."""


def wanted_columns(contracts: Iterable[Contract]) -> Columns:
    """Every column that the contracts need, by table; several contracts may share one live table."""
    wanted: Columns = {}
    for contract in contracts:
        wanted[contract.table] = {f.name: f.physical_type for f in contract.fields} | {
            name: definition.split()[0] for name, definition in LANDING_COLUMNS.items()
        }
        if contract.live:
            wanted.setdefault(f"live.{contract.live.table}", {}).update(live_columns(contract, contract.live))
    return wanted


def live_columns(contract: Contract, live: LiveState) -> dict[str, str]:
    """Columns of the live table that this contract writes, with their types."""
    kept = {name: contract.field(name).physical_type for name in (*live.key, *live.columns)}
    if live.sequence:
        kept[live.sequence] = contract.field(live.sequence).physical_type
    if live.accumulate:
        kept[COUNTED] = "bigint[]"
    return kept | {live.at: "timestamptz", "received_at": "timestamptz", "landed_at": "timestamptz"}


def migration(contracts: Iterable[Contract], present: Columns) -> str:
    """The SQL that brings a database with the `present` columns in step; empty if it is.

    Columns are only ever added: dropping or changing one is a decision for a person.
    """
    contracts = list(contracts)
    statements: list[str] = []
    for contract in contracts:
        if contract.table not in present:
            statements.append(_create_raw(contract))
    keys = {f"live.{c.live.table}": c.live.key for c in contracts if c.live}
    for table, columns in wanted_columns(contracts).items():
        if table not in present and table.startswith("live."):
            statements.append(_create_live(table, columns, keys[table]))
        elif table in present:
            missing = {name: kind for name, kind in columns.items() if name not in present[table]}
            statements += [f'ALTER TABLE {table} ADD COLUMN "{name}" {kind};' for name, kind in missing.items()]
    return "\n\n".join(statements) + "\n" if statements else ""


def _create_raw(contract: Contract) -> str:
    lines = [f'    "{f.name}" {f.physical_type}{" NOT NULL" if f.is_required else ""}' for f in contract.fields] + [
        f'    "{name}" {definition}' for name, definition in LANDING_COLUMNS.items()
    ]
    name = contract.schema_table[1]
    brin = "CREATE INDEX {}_by_{} ON {} USING brin ({}) WITH (pages_per_range = 32);"
    time_index = brin.format(name, "event_time", contract.table, contract.event_time)
    landing_index = brin.format(name, "landing", contract.table, "_landed_at")
    comment = contract.table_description.replace("'", "''")
    return "\n".join(
        [
            f"CREATE TABLE {contract.table} (\n" + ",\n".join(lines) + "\n) PARTITION BY RANGE (_landed_at);",
            time_index,
            landing_index,
            f"COMMENT ON TABLE {contract.table} IS '{comment}';",
        ]
    )


def _create_live(table: str, columns: dict[str, str], key: tuple[str, ...]) -> str:
    lines = [f'    "{name}" {kind}{" NOT NULL" if name in key else ""}' for name, kind in columns.items()]
    primary = ", ".join(f'"{name}"' for name in key)
    return (
        f"CREATE TABLE {table} (\n" + ",\n".join([*lines, f"    PRIMARY KEY ({primary})"]) + "\n) "
        "WITH (fillfactor = 50);  -- every row is updated all the time: leave room beside it"
    )


def day_partition(contract: Contract, day: date) -> sql.Composed:
    """The statement that creates the partition of one landing day (UTC), if it is not there yet.

    Made apart and then attached, it waits for nobody who reads the table, such as a backup, and nobody waits for it:
    `CREATE TABLE ... PARTITION OF` would lock the whole table.
    """
    schema, name = contract.schema_table
    return sql.SQL(
        """
        DO $plimsoll$ BEGIN
            IF to_regclass({quoted}) IS NULL THEN
                CREATE TABLE {partition} (LIKE {table} INCLUDING ALL);
                ALTER TABLE {table} ATTACH PARTITION {partition} FOR VALUES FROM ({start}) TO ({end});
            END IF;
        END $plimsoll$
        """
    ).format(
        quoted=sql.Literal(f'"{schema}"."{name}_p{day:%Y%m%d}"'),
        partition=sql.Identifier(schema, f"{name}_p{day:%Y%m%d}"),
        table=sql.Identifier(schema, name),
        start=sql.Literal(f"{day.isoformat()} 00:00:00+00"),
        end=sql.Literal(f"{(day + timedelta(days=1)).isoformat()} 00:00:00+00"),
    )
