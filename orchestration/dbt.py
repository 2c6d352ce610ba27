"""The dbt project as Dagster needs it: a manifest that is up to date, and an environment to run in."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg
from dagster_dbt import DbtCliResource
from packaging.version import Version

from plimsoll.environment import client_environment
from plimsoll.errors import PlimsollError
from plimsoll.settings import Settings

# Beside the interpreter, because a virtual environment need not be activated.
EXECUTABLE = Path(sys.executable).with_name("dbt")
_SOURCES = {".sql", ".yml", ".yaml", ".csv", ".md", ".py"}
_GENERATED = {"target", "logs", "dbt_packages"}
_BUILD_LOCK = 7_305_810  # any constant: two builds of the same tables wait for each other on it


class Dbt(DbtCliResource):
    """dbt's command line, in the version that is installed here."""

    @classmethod
    def of(cls, settings: Settings) -> Dbt:
        """Dbt on the project that the settings name, with the profile that lies in it."""
        folder = str(settings.dbt_project_dir)
        return cls(project_dir=folder, profiles_dir=folder, dbt_executable=str(EXECUTABLE))

    @property
    def _cli_version(self) -> Version:
        # Asking the program itself takes it two seconds, before every build.
        return Version(version("dbt-core"))


def load_manifest(settings: Settings) -> dict[str, Any]:
    """The parsed dbt project, up to date.

    Raises:
        PlimsollError: dbt cannot parse the project; with what dbt said.
    """
    manifest: dict[str, Any] = json.loads(ensure_manifest(settings).read_text())
    return manifest


def ensure_manifest(settings: Settings) -> Path:
    """Parse the dbt project unless its manifest is newer than every file of it; return the manifest's path.

    Raises:
        PlimsollError: dbt cannot parse the project; with what dbt said.
    """
    project_dir = settings.dbt_project_dir
    manifest = project_dir / "target" / "manifest.json"
    if _is_current(manifest, project_dir):
        return manifest
    manifest.parent.mkdir(exist_ok=True)
    # Code server, daemon and command line load at the same time after a change; one parses, the others wait.
    with (manifest.parent / ".parse.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_current(manifest, project_dir):
            _parse(settings)
    return manifest


def _is_current(manifest: Path, project_dir: Path) -> bool:
    if not manifest.exists():
        return False
    written = manifest.stat().st_mtime
    return all(file.stat().st_mtime <= written for file in _source_files(project_dir))


def _source_files(project_dir: Path) -> Iterator[Path]:
    for entry in project_dir.iterdir():
        if entry.is_dir() and entry.name not in _GENERATED:
            yield from (file for file in entry.rglob("*") if file.suffix in _SOURCES)
        elif entry.suffix in _SOURCES:
            yield entry


def _parse(settings: Settings) -> None:
    # dbt's partial parsing holds only for the environment it was made in, so parse in the one that runs will have.
    known = client_environment(settings) if settings.database_url else {}
    folder = str(settings.dbt_project_dir)
    done = subprocess.run(
        [str(EXECUTABLE), "parse", "--quiet", "--project-dir", folder, "--profiles-dir", folder],
        env=os.environ | known, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise PlimsollError(f"dbt cannot parse {folder}:\n{done.stdout}{done.stderr}".rstrip())


@contextmanager
def building(settings: Settings) -> Iterator[None]:
    """For the time of a dbt build: its environment is this process's, and no other build runs on the database."""
    before = dict(os.environ)
    os.environ.update(client_environment(settings))
    try:
        with psycopg.connect(settings.require_database_url(), autocommit=True) as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", [_BUILD_LOCK])
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)
