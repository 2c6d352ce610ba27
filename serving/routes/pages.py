"""The pages for people: the glance at `/` and the documentation at `/docs`. Files of this package, no other origin."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse
from starlette.staticfiles import StaticFiles

WEB = Path(__file__).parent.parent / "web"

router = APIRouter(include_in_schema=False)
static_files = StaticFiles(directory=WEB)


@router.get("/")
async def glance() -> FileResponse:
    """How full everything is, at a glance."""
    return FileResponse(WEB / "index.html")


@router.get("/docs")
async def documentation() -> FileResponse:
    """The API's documentation, drawn from /openapi.json in the browser."""
    return FileResponse(WEB / "docs.html")
