"""`plimsoll dagster-home`: what Dagster needs before it starts."""

from __future__ import annotations

import typer


def dagster_home() -> None:
    """Prepare Dagster: write its configuration, make its schema, parse the dbt project where it changed."""
    from orchestration.dbt import ensure_manifest
    from orchestration.instance import write_instance
    from plimsoll.settings import Settings

    settings = Settings.load()
    home = write_instance(settings)
    ensure_manifest(settings)
    typer.echo(f"Dagster's instance is in {home}")
