"""What a cell of a feed says; None where that cannot be used."""

from __future__ import annotations

import re

_TIME = re.compile(r"(\d{1,3}):([0-5]\d):([0-5]\d)")
_LONGEST = 10  # digits of the largest number that Postgres takes as an integer


def seconds(text: str) -> int | None:
    """Seconds after the start of the service day; 25:10:00 is ten past one on the next morning."""
    match = _TIME.fullmatch(text)
    return int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3]) if match else None


def degrees(text: str, limit: int) -> float | None:
    """Latitude or longitude up to 90 or 180."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if -limit <= value <= limit else None


def whole(text: str, limit: int = 2**31 - 1) -> int | None:
    """A whole number from 0; programs that take a column with gaps for one of fractions write it as 4.0."""
    digits = text.removesuffix(".0")
    if len(digits) > _LONGEST or not digits.isascii() or not digits.isdigit():
        return None
    return number if (number := int(digits)) <= limit else None
