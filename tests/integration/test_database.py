"""Sessions with a real PostgreSQL."""

from __future__ import annotations

import pytest
from psycopg.conninfo import make_conninfo

from plimsoll.database import connect

pytestmark = pytest.mark.integration


def test_settings_that_the_address_names_hold_beside_the_sessions_own_which_stays_in_utc(database_url: str) -> None:
    url = make_conninfo(
        database_url, options="-c statement_timeout=7s -c tcp_keepalives_idle=20s -c timezone=Asia/Jakarta"
    )
    names = ["statement_timeout", "tcp_keepalives_idle", "tcp_keepalives_count", "TimeZone"]

    with connect(url) as connection:
        [settings] = connection.execute(
            "SELECT array_agg(current_setting(name) ORDER BY n) FROM unnest(%s::text[]) WITH ORDINALITY AS t (name, n)",
            [names],
        ).fetchall()

    assert settings == (["7s", "20", "3", "UTC"],)
