"""State directories for servers that each test starts and stops itself, apart from the run's shared stack."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """An empty directory that the account of PostgreSQL can pass through, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="plimsoll-stack-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)
