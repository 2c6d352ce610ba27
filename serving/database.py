"""The way to PostgreSQL: a small pool that opens with the service and survives a restart of the server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, LiteralString, TypeVar

import psycopg
from fastapi import Depends, Request
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

Row = dict[str, Any]
Result = TypeVar("Result")
Parameters = Mapping[str, Any] | Sequence[Any] | None
_Pool = AsyncConnectionPool[psycopg.AsyncConnection[Row]]

MIN_CONNECTIONS = 2
MAX_CONNECTIONS = 10
MAX_LIVE_CONNECTIONS = 4
MAX_WRITERS = 4
WAIT_S = 2.0
RECONNECT_S = 5.0
STATEMENT_TIMEOUT_MS = 10_000
LONGEST_S, LONGEST_LIVE_S = 15.0, 3.0  # a server that is paused, or whose host vanished, keeps no bound of its own
_SESSION: dict[str, Any] = {
    "application_name": "plimsoll-api",
    "connect_timeout": 5,
    "options": f"-c timezone=UTC -c statement_timeout={STATEMENT_TIMEOUT_MS}",
}


class _ConnectionEnded(psycopg.OperationalError):
    """The server ended a connection: now, or while it was idle."""


class Database:
    """Runs reading statements, every one a transaction of its own, and the writing of other packages.

    Args:
        url: a libpq address.
        max_connections: those that read, at most.
        longest_s: how long a question may take.
    """

    def __init__(self, url: str, max_connections: int = MAX_CONNECTIONS, longest_s: float = LONGEST_S) -> None:
        self.longest_s = longest_s
        self._url = url
        # Threads of its own: writers that wait for a lock leave the event loop's to others.
        self._writers = ThreadPoolExecutor(MAX_WRITERS, thread_name_prefix="api-writer")
        self._pool: _Pool = AsyncConnectionPool(
            url,
            kwargs={"row_factory": dict_row, "autocommit": True, **_SESSION},
            connection_class=psycopg.AsyncConnection[Row],
            min_size=MIN_CONNECTIONS,
            max_size=max_connections,
            timeout=WAIT_S,
            # Attempts double their pauses; requests begin new ones, so a server that is back is found at once.
            reconnect_timeout=RECONNECT_S,
            open=False,
            name="api",
        )

    @classmethod
    def for_live_state(cls, url: str) -> Database:
        """For what answers in milliseconds: live state, devices, health.

        It has connections of its own: questions that take long, or wait for a lock, take it none.
        """
        return cls(url, MAX_LIVE_CONNECTIONS, LONGEST_LIVE_S)

    async def open(self) -> None:
        """Begin to connect; a database that is not there yet does not keep the service from starting."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close the connections."""
        self._writers.shutdown(wait=False, cancel_futures=True)
        await self._pool.close()

    async def rows(self, query: LiteralString, parameters: Parameters = None) -> list[Row]:
        """All rows of a statement, as dicts.

        Raises:
            psycopg.OperationalError: the server cannot be reached, or no connection got free in time.
        """
        try:
            async with asyncio.timeout(self.longest_s):
                try:
                    return await self._asked(query, parameters)
                except _ConnectionEnded:
                    await self._pool.check()  # what else was idle ended with it
                    return await self._asked(query, parameters)
        except TimeoutError:
            raise psycopg.OperationalError(f"no answer within {self.longest_s:.0f} s") from None

    async def _asked(self, query: LiteralString, parameters: Parameters) -> list[Row]:
        async with self._pool.connection() as connection:
            try:
                return await (await connection.execute(query, parameters, binary=True)).fetchall()
            except psycopg.OperationalError as error:
                if connection.closed:
                    raise _ConnectionEnded(str(error)) from error
                raise

    async def row(self, query: LiteralString, parameters: Parameters = None) -> Row | None:
        """The first row of a statement, or None."""
        found = await self.rows(query, parameters)
        return found[0] if found else None

    async def write(self, work: Callable[[psycopg.Connection], Result]) -> Result:
        """Let synchronous code of another package work on a connection of its own, off the event loop.

        Raises:
            psycopg.OperationalError: the server cannot be reached.
        """
        return await asyncio.get_running_loop().run_in_executor(self._writers, self._work, work)

    def _work(self, work: Callable[[psycopg.Connection], Result]) -> Result:
        with psycopg.connect(self._url, **_SESSION) as connection:
            return work(connection)

    def statistics(self) -> dict[str, int]:
        """Connections of the pool: `pool_size`, `pool_available`, `requests_waiting`."""
        found = self._pool.get_stats()
        return {name: found.get(name, 0) for name in ("pool_size", "pool_available", "requests_waiting")}


def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


Db = Annotated[Database, Depends(_database)]
"""The service's database, as a route's parameter."""
