"""PostgreSQL and Kafka together, as the demo and the tests want them."""

import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from plimsoll.stack.errors import NoBrokerError, StackError
from plimsoll.stack.kafka import LocalKafka, broker_answers
from plimsoll.stack.lock import StateLock
from plimsoll.stack.postgres import LocalPostgres

_OUTSIDE_TIMEOUT_S = 5


class LocalStack:
    """A database and a broker: each started here, or an outside one that is only checked.

    Use it as a context manager; on leaving, what it started is stopped and the data stays. Where a
    `Supervisor` runs programs against it, this is the outer of the two, so that the programs stop first.

    Args:
        state_dir: where everything is kept; created when missing, one stack at a time.
        postgres_port: TCP port for PostgreSQL.
        kafka_port: TCP port for Kafka's clients.
        kafka_controller_port: TCP port for Kafka's controller.
        database_url: an outside database to use instead of a local PostgreSQL; the local one's own address is none.
        bootstrap_servers: an outside broker to use instead of a local Kafka.
        kafka_home: folder of an installed Kafka.
        kafka_cache_dir: folder that keeps the jars which Maven fetched.
        needs_broker: fail where no Kafka can be had; otherwise do without one and say why.
        say: told in a sentence what a person should know while things start.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        postgres_port: int = 5432,
        kafka_port: int = 9092,
        kafka_controller_port: int = 9093,
        database_url: str | None = None,
        bootstrap_servers: str | None = None,
        kafka_home: Path | None = None,
        kafka_cache_dir: Path | None = None,
        needs_broker: bool = True,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.state_dir = state_dir
        self._needs_broker = needs_broker
        self._say = say
        self._lock = StateLock(state_dir)
        self._locked = False
        self._database_url: str | None = None
        self._bootstrap_servers: str | None = None
        self.postgres = LocalPostgres(state_dir, postgres_port, say)
        self.kafka = LocalKafka(state_dir, kafka_port, kafka_controller_port, kafka_home, kafka_cache_dir, say)
        if database_url is not None and self.postgres.is_at(database_url):
            # From `plimsoll env`: only that knows the password, and it names both servers.
            database_url = None
            bootstrap_servers = None if bootstrap_servers == self.kafka.bootstrap_servers else bootstrap_servers
        self._outside_database = database_url
        self._outside_broker = bootstrap_servers

    @property
    def database_url(self) -> str:
        """The database's address, once started."""
        return _started(self._database_url)

    @property
    def bootstrap_servers(self) -> str:
        """The broker's address, once started."""
        return _started(self._bootstrap_servers)

    @property
    def has_broker(self) -> bool:
        """Whether a broker was started or found."""
        return self._bootstrap_servers is not None

    def start(self) -> None:
        """Bring both up, at the same time.

        Raises:
            StackError: one does not start or does not answer; the other is stopped again.
        """
        self._lock.acquire()
        self._locked = True
        try:
            self._start_both()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop what was started here; outside servers are left alone."""
        self._database_url = self._bootstrap_servers = None
        try:
            if self._outside_broker is None:
                self.kafka.stop()
        finally:
            if self._outside_database is None:
                self.postgres.stop()
            if self._locked:
                self._lock.release()
            self._locked = False

    def forget(self) -> None:
        """Delete the local servers' data.

        Raises:
            StackError: a stack is running on it.
        """
        with self._lock:
            self.kafka.forget()
            self.postgres.forget()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start_both(self) -> None:
        broker = _InThread(self._start_broker)
        broker.start()
        try:
            self._database_url = self._start_database()
        except BaseException:
            # Ends the broker's start as well, which would otherwise be waited for.
            self.kafka.stop()
            raise
        finally:
            broker.join()
        try:
            self._bootstrap_servers = broker.result()
        except NoBrokerError as error:
            if self._needs_broker:
                raise
            self._say(str(error))

    def _start_database(self) -> str:
        if self._outside_database is None:
            return self.postgres.start()
        require_database(self._outside_database)
        return self._outside_database

    def _start_broker(self) -> str:
        if self._outside_broker is None:
            return self.kafka.start()
        if not broker_answers(self._outside_broker, _OUTSIDE_TIMEOUT_S):
            raise StackError(
                f"no Kafka broker answers at KAFKA_BOOTSTRAP_SERVERS={self._outside_broker}: "
                "start it, correct the address, or unset the variable to use a local broker"
            )
        return self._outside_broker


def require_database(database_url: str) -> None:
    """Raise StackError unless the database at `database_url` lets us in."""
    import psycopg

    try:
        psycopg.connect(database_url, connect_timeout=_OUTSIDE_TIMEOUT_S).close()
    except psycopg.Error as error:
        # The error names host, port and user; the URL would show the password.
        raise StackError(
            f"the database of DATABASE_URL does not let us in: {str(error).strip()}. "
            "Start it, correct the address, or unset the variable to use a local PostgreSQL"
        ) from error


def _started(address: str | None) -> str:
    if address is None:
        raise StackError("the local stack is not running: start it first")
    return address


class _InThread(threading.Thread):
    """Runs one function and keeps what it returned or raised."""

    def __init__(self, function: Callable[[], str]) -> None:
        super().__init__(daemon=True)
        self._function = function
        self._result = ""
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._result = self._function()
        except BaseException as error:
            self._error = error

    def result(self) -> str:
        if self._error is not None:
            raise self._error
        return self._result
