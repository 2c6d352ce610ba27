"""What runs work on: the installation's settings and connections, taken when a run asks and never before."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from dagster import ConfigurableResource, InitResourceContext
from pydantic import Field, SecretStr

from orchestration.abandoned_runs import alive
from plimsoll.database import connect
from plimsoll.settings import Settings


class Platform(ConfigurableResource[Any]):
    """One installation of the platform."""

    database_url: str | None = Field(None, description="Database to use instead of the one that the settings name.")

    @contextmanager
    def yield_for_execution(self, context: InitResourceContext) -> Iterator["Platform"]:
        """As it is; a run holds its lock meanwhile."""
        if context.run is None or context.instance is None:
            yield self
            return
        with alive(self.settings().require_database_url(), context.instance, context.run):
            yield self

    def settings(self) -> Settings:
        """The settings of this moment."""
        settings = Settings.load()
        if self.database_url is None:
            return settings
        return settings.model_copy(update={"database_url": SecretStr(self.database_url)})

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection]:
        """A connection in autocommit: what belongs together is a transaction of whoever writes it.

        One around a whole run would hold every lock and every change until its last tenant is done.

        Raises:
            PlimsollError: no database is known, or it cannot be reached.
        """
        with connect(self.settings().require_database_url(), autocommit=True) as connection:
            yield connection


def tenants(connection: psycopg.Connection) -> list[str]:
    """Every tenant, in the order of their ids."""
    return [tenant for (tenant,) in connection.execute("SELECT tenant_id FROM registry.tenants ORDER BY 1")]
