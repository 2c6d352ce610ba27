"""What is out of step with the contracts: tables, topics, generated files; and the migration that mends it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from plimsoll.contracts.ddl import Columns, migration, wanted_columns
from plimsoll.contracts.generated import generated_files
from plimsoll.contracts.model import Contract
from plimsoll.contracts.topics import present_topics, wanted_topics
from plimsoll.settings import PROJECT_DIR, Settings

_ALIASES = {"timestamp with time zone": "timestamptz"}


@dataclass
class Drift:
    """What was found; empty when all is in step.

    Attributes:
        findings: one sentence per thing that is out of step.
        sql: the statements that bring the tables in step.
        files: generated files with their wanted content, where it differs.
        topics: missing topics.
    """

    findings: list[str] = field(default_factory=list)
    sql: str = ""
    files: dict[Path, str] = field(default_factory=dict)
    topics: list[str] = field(default_factory=list)


def find_drift(
    contracts: Mapping[str, Contract],
    settings: Settings,
    connection: psycopg.Connection | None,
    bootstrap_servers: str | None,
) -> Drift:
    """Compare contracts with a database (if given), a broker (if given) and the generated files."""
    drift = Drift()
    docs_dir = (
        PROJECT_DIR / "docs"
        if settings.dbt_project_dir.parent == PROJECT_DIR
        else settings.dbt_project_dir.parent / "docs"
    )
    for path, content in generated_files(contracts.values(), settings.dbt_project_dir, docs_dir).items():
        if not path.exists() or path.read_text() != content:
            drift.files[path] = content
            drift.findings.append(f"{path.name}: differs from what the contracts say")
    if connection is not None:
        present = _present_columns(connection)
        drift.sql = migration(contracts.values(), present)
        drift.findings += _table_findings(wanted_columns(contracts.values()), present)
    if bootstrap_servers is not None:
        present_now = present_topics(bootstrap_servers)
        for topic, partitions in wanted_topics(contracts.values()).items():
            if topic not in present_now:
                drift.topics.append(topic)
                drift.findings.append(f"topic {topic}: missing")
            elif present_now[topic] < partitions:
                drift.findings.append(f"topic {topic}: {present_now[topic]} partitions, the contract says {partitions}")
    return drift


def write_migration(contracts_dir: Path, statements: str, name: str) -> Path:
    """Write the statements as the next numbered file of the contracts' migrations."""
    folder = contracts_dir / "migrations"
    folder.mkdir(parents=True, exist_ok=True)
    number = 1 + max((int(f.name[:4]) for f in folder.glob("[0-9][0-9][0-9][0-9]_*.sql")), default=0)
    slug = re.sub(r"\W+", "_", name.lower()).strip("_") or "contracts"
    path = folder / f"{number:04d}_{slug}.sql"
    path.write_text("-- Written by `plimsoll contracts migrate`.\n" + statements)
    return path


def _present_columns(connection: psycopg.Connection) -> Columns:
    present: Columns = {}
    rows = connection.execute(
        """
        SELECT n.nspname || '.' || c.relname, a.attname, format_type(a.atttypid, a.atttypmod)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname IN ('raw', 'live') AND c.relkind IN ('r', 'p') AND NOT c.relispartition
          AND a.attnum > 0 AND NOT a.attisdropped
        """
    )
    for table, column, kind_now in rows:
        present.setdefault(table, {})[column] = _ALIASES.get(str(kind_now), str(kind_now))
    return present


def _table_findings(wanted: Columns, present: Columns) -> list[str]:
    findings: list[str] = []
    for table, columns in wanted.items():
        if table not in present:
            findings.append(f"{table}: missing")
            continue
        for name, kind in columns.items():
            found = present[table].get(name)
            if found is None:
                findings.append(f"{table}.{name}: missing")
            elif found != kind:
                findings.append(f"{table}.{name}: is {found}, the contract says {kind}; change it by hand")
        extra = sorted(present[table].keys() - columns.keys())
        findings += [f"{table}.{name}: in no contract any more" for name in extra]
    return findings
