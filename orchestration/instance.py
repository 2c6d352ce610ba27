"""Where Dagster keeps its memory: the files of `$DAGSTER_HOME`, and a schema of the platform's database."""

from __future__ import annotations

import shutil
from pathlib import Path

from plimsoll.database import connect
from plimsoll.settings import Settings

_FILES = ("dagster.yaml", "workspace.yaml")
SCHEMA = "dagster"


def write_instance(settings: Settings) -> Path:
    """Write the instance's configuration and create its schema; safe to call again. Returns DAGSTER_HOME.

    Raises:
        PlimsollError: there is no database, or it cannot be reached.
    """
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        shutil.copyfile(Path(__file__).with_name(name), home / name)
    with connect(settings.require_database_url(), autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    return home
