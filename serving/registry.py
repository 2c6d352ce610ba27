"""What the routes that write the registry share: errors as problem answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

import psycopg
from fastapi import Depends, Query

from ingest.registry.entries import RegistryError
from serving.database import Db
from serving.problems import ProblemError

Limit = Annotated[int, Query(ge=1, le=500, description="Entries per page.")]
Result = TypeVar("Result")
_STATUS = {
    "unknown_site": 404, "unknown_device": 404, "unknown_event": 404, "already_registered": 409, "not_active": 409,
}  # fmt: skip


class _Registry:
    """Runs what writes the registry, and turns what it refuses into problem answers."""

    def __init__(self, database: Db) -> None:
        self._database = database

    async def write(self, action: Callable[[psycopg.Connection], Result]) -> Result:
        """Run the action; what it cannot do becomes a problem answer."""
        try:
            return await self._database.write(action)
        except RegistryError as error:
            raise ProblemError(_STATUS.get(error.code, 422), error.code, str(error), error.field) from error


Registry = Annotated[_Registry, Depends(_Registry)]
