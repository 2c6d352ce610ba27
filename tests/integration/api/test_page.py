"""The page in a browser: it says what it knows, how old that is, and what it could not read."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from chromium import PROGRAM, Page, open_page

from plimsoll.settings import Settings
from plimsoll.stack.ports import free_port
from serving.app import create_app

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed: apt install chromium"),
]


@pytest.fixture(scope="module")
def address(seed: Any, database_url: str, stack: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the API with its page answers."""
    app = create_app(
        Settings(home=tmp_path_factory.mktemp("api"), database_url=database_url, kafka_bootstrap_servers=None)
    )
    server = uvicorn.Server(uvicorn.Config(app, port=(port := free_port()), log_config=None))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}/"
    server.should_exit = True
    thread.join(20)


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    with open_page() as page:
        yield page


@pytest.fixture
def page(browser: Page) -> Iterator[Page]:
    """A tab that reaches everything to begin with."""
    yield browser
    browser.release()


def test_a_platform_without_sites_says_so(page: Page, address: str) -> None:
    page.open(address)

    page.await_text("#site-count", "No sites yet")
    assert page.text("#forecast") == "No site yet."


def test_where_all_sites_are_silent_the_forecast_of_one_is_shown(page: Page, address: str, seed: Any) -> None:
    seed.site("gym", kind="venue", name="Gym")
    seed.forecast("gym", [40.0] * 24)
    page.open(address)

    page.await_text("#site-list", "never heard")
    page.await_text("#forecast", "Fullest at")


def test_without_answers_what_is_shown_grows_old(page: Page, address: str, seed: Any) -> None:
    seed.site("hall", kind="venue", name="Hall")
    seed.live("hall", 8, age_s=20)
    page.open(address)
    page.await_text("#site-list", " s ago")
    page.block("*/api/*", "*/health")

    page.await_text("#health", "not up to date")
    page.run("window.skipped = 600_000")

    page.await_text("#site-list", "10 min ago")


def test_an_answer_that_never_comes_is_not_waited_for_without_end(page: Page, address: str) -> None:
    page.open(address)
    page.await_text("#health", "degraded")
    page.hold("*/api/occupancy/now*")

    page.await_text("#health", "not up to date")
    page.release()
    page.await_text("#health", "degraded")


def test_a_part_that_cannot_be_read_is_said_although_the_rest_is_up_to_date(page: Page, address: str) -> None:
    page.block("*/api/hotspots*")
    page.open(address)
    page.await_text("#recommendations", "Nothing to do.")

    for number in range(3):  # each look says so anew
        page.run("document.querySelector('#health').textContent = ''")
        page.await_text("#health", ":")
        assert "not up to date" in page.text("#health"), f"look {number}"


def test_without_the_lines_of_routes_sites_are_shown(page: Page, address: str, seed: Any) -> None:
    seed.site("pool", kind="venue", name="Pool")
    page.block("*/api/map/routes*")
    page.open(address)

    page.await_text("#site-list", "Pool")
    page.await_text("#health", "not up to date")


def test_hotspots_beyond_those_shown_are_counted(page: Page, address: str, seed: Any) -> None:
    for number in range(23):
        seed.hotspot(f"place-{number}", minutes=number)
    page.open(address)

    page.await_text("#hotspots", "place-22")
    assert "more" in page.text("#hotspots li:last-child")


def test_what_came_along_when_a_key_was_copied_is_left_out(page: Page, address: str) -> None:
    page.open(address)
    page.await_text("#health", "degraded")

    key = page.run("import('/static/client.js').then((client) => client.savedKey(' k-0123456789\u200b\u2026 '))")

    assert key == "k-0123456789"


def test_documentation_that_cannot_be_read_says_so(page: Page, address: str) -> None:
    page.block("*/openapi.json")
    page.open(f"{address}docs")

    page.await_text("#operations", "cannot be read")
