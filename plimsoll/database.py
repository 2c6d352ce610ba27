"""PostgreSQL: how to connect, and how the versioned SQL of `migrations/` is applied."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from plimsoll.errors import PlimsollError

MIGRATIONS_DIR = Path(__file__).parent / "migrations"
# The server notices within 11 s that a client's host has vanished; by default, after two hours.
KEEPALIVES = {"tcp_keepalives_idle": "5s", "tcp_keepalives_interval": "2s", "tcp_keepalives_count": "3"}
MISSING_RELATION = (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName)
"""What a statement raises while the migrations, or the job that builds the marts, have not run."""
_MIGRATION_LOCK = 7_305_801  # any constant: two migrating processes wait for each other on it


@contextmanager
def connect(database_url: str, *, autocommit: bool = False) -> Iterator[psycopg.Connection]:
    """A connection with the session in UTC; what else the URL sets in its `options` holds.

    Raises:
        PlimsollError: the server cannot be reached; the message names the host, never the password.
    """
    with reaching(database_url):
        connection = psycopg.connect(
            database_url, autocommit=autocommit, connect_timeout=10, options=_options(database_url)
        )
    with connection:
        yield connection


@contextmanager
def reaching(database_url: str) -> Iterator[None]:
    """Let a connection that fails say where to, never with which password."""
    try:
        yield
    except psycopg.OperationalError as error:
        info = conninfo_to_dict(database_url)
        where = f"{info.get('host', 'localhost')}:{info.get('port', 5432)}/{info.get('dbname', '')}"
        raise PlimsollError(f"PostgreSQL at {where} cannot be reached: {str(error).strip()}") from error


@contextmanager
def migrated() -> Iterator[None]:
    """Let whatever needs a table of the platform's own that is not there say how to get it."""
    try:
        yield
    except MISSING_RELATION as error:
        reason = str(error).splitlines()[0]
        raise PlimsollError(f"the tables are not there: {reason}; run `plimsoll migrate`") from error


def _options(database_url: str) -> str:
    """The session's options and those of the URL, which libpq would let replace each other; the last word counts."""
    ours = [f"-c {name}={value}" for name, value in KEEPALIVES.items()]
    theirs = str(conninfo_to_dict(database_url).get("options") or "")
    return " ".join([*ours, theirs, "-c timezone=UTC"])  # commands show what they read as UTC


def pending_migrations(connection: psycopg.Connection, contracts_dir: Path) -> list[Path]:
    """The migration files not yet applied, in the order to apply: the platform's own, then the contracts'."""
    files = [*sorted(MIGRATIONS_DIR.glob("*.sql")), *sorted((contracts_dir / "migrations").glob("*.sql"))]
    if connection.execute("SELECT to_regclass('ingest.schema_migrations')").fetchone() == (None,):
        return files
    applied = {name for (name,) in connection.execute("SELECT name FROM ingest.schema_migrations")}
    return [file for file in files if migration_name(file) not in applied]


def migration_name(file: Path) -> str:
    """A migration's name in the ledger: the folder that owns it and the file, without any machine's path."""
    return f"{file.parent.parent.name}/{file.stem}"


def migrate(database_url: str, contracts_dir: Path) -> list[str]:
    """Apply what is pending, each file in its own transaction; return the names applied.

    Raises:
        PlimsollError: a file fails; the ones before it stay applied.
    """
    done: list[str] = []
    with connect(database_url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [_MIGRATION_LOCK])
        try:
            for file in pending_migrations(connection, contracts_dir):
                _apply(connection, file)
                done.append(migration_name(file))
        finally:
            connection.execute("SELECT pg_advisory_unlock(%s)", [_MIGRATION_LOCK])
    return done


def _apply(connection: psycopg.Connection, file: Path) -> None:
    try:
        with connection.transaction():
            connection.execute(file.read_bytes())
            connection.execute("INSERT INTO ingest.schema_migrations (name) VALUES (%s)", [migration_name(file)])
    except psycopg.Error as error:
        raise PlimsollError(f"migration {migration_name(file)} failed: {error}") from error
