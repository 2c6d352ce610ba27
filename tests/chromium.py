"""A browser without a window, driven over its own protocol: enough to look at a page, and no more."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

PROGRAM = shutil.which("chromium") or shutil.which("google-chrome")
PATIENCE_S = 20.0
FASTER = 10


class Page:
    """One tab, its timers faster than those of others; `window.skipped` are milliseconds that its clock is ahead."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        for domain in ("Page", "Network"):
            self._do(f"{domain}.enable")
        self._do("Page.addScriptToEvaluateOnNewDocument", source=f"""
            const [later, until, now] = [setTimeout, AbortSignal.timeout, Date.now];
            window.skipped = 0;
            window.setTimeout = (work, ms) => later(work, ms / {FASTER});
            AbortSignal.timeout = (ms) => until.call(AbortSignal, ms / {FASTER});
            Date.now = () => now() + window.skipped;
        """)  # fmt: skip

    def open(self, url: str, width: int = 1280) -> None:
        """Show a page in a window of so many pixels."""
        self._do("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
        self._do("Page.navigate", url=url)

    def block(self, *patterns: str) -> None:
        """Let requests to these addresses fail."""
        self._do("Network.setBlockedURLs", urls=list(patterns))

    def hold(self, pattern: str) -> None:
        """Let requests to these addresses wait for an answer for ever."""
        self._do("Fetch.enable", patterns=[{"urlPattern": pattern}])

    def release(self) -> None:
        """Let all requests through again."""
        self.block()
        self._do("Fetch.disable")

    def text(self, selector: str) -> str:
        """What is written in the first element of that kind."""
        return str(self.run(f"document.querySelector({json.dumps(selector)})?.textContent ?? ''"))

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression in the page, awaited."""
        answer = self._do("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        return answer["result"].get("value")

    def await_text(self, selector: str, wanted: str) -> str:
        """The text of an element once it holds what is wanted."""
        deadline = time.monotonic() + PATIENCE_S
        while wanted not in (text := self.text(selector)):
            assert time.monotonic() < deadline, f"{selector} says {text!r}, not {wanted!r}"
            time.sleep(0.05)
        return text

    def _do(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (answer := json.loads(self._socket.recv(PATIENCE_S))).get("id") != number:
            pass  # an event
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result


@contextmanager
def open_page() -> Iterator[Page]:
    """A tab of a browser of its own."""
    with tempfile.TemporaryDirectory(prefix="plimsoll-browser-", ignore_cleanup_errors=True) as folder:
        program = subprocess.Popen(
            [str(PROGRAM), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            with connect(_address(Path(folder)), max_size=None) as socket:
                yield Page(socket)
        finally:
            program.terminate()
            program.wait(PATIENCE_S)


def _address(folder: Path) -> str:
    port_file = folder / "DevToolsActivePort"
    deadline = time.monotonic() + PATIENCE_S
    while not (port_file.exists() and port_file.read_text().count("\n")):
        assert time.monotonic() < deadline, "the browser did not start"
        time.sleep(0.05)
    port = port_file.read_text().splitlines()[0]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
        return str(next(tab["webSocketDebuggerUrl"] for tab in json.load(answer) if tab["type"] == "page"))
