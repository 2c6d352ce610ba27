"""A cursor that counts statements: what asks once per row shows."""

from __future__ import annotations

from typing import Any

import psycopg


class Counting(psycopg.Cursor[Any]):
    """A cursor that counts statements."""

    executed = 0

    def execute(self, *args: Any, **kwargs: Any) -> Counting:
        Counting.executed += 1
        return super().execute(*args, **kwargs)
