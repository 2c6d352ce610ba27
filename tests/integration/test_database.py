"""Sessions with a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

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


@pytest.mark.parametrize(
    "command", ["load lots.csv", "rejects list", "rejects replay", "devices list", "calendar list"]
)
def test_a_command_before_the_first_migration_says_what_to_do(
    tmp_path: Path, database_url: str, plimsoll: Callable[..., CompletedProcess[str]], command: str
) -> None:
    (tmp_path / "lots.csv").write_text("occupancy,ts_device\n1,2016-07-01T10:00Z\n")
    arguments = command.replace("lots.csv", str(tmp_path / "lots.csv")).split()

    done = plimsoll(*arguments, check=False, DATABASE_URL=make_conninfo(database_url, dbname="template1"))

    assert done.returncode == 1 and "run `plimsoll migrate`" in done.stderr and "Traceback" not in done.stderr
