"""A lander's session with Postgres, which neither holds up others for long nor waits for them without a word."""

from __future__ import annotations

import psycopg

from plimsoll.contracts.topics import PATIENCE_MS
from plimsoll.database import KEEPALIVES

# A lander's host may vanish, a lander may be paused: the server ends its session and with it the locks that its
# successors wait for. Who waits gives up in time to say so and to notice that it is told to stop.
_SETTINGS = KEEPALIVES | {
    "timezone": "UTC",
    "idle_in_transaction_session_timeout": "30s",
    "transaction_timeout": "5min",  # one that is paused in the middle of COPY counts as busy; since PostgreSQL 17
    "lock_timeout": f"{PATIENCE_MS}ms",
}


def open_session(database_url: str, application_name: str) -> psycopg.Connection:
    """A connection in autocommit, in UTC; settings that the URL names in its `options` stay as they are there.

    Raises:
        psycopg.Error: the server cannot be reached.
    """
    connection = psycopg.connect(
        database_url, autocommit=True, connect_timeout=10, application_name=application_name,
        keepalives_idle=5, keepalives_interval=2, keepalives_count=3,
    )  # fmt: skip
    connection.execute(
        """
        SELECT set_config(name, wanted.value, false)
        FROM pg_settings JOIN unnest(%s::text[], %s::text[]) AS wanted (name, value) USING (name)
        WHERE source <> 'client'
        """,
        [list(_SETTINGS), list(_SETTINGS.values())],
    )
    return connection
