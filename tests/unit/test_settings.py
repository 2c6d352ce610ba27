"""What an installation's settings say when they cannot be used."""

from __future__ import annotations

import traceback

import pytest
from pydantic import SecretStr

from plimsoll.environment import client_environment
from plimsoll.errors import PlimsollError
from plimsoll.settings import Settings


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://plimsoll:Top%hush@db/plimsoll",
        "postgresql://plimsoll:Top/hush@db/plimsoll",
        "postgresql://plimsoll:5/hush@db/plimsoll",
        "postgresql://plimsoll:Top@hush@db/plimsoll",
        "postgresql://plimsoll:Top/hush?@db/plimsoll",
        "postgresql+psycopg://plimsoll:hush@db/plimsoll",
        "host=db password=Top hush",
    ],
)
def test_a_mistyped_database_url_is_refused_without_any_part_of_it(url: str) -> None:
    with pytest.raises(PlimsollError, match="DATABASE_URL cannot be read") as refused:
        client_environment(Settings(database_url=SecretStr(url)))

    told = "".join(traceback.format_exception(refused.value))
    assert "%25" in told
    assert "Top" not in told and "hush" not in told


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://plimsoll:Top%25%2F%40:#?@db:5432/plimsoll?sslmode=require&application_name=a@b",
        "postgres://u:p@one:5432,[::1]:5433/plimsoll",
        "postgresql:///plimsoll?host=/run/postgresql",
        "host=db port=5432 password='at@slash/'",
    ],
)
def test_every_way_of_libpq_to_write_an_address_is_taken_as_it_is(url: str) -> None:
    assert Settings(database_url=SecretStr(url)).require_database_url() == url


def test_a_password_beside_the_address_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "%/@")
    apart = client_environment(Settings(database_url=SecretStr("postgresql://plimsoll@db:5432/plimsoll")))
    within = client_environment(Settings(database_url=SecretStr("postgresql://plimsoll:a%25b@db:5432/plimsoll")))

    assert apart["PGPASSWORD"] == "%/@"
    assert within["PGPASSWORD"] == "a%b"
