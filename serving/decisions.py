"""Decisions of people about hotspots and recommendations, with refusals turned into problem answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import psycopg

from forecasting.lifecycle import RecordExpired, UnknownRecord, WrongState
from serving.database import Database
from serving.problems import ProblemError

Result = TypeVar("Result")


async def carried_out(database: Database, work: Callable[[psycopg.Connection], Result], unknown: str) -> Result:
    """Do the work, which decides or proposes.

    Args:
        database: where to do it.
        work: gets a connection.
        unknown: the code of the answer when the tenant has no such thing, such as `unknown_hotspot`.

    Raises:
        ProblemError: 404, the tenant has no such thing; 409, its state does not allow the decision.
    """
    try:
        return await database.write(work)
    except UnknownRecord as error:
        raise ProblemError(404, unknown, _sentence(error), f"{unknown.removeprefix('unknown_')}_id") from error
    except RecordExpired as error:
        raise ProblemError(409, "expired", _sentence(error)) from error
    except WrongState as error:
        raise ProblemError(409, "wrong_state", _sentence(error)) from error


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
