"""Bounded periods of time in requests."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import AwareDatetime, BeforeValidator

from serving.problems import invalid_parameter

Step = Literal["hour", "day"]
LONGEST = timedelta(days=92)
_UNESCAPED_OFFSET = re.compile(r" (\d\d:?\d\d)$")
_USUAL = {"hour": timedelta(days=1), "day": timedelta(days=30)}


def _with_plus(value: Any) -> Any:
    """`+07:00` that was not escaped in a URL arrives as ` 07:00`, `+0700` as ` 0700`: what is meant is clear."""
    return _UNESCAPED_OFFSET.sub(r"+\1", value) if isinstance(value, str) else value


Instant = Annotated[AwareDatetime, BeforeValidator(_with_plus)]
From = Annotated[
    Instant | None,
    Query(
        alias="from",
        description="Start, inclusive: ISO 8601 with offset or `Z`. Default: a day (step=hour) or 30 days before `to`.",
        examples=["2026-11-20T00:00:00Z"],
    ),
]
To = Annotated[
    Instant | None,
    Query(
        alias="to",
        description="End, exclusive. Default: now. At most 92 days after `from`.",
        examples=["2026-11-21T00:00:00Z"],
    ),
]


@dataclass(frozen=True)
class Period:
    """A period of time in UTC; `end` is exclusive."""

    start: datetime
    end: datetime


def require_within_years(name: str, at: datetime) -> None:
    """Refuse what calendars and time zones cannot compute with.

    Raises:
        ProblemError: 422, the parameter `name` is not between the years 1970 and 9000.
    """
    if not 1970 <= at.year <= 9000:
        raise invalid_parameter(name, "must lie between the years 1970 and 9000")


def bounded_period(start: datetime | None, end: datetime | None, step: Step) -> Period:
    """The period asked for, with what was left out filled in.

    Raises:
        ProblemError: 422, it ends before it begins, is longer than 92 days, or lies in another age.
    """
    end = end or datetime.now(UTC)
    require_within_years("to", end)
    end = end.astimezone(UTC)
    if start is None:
        start = _hour_of(end - _USUAL[step])
    require_within_years("from", start)
    start = start.astimezone(UTC)
    if start >= end:
        raise invalid_parameter("from", "must be before `to`")
    if end - start > LONGEST:
        raise invalid_parameter("from", f"the period is longer than {LONGEST.days} days; ask for it in parts")
    return Period(start, end)


def _hour_of(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)
