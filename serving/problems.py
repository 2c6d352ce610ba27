"""Errors as RFC 9457 problem details: one shape for everything that is not a 2xx, naming the field that is wrong."""

from __future__ import annotations

import logging
import secrets
from http import HTTPStatus
from typing import Annotated, Any

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

log = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"


class FieldError(BaseModel):
    """One thing that is wrong with a request."""

    field: Annotated[str | None, Field(description="Name of the parameter or body field that is wrong.")]
    code: Annotated[str, Field(description="What is wrong with it, for programs.")]
    reason: Annotated[str, Field(description="What is wrong with it, for people.")]


class Problem(BaseModel):
    """What every error looks like (RFC 9457)."""

    type: Annotated[str, Field(description="Where this kind of problem is explained; relative to this service.")]
    title: Annotated[str, Field(description="The kind of problem in a few words.")]
    status: Annotated[int, Field(description="The HTTP status, again.")]
    code: Annotated[str, Field(description="The kind of problem, for programs.", examples=["unknown_site"])]
    detail: Annotated[str, Field(description="What is wrong with this request and what to do about it.")]
    errors: Annotated[list[FieldError] | None, Field(description="The fields that are wrong.")] = None


class ProblemError(Exception):
    """Ends a request with a problem answer.

    Args:
        status: HTTP status.
        code: kind of problem in snake_case; its title follows from it.
        detail: a sentence for the person who made the request.
        field: the parameter that is wrong, if it is one.
        headers: further headers of the answer, such as Retry-After.
    """

    def __init__(
        self, status: int, code: str, detail: str, field: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.field, self.headers = status, code, detail, field, headers


def invalid_parameter(field: str, reason: str) -> ProblemError:
    """A parameter that is well-formed but makes no sense here: answers 422."""
    return ProblemError(422, "invalid_parameter", f"{field}: {reason}", field)


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may end in these problems, for the API's documentation."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def problem_schemas() -> dict[str, Any]:
    """The components that `problem_responses` refers to."""
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs"), "Problem": schema}


def install(app: FastAPI) -> None:
    """Make every error of the application a problem answer; no traceback ever leaves the process."""
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(psycopg.errors.UndefinedTable, _on_missing_relation)
    app.add_exception_handler(psycopg.errors.InvalidSchemaName, _on_missing_relation)
    app.add_exception_handler(psycopg.OperationalError, _on_database_unavailable)
    app.add_exception_handler(psycopg.DataError, _on_data_error)
    app.add_exception_handler(Exception, _on_unexpected)


def problem_answer(
    status: int,
    code: str,
    detail: str,
    errors: list[FieldError] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """The response itself, for code outside a route (middleware)."""
    problem = Problem(
        type=f"/docs#problem-{code}",
        title=code.replace("_", " ").capitalize(),
        status=status,
        code=code,
        detail=detail,
        errors=errors,
    )
    return JSONResponse(problem.model_dump(exclude_none=True), status, headers, media_type=MEDIA_TYPE)


async def _on_problem(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ProblemError)
    errors = [FieldError(field=error.field, code=error.code, reason=error.detail)] if error.field else None
    return problem_answer(error.status, error.code, error.detail, errors, error.headers)


async def _on_invalid_request(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    for found in error.errors():
        if found["type"] == "json_invalid":
            reason = f"The body is not valid JSON: {found['ctx']['error']} at character {found['loc'][-1]}."
            return problem_answer(422, "not_json", reason)
        if found["loc"] == ("body",) and isinstance(error.body, bytes):
            wanted = "Send the body as JSON, with the header `Content-Type: application/json`."
            return problem_answer(415, "unsupported_media_type", wanted)
    errors = [
        FieldError(field=_field_name(found["loc"]), code=found["type"], reason=found["msg"]) for found in error.errors()
    ]
    detail = "; ".join(f"{e.field}: {e.reason}" if e.field else e.reason for e in errors)
    return problem_answer(422, "invalid_request", detail, errors)


def _field_name(location: tuple[str | int, ...]) -> str | None:
    """`("query", "hours")` is `hours`; what lies within a body keeps its path, as `items.0.name`."""
    return ".".join(str(part) for part in location[1:]) or None


async def _on_http_exception(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = HTTPStatus(error.status_code).name.lower().replace("request_entity", "content")
    headers = dict(error.headers) if error.headers else None
    return problem_answer(error.status_code, code, str(error.detail), headers=headers)


async def _on_missing_relation(_: Request, error: Exception) -> JSONResponse:
    log.warning("a table that this answer needs is missing: %s", error)
    detail = (
        "The tables behind this answer are not built yet: run `plimsoll migrate`, then the job refresh_marts "
        "(or `dbt build`)."
    )
    return problem_answer(503, "not_built_yet", detail, headers={"Retry-After": "60"})


async def _on_database_unavailable(_: Request, error: Exception) -> JSONResponse:
    log.error("the database is not available: %s", error)
    detail = "The database does not answer at the moment; try again in a few seconds."
    return problem_answer(503, "database_unavailable", detail, headers={"Retry-After": "5"})


async def _on_data_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, psycopg.DataError)
    # The driver itself refuses text with NUL characters; what the server says has an SQLSTATE and is a fault of ours.
    if error.sqlstate is not None:
        return await _on_unexpected(request, error)
    return problem_answer(422, "invalid_request", "A value holds a NUL character, which no table can store.")


async def _on_unexpected(request: Request, error: Exception) -> JSONResponse:
    reference = secrets.token_hex(6)
    log.error("%s %s failed (%s)", request.method, request.url.path, reference, exc_info=error)
    detail = f"Something went wrong on our side; the operator finds it in the log under {reference}."
    return problem_answer(500, "internal_error", detail)
