"""The compose file: whole, with required secrets, nothing published beyond this machine, and commands that exist."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from typer.main import get_command

from plimsoll.cli import build
from plimsoll.settings import PROJECT_DIR, Settings

TEXT = (PROJECT_DIR / "docker-compose.yml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]


def test_every_part_of_the_platform_is_a_service() -> None:
    parts = {
        "postgres",
        "kafka",
        "migrate",
        "topics",
        "lander",
        "api",
        "dagster-code",
        "dagster-webserver",
        "dagster-daemon",
    }

    assert parts <= SERVICES.keys()


@pytest.mark.parametrize("secret", ["POSTGRES_PASSWORD", "MQTT_PASSWORD", "PLIMSOLL_API_KEYS"])
def test_secrets_are_required_and_have_no_default(secret: str) -> None:
    assert f"${{{secret}:?" in TEXT
    assert not re.search(rf"\$\{{{secret}(:-|\}})", TEXT)


def test_a_password_of_any_letters_reaches_the_database() -> None:
    environment = SERVICES["lander"]["environment"]

    assert environment["PGPASSWORD"].startswith("${POSTGRES_PASSWORD")
    assert "PASSWORD" not in environment["DATABASE_URL"]


def test_what_is_handed_on_is_a_setting() -> None:
    handed_on = {name for service in SERVICES.values() for name in service.get("environment", {})}
    names = {name.removeprefix("PLIMSOLL_").lower() for name in handed_on if name.startswith("PLIMSOLL_")}

    assert {"country", "max_events_per_minute"} <= names
    assert names - {"api_keys"} <= Settings.model_fields.keys()


def test_ports_are_published_on_this_machine_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_dependencies_name_services() -> None:
    for name, service in SERVICES.items():
        assert service.get("depends_on", {}).keys() <= SERVICES.keys(), name


@pytest.mark.parametrize("name", [n for n, s in SERVICES.items() if "build" in s and "entrypoint" not in s])
def test_commands_exist_on_the_command_line(name: str) -> None:
    command: Any = get_command(build())
    for word in SERVICES[name]["command"]:
        if not hasattr(command, "commands"):
            break
        assert word in command.commands
        command = command.commands[word]


@pytest.mark.parametrize("name", ["dagster-code", "dagster-webserver", "dagster-daemon"])
def test_dagster_programs_are_the_ones_that_the_local_stack_starts(name: str) -> None:
    program = SERVICES[name]["entrypoint"][0]

    assert program in {"dagster", "dagster-webserver", "dagster-daemon"}
    if program == "dagster":
        assert "orchestration.definitions" in SERVICES[name]["entrypoint"]
    else:
        assert SERVICES[name]["depends_on"] == {"dagster-code": {"condition": "service_healthy"}}


def test_what_serves_people_has_a_health_check() -> None:
    assert all(
        "healthcheck" in SERVICES[name] for name in ("postgres", "kafka", "api", "dagster-code", "dagster-webserver")
    )
