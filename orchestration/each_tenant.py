"""Runs serve one tenant after another: what is wrong with one is no reason to leave out those after it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

import psycopg
from dagster import Failure

from orchestration.resources import tenants

Result = TypeVar("Result")


def serve_each(
    log: logging.Logger, connection: psycopg.Connection, serve: Callable[[str], Result]
) -> tuple[dict[str, Result], list[str]]:
    """Serve every tenant; return what came of it by tenant, and those that failed, whose errors are in the log.

    Raises:
        Exception: what `serve` raised, if the connection is lost or nobody could be served.
    """
    served: dict[str, Result] = {}
    failed: dict[str, Exception] = {}
    for tenant in tenants(connection):
        try:
            served[tenant] = serve(tenant)
        except Exception as error:
            if connection.closed:
                raise
            log.error(f"{tenant}: left out of this run: {error}", exc_info=True)
            failed[tenant] = error
    if failed and not served:
        raise next(iter(failed.values()))
    return served, list(failed)


def require_everybody(failed: Iterable[str]) -> None:
    """End a run as failed, once the others are served, where tenants were left out.

    Raises:
        Failure: names them.
    """
    if names := ", ".join(failed):
        raise Failure(f"left out: {names}; the log has the reasons. All other tenants are served.")
