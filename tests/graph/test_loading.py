"""Loading the code location costs nobody a connection, and the commands nobody a heavy library."""

from __future__ import annotations

import subprocess
import sys

from plimsoll.settings import PROJECT_DIR

_LOAD_WITHOUT_NETWORK = """
import sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise RuntimeError(f"{event} {arguments[1:]}")

sys.addaudithook(refuse)
import orchestration.definitions
heavy = {"pandas", "xgboost", "great_expectations", "kafka", "dagster_dbt"} & set(sys.modules)
assert not heavy, f"imported by the module: {heavy}"
from orchestration.definitions import build_defs
print(len(build_defs().resolve_all_job_defs()))
heavy = {"xgboost", "great_expectations", "kafka", "matplotlib"} & set(sys.modules)
assert not heavy, f"imported by loading: {heavy}"
"""


def test_loading_needs_no_server_no_environment_and_no_heavy_library() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LOAD_WITHOUT_NETWORK],
        cwd=PROJECT_DIR, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 5


def test_commands_are_listed_without_a_heavy_library() -> None:
    listed = (
        "import sys; from plimsoll.cli import build; build(); print({'numpy', 'pandas', 'dagster'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", listed], cwd=PROJECT_DIR, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()", done.stdout + done.stderr
