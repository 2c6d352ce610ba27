"""Runs serve one tenant after another: what is wrong with one is no reason to leave out those after it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

import psycopg
from dagster import Failure

Result = TypeVar("Result")


def serve_each(
    log: logging.Logger, connection: psycopg.Connection, everybody: Iterable[str], serve: Callable[[str], Result]
) -> tuple[dict[str, Result], list[str]]:
    """Serve everybody; return what came of it by name, and those that failed, whose errors are in the log.

    Args:
        log: where the errors go.
        connection: what `serve` works on, in autocommit.
        everybody: tenants, or what is a tenant's by a name such as `tenant/group`.
        serve: does the work for one of them.

    Raises:
        Exception: what `serve` raised, if the connection is lost or nobody could be served.
    """
    served: dict[str, Result] = {}
    failed: dict[str, Exception] = {}
    for name in everybody:
        try:
            served[name] = serve(name)
        except Exception as error:
            if connection.closed:
                raise
            log.error(f"{name}: left out of this run: {error}", exc_info=True)
            failed[name] = error
    if failed and not served:
        raise next(iter(failed.values()))
    return served, list(failed)


def require_everybody(failed: Iterable[str]) -> None:
    """End a run or a sensor's look as failed, once the others are served, where somebody was left out.

    Raises:
        Failure: names them.
    """
    if names := ", ".join(dict.fromkeys(failed)):
        raise Failure(f"left out: {names}; the log has the reasons. All others are served.")
