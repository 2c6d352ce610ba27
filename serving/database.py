"""The way to PostgreSQL: a small pool that opens with the service and survives a restart of the server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, LiteralString, TypeVar

import psycopg
from fastapi import Depends, Request
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

Row = dict[str, Any]
Result = TypeVar("Result")
Parameters = Mapping[str, Any] | Sequence[Any] | None
_Pool = AsyncConnectionPool[psycopg.AsyncConnection[Row]]

MISSING_RELATION = (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName)
"""What a statement raises while the migrations, or the job that builds the marts, have not run."""

MIN_CONNECTIONS = 2
MAX_CONNECTIONS = 10
WAIT_S = 2.0
STATEMENT_TIMEOUT_MS = 10_000
_SESSION: dict[str, Any] = {
    "application_name": "plimsoll-api",
    "connect_timeout": 5,
    "options": f"-c timezone=UTC -c statement_timeout={STATEMENT_TIMEOUT_MS}",
}


class Database:
    """Runs reading statements, every one a transaction of its own, and the writing of other packages.

    Args:
        url: a libpq address.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool: _Pool = AsyncConnectionPool(
            url,
            kwargs={"row_factory": dict_row, "autocommit": True, **_SESSION},
            connection_class=psycopg.AsyncConnection[Row],
            min_size=MIN_CONNECTIONS,
            max_size=MAX_CONNECTIONS,
            timeout=WAIT_S,
            # A connection that died with the server is found out before a request gets it.
            check=AsyncConnectionPool.check_connection,
            open=False,
            name="api",
        )

    async def open(self) -> None:
        """Begin to connect; a database that is not there yet does not keep the service from starting."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.close()

    async def rows(self, query: LiteralString, parameters: Parameters = None) -> list[Row]:
        """All rows of a statement, as dicts.

        Raises:
            psycopg.OperationalError: the server cannot be reached, or no connection got free in time.
        """
        async with self._pool.connection() as connection:
            return await (await connection.execute(query, parameters, binary=True)).fetchall()

    async def row(self, query: LiteralString, parameters: Parameters = None) -> Row | None:
        """The first row of a statement, or None."""
        async with self._pool.connection() as connection:
            return await (await connection.execute(query, parameters, binary=True)).fetchone()

    async def write(self, work: Callable[[psycopg.Connection], Result]) -> Result:
        """Let synchronous code of another package work on a connection of its own, off the event loop.

        Raises:
            psycopg.OperationalError: the server cannot be reached.
        """
        return await asyncio.to_thread(self._work, work)

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
