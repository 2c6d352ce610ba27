"""Opaque cursors of pages: the key at which the last page ended, so that pages neither overlap nor skip anything."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, TypeVar

import msgspec
from fastapi import Query

from serving.problems import invalid_parameter

Cursor = Annotated[
    str | None,
    Query(max_length=500, description="`next_cursor` of the page before; leave it out for the first page."),
]
Key = TypeVar("Key")


def encode_cursor(key: object) -> str:
    """The cursor of a page that ends at `key`, anything that JSON can carry."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def decode_cursor(cursor: str, kind: type[Key]) -> Key:
    """The key that `encode_cursor` was given.

    Raises:
        ProblemError: 422, this is no cursor that the service gave out for this list.
    """
    try:
        padded = cursor.encode() + b"=" * (-len(cursor) % 4)
        return msgspec.json.decode(base64.urlsafe_b64decode(padded), type=kind)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise invalid_parameter("cursor", "not a cursor of this list; start again without it") from None
