"""What the routes that write the registry share: a connection of their own, and errors as problem answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, TypeVar

import psycopg
from fastapi import Depends, Query, Request

from ingest.registry.entries import RegistryError
from plimsoll.settings import Settings
from serving.problems import ProblemError

Limit = Annotated[int, Query(ge=1, le=500, description="Entries per page.")]
Result = TypeVar("Result")
_STATUS = {
    "unknown_site": 404, "unknown_device": 404, "unknown_event": 404, "already_registered": 409, "not_active": 409,
}  # fmt: skip


class _Registry:
    """Runs what writes the registry on a connection of its own, off the event loop; it is rare."""

    def __init__(self, request: Request) -> None:
        settings: Settings = request.app.state.settings
        self._database_url = settings.require_database_url()

    async def write(self, action: Callable[[psycopg.Connection], Result]) -> Result:
        """Run the action; what it cannot do becomes a problem answer."""
        try:
            return await asyncio.to_thread(self._run, action)
        except RegistryError as error:
            raise ProblemError(_STATUS.get(error.code, 422), error.code, str(error), error.field) from error

    def _run(self, action: Callable[[psycopg.Connection], Result]) -> Result:
        with psycopg.connect(
            self._database_url, autocommit=True, connect_timeout=5, options="-c timezone=UTC -c statement_timeout=10s"
        ) as connection:
            return action(connection)


Registry = Annotated[_Registry, Depends(_Registry)]
