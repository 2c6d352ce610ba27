"""Who may see whose data: keys, and what happens without them."""

from __future__ import annotations

import pytest

from plimsoll.errors import PlimsollError
from plimsoll.settings import Settings
from serving.tenancy import TenantFinder, parse_keys

KEY = "0123456789abcdef"


def test_a_key_belongs_to_one_tenant() -> None:
    finder = TenantFinder({KEY: "a", KEY[::-1]: "b"}, "default")

    assert (finder.tenant_of(KEY), finder.tenant_of(KEY[::-1])) == ("a", "b")
    assert finder.tenant_of(KEY[:-1]) is None
    assert finder.tenant_of("") is None and finder.tenant_of(None) is None


def test_development_asks_for_no_key() -> None:
    settings = Settings(mode="development", default_tenant="mine")

    assert TenantFinder.from_environment(settings).tenant_of(None) == "mine"


def test_production_without_keys_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLIMSOLL_API_KEYS", raising=False)

    with pytest.raises(PlimsollError, match="PLIMSOLL_API_KEYS"):
        TenantFinder.from_environment(Settings(mode="production"))


def test_keys_may_hold_colons_and_the_list_spaces() -> None:
    assert parse_keys(f" {KEY}:x:a , {KEY}y:b,") == {f"{KEY}:x": "a", f"{KEY}y": "b"}


@pytest.mark.parametrize("entry", ["short:a", f"{KEY}", f"{KEY}:"])
def test_what_is_no_key_is_named_by_its_place_and_not_repeated(entry: str) -> None:
    with pytest.raises(PlimsollError, match="entry 1") as raised:
        parse_keys(entry)
    assert entry not in str(raised.value)
