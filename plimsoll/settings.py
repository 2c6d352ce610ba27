"""Settings: everything that differs between two installations, read from the environment once, on request.

The local stack writes the addresses of its own servers to `<home>/stack.env`; they count only where the
environment says nothing.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from plimsoll.errors import PlimsollError

PROJECT_DIR = Path(__file__).resolve().parent.parent
STACK_ENV = "stack.env"
# An @ behind the one that ends user and password: one of the two belongs to a password that is not encoded.
_STRAY_AT = re.compile(r"postgres(?:ql)?://(?>(?:[^@/]*@)?)[^?]*@")
# Handed on to programs that work elsewhere, and Dagster refuses a relative home.
_Folder = Annotated[Path, AfterValidator(lambda path: path.expanduser().resolve())]


class Settings(BaseSettings):
    """One installation's settings; build them with `Settings.load()`."""

    model_config = SettingsConfigDict(env_prefix="PLIMSOLL_", env_ignore_empty=True, populate_by_name=True)

    mode: Literal["development", "production"] = "development"
    home: _Folder = PROJECT_DIR / ".plimsoll"
    contracts_dir: _Folder = PROJECT_DIR / "data" / "contracts"
    dbt_project_dir: _Folder = PROJECT_DIR / "dbt_project"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    database_url: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("DATABASE_URL", "PLIMSOLL_DATABASE_URL")
    )
    kafka_bootstrap_servers: str | None = Field(
        default=None, validation_alias=AliasChoices("KAFKA_BOOTSTRAP_SERVERS", "PLIMSOLL_KAFKA_BOOTSTRAP_SERVERS")
    )
    # All landers of one database; a second installation on the same broker needs a group (and topics) of its own.
    kafka_group: str = "plimsoll-lander"
    # The landers' client; confluent is several times faster and needs the extra `fast`.
    kafka_client: Literal["kafka-python", "confluent"] = "kafka-python"
    kafka_home: Path | None = Field(default=None, validation_alias=AliasChoices("KAFKA_HOME", "PLIMSOLL_KAFKA_HOME"))

    mqtt_url: str | None = Field(default=None, validation_alias=AliasChoices("MQTT_URL", "PLIMSOLL_MQTT_URL"))
    mqtt_username: str | None = None
    mqtt_password: SecretStr | None = None
    mqtt_ca_file: Path | None = None
    mqtt_client_id: str = "plimsoll-bridge"

    host: str = "127.0.0.1"
    postgres_port: int = 5433
    kafka_port: int = 9092
    kafka_controller_port: int = 9093
    api_port: int = 8000
    dagster_port: int = 3000
    mqtt_port: int = 1883
    # Where processes without an HTTP of their own answer /metrics; 0 is off.
    lander_metrics_port: int = 9101
    mqtt_metrics_port: int = 9102

    default_tenant: str = "default"
    default_site: str | None = None
    # Whose public holidays count, such as ID or US-CA, where a site names none; else those where its time zone lies.
    country: str | None = None
    max_body_bytes: int = 1_000_000
    max_events_per_minute: int = Field(default=120_000, ge=0)

    alert_channels: SecretStr = SecretStr("")

    @classmethod
    def load(cls) -> Settings:
        """Read the environment, then the local stack's addresses for what it leaves open."""
        settings = cls()
        env_file = settings.home / STACK_ENV
        if env_file.exists():
            settings = settings.model_copy(update=_missing_from(settings, env_file))
        return settings

    def require_database_url(self) -> str:
        """The database's address, as libpq reads it.

        Raises:
            PlimsollError: there is none, and the message says the two ways to get one; or it cannot be read.
        """
        if self.database_url is None:
            raise PlimsollError("No database: start the local stack with `make up`, or set DATABASE_URL.")
        database_url = self.database_url.get_secret_value()
        if not _is_readable(database_url):
            raise PlimsollError(
                "DATABASE_URL cannot be read: write postgresql://user:password@host:port/name, "
                "with % / @ in the password as %25 %2F %40"
            )
        return database_url

    def require_kafka(self) -> str:
        """The broker's address, as `host:port[,host:port]`.

        Raises:
            PlimsollError: there is none; the message says the two ways to get one.
        """
        if self.kafka_bootstrap_servers is None:
            raise PlimsollError(
                "No Kafka broker: start the local stack with `make up`, or set KAFKA_BOOTSTRAP_SERVERS."
            )
        return self.kafka_bootstrap_servers

    def require_mqtt(self) -> str:
        """The MQTT broker's address, as `mqtt://host[:port]` or `mqtts://host[:port]`.

        Raises:
            PlimsollError: there is none; the message says the two ways to get one.
        """
        if self.mqtt_url is None:
            raise PlimsollError(
                "No MQTT broker: install Mosquitto and start the local stack with `make up`, or set MQTT_URL."
            )
        return self.mqtt_url

    @property
    def dagster_home(self) -> Path:
        """Where Dagster keeps its instance configuration."""
        return self.home / "dagster"


def _is_readable(database_url: str) -> bool:
    """Whether libpq finds everything where it belongs.

    Otherwise its errors quote the password, or part of it that was taken for a host, a port or a name.
    """
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        ports = str(conninfo_to_dict(database_url).get("port", ""))
    except ProgrammingError:
        return False
    return not _STRAY_AT.match(database_url) and all(port.isdigit() for port in ports.split(",") if port)


def _missing_from(settings: Settings, env_file: Path) -> dict[str, object]:
    lines = (line.partition("=") for line in env_file.read_text().splitlines() if "=" in line)
    written = {name: value for name, _, value in lines}
    update: dict[str, object] = {}
    if settings.database_url is None and "DATABASE_URL" in written:
        update["database_url"] = SecretStr(written["DATABASE_URL"])
    if settings.kafka_bootstrap_servers is None and "KAFKA_BOOTSTRAP_SERVERS" in written:
        update["kafka_bootstrap_servers"] = written["KAFKA_BOOTSTRAP_SERVERS"]
    if settings.mqtt_url is None and "MQTT_URL" in written:
        # The local broker's user goes with its address: it means nothing to another broker.
        update["mqtt_url"] = written["MQTT_URL"]
        update["mqtt_username"] = written.get("PLIMSOLL_MQTT_USERNAME")
        update["mqtt_password"] = SecretStr(written.get("PLIMSOLL_MQTT_PASSWORD", ""))
    return update


def write_stack_env(home: Path, values: dict[str, str]) -> None:
    """Write the local stack's addresses for other commands of this checkout; they hold a password: mode 0600."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / STACK_ENV
    path.touch(mode=0o600, exist_ok=True)
    path.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
