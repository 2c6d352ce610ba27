"""One real PostgreSQL and one real Kafka for the whole run; a fresh database and fresh topics for every module."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from kafka.admin import KafkaAdminClient
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from plimsoll.contracts import load_contracts
from plimsoll.contracts.topics import create_topics, present_topics
from plimsoll.database import migrate
from plimsoll.settings import PROJECT_DIR
from plimsoll.stack.local import LocalStack
from plimsoll.stack.ports import free_port

EXTERNAL_KAFKA = os.environ.get("PLIMSOLL_TEST_KAFKA")
CONTRACTS_DIR = PROJECT_DIR / "data" / "contracts"


@pytest.fixture(scope="session")
def shared_stack() -> Iterator[LocalStack]:
    """PostgreSQL and Kafka on free ports, or the servers that the environment names."""
    with tempfile.TemporaryDirectory(prefix="plimsoll-test-") as folder, _stack_in(Path(folder)) as running:
        yield running


@pytest.fixture(scope="module")
def stack(shared_stack: LocalStack) -> LocalStack:
    """The servers, with topics that no other module has written to, unless the broker is somebody's own."""
    if EXTERNAL_KAFKA is None:
        _delete_topics(shared_stack.bootstrap_servers)
    create_topics(shared_stack.bootstrap_servers, load_contracts(CONTRACTS_DIR).values())
    return shared_stack


def _delete_topics(bootstrap_servers: str) -> None:
    present = [topic for topic in present_topics(bootstrap_servers) if not topic.startswith("__")]
    with closing(KafkaAdminClient(bootstrap_servers=bootstrap_servers)) as admin:
        admin.delete_topics(present)


def _stack_in(folder: Path) -> LocalStack:
    folder.chmod(0o711)  # the account that PostgreSQL runs as must be able to pass
    return LocalStack(
        folder,
        postgres_port=free_port(),
        kafka_port=free_port(),
        kafka_controller_port=free_port(),
        database_url=os.environ.get("PLIMSOLL_TEST_DATABASE_URL"),
        bootstrap_servers=EXTERNAL_KAFKA,
    )


@pytest.fixture(scope="session")
def new_database(shared_stack: LocalStack) -> Callable[[str], AbstractContextManager[str]]:
    """Give `new_database(name)`: a migrated database for as long as its block lasts."""

    @contextmanager
    def create(name: str) -> Iterator[str]:
        unique = f"{name[:40]}_{uuid.uuid4().hex[:6]}"
        with psycopg.connect(shared_stack.database_url, autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(unique)))
        parts = conninfo_to_dict(shared_stack.database_url) | {"dbname": unique}
        url = f"postgresql://{parts['user']}:{parts['password']}@{parts['host']}:{parts['port']}/{unique}"
        migrate(url, CONTRACTS_DIR)
        try:
            yield url
        finally:
            with psycopg.connect(shared_stack.database_url, autocommit=True) as admin:
                # Not WITH (FORCE): that may not end autovacuum, which a plain drop ends by itself.
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND usename = user",
                    [unique],
                )
                admin.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(unique)))

    return create


@pytest.fixture(scope="module")
def database_url(
    new_database: Callable[[str], AbstractContextManager[str]], request: pytest.FixtureRequest
) -> Iterator[str]:
    """A migrated database of the module's own."""
    with new_database(re.sub(r"\W", "_", request.module.__name__.rpartition(".")[2])) as url:
        yield url


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    """A connection to the module's database, in autocommit."""
    with psycopg.connect(make_conninfo(database_url), autocommit=True, options="-c timezone=UTC") as opened:
        yield opened


@pytest.fixture
def platform_env(stack: LocalStack, database_url: str, tmp_path: Path) -> dict[str, str]:
    """The environment for a command of the platform run against the module's database."""
    return {
        **os.environ,
        "DATABASE_URL": database_url,
        "KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
        "PLIMSOLL_LANDER_METRICS_PORT": "0",
        "PLIMSOLL_MQTT_METRICS_PORT": "0",
        "PLIMSOLL_KAFKA_GROUP": str(conninfo_to_dict(database_url)["dbname"]),
        "PLIMSOLL_HOME": str(tmp_path / "home"),
    }


@pytest.fixture
def plimsoll(platform_env: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `plimsoll ARGS…` to its end, as a user would; fails the test on a non-zero exit unless `check=False`."""

    def run(*args: str, check: bool = True, timeout: float = 120, **env: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "plimsoll", *args],
            env=platform_env | env, capture_output=True, text=True, timeout=timeout,
        )  # fmt: skip
        if check and done.returncode != 0:
            pytest.fail(f"plimsoll {' '.join(args)} exited {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    return run


@pytest.fixture(scope="session")
def datasets() -> Path:
    """The folder of public data sets; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("PLIMSOLL_DATASETS", PROJECT_DIR.parent / "shared" / "datasets"))
    if not folder.is_dir():
        pytest.skip(f"no data sets at {folder.name}/: set PLIMSOLL_DATASETS to their folder")
    return folder
