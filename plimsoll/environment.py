"""The environment variables that other programs (dbt, psql, Dagster) need to reach the platform."""

from __future__ import annotations

import os

from psycopg.conninfo import conninfo_to_dict

from plimsoll.settings import Settings


def client_environment(settings: Settings) -> dict[str, str]:
    """Variable to value; connection parts are given in libpq's names, which psql and dbt's profile read.

    Raises:
        PlimsollError: no database is known.
    """
    database_url = settings.require_database_url()
    info = conninfo_to_dict(database_url)
    variables = {
        "DATABASE_URL": database_url,
        "PGHOST": str(info.get("host", "127.0.0.1")),
        "PGPORT": str(info.get("port", 5432)),
        "PGUSER": str(info.get("user", "plimsoll")),
        "PGPASSWORD": str(info.get("password", os.environ.get("PGPASSWORD", ""))),
        "PGDATABASE": str(info.get("dbname", "plimsoll")),
        "DBT_PROJECT_DIR": str(settings.dbt_project_dir),
        "DBT_PROFILES_DIR": str(settings.dbt_project_dir),
        "DAGSTER_HOME": str(settings.dagster_home),
        "PLIMSOLL_HOME": str(settings.home),
        # XGBoost's threads spin while they wait for each other; on a busy machine that costs most of the time.
        "OMP_WAIT_POLICY": "passive",
    }
    if settings.kafka_bootstrap_servers:
        variables["KAFKA_BOOTSTRAP_SERVERS"] = settings.kafka_bootstrap_servers
    return variables
