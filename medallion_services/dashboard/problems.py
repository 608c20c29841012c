"""Errors as `application/problem+json` (RFC 9457): what failed, and what to do."""

from datetime import datetime
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from psycopg import DataError, OperationalError, errors
from psycopg_pool import PoolTimeout
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"
TITLES = {
    400: "Bad request",
    401: "Login needed",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    422: "Not understood",
    429: "Too many requests",
    503: "Not available",
}


class Problem(Exception):
    """An answer other than success; `extra` become members of the document."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None, **extra: Any) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers, self.extra = status, detail, headers or {}, extra


def response(problem: Problem) -> Response:
    """The problem as a response."""
    document = {"type": "about:blank", "title": TITLES.get(problem.status, "Error"), "status": problem.status}
    document |= {"detail": problem.detail} | problem.extra
    return JSONResponse(document, problem.status, problem.headers, media_type=MEDIA_TYPE)


def changed_meanwhile(by: str | None, at: datetime | None, version: int) -> Problem:
    """Somebody else changed the row between reading and writing."""
    moment = at.isoformat(timespec="seconds") if at else "unknown"
    return Problem(
        409,
        f"changed by {by or 'somebody'} at {moment}; load it again before you decide",
        code="changed_meanwhile",
        changed_by=by,
        changed_at=moment,
        version=version,
    )


def from_database(error: Exception) -> Problem | None:
    """What a refusal of the database means to the client; None: it is a defect of ours."""
    if isinstance(error, errors.CheckViolation | errors.RaiseException):
        message = error.diag.message_primary or "refused by the database"
        return Problem(409, message, code="refused")
    if isinstance(error, errors.QueryCanceled):
        return Problem(503, "the database took too long; narrow the filter and try again", {"Retry-After": "2"})
    if isinstance(error, DataError | UnicodeEncodeError):
        return Problem(422, "a value holds something that cannot be stored")
    if isinstance(error, OperationalError | PoolTimeout):
        return Problem(503, "the database does not answer; try again", {"Retry-After": "2"})
    return None


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 - registered for this type only
    return response(error)


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    return response(Problem(error.status_code, str(error.detail), dict(error.headers or {})))


async def _validation(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    found = [{"where": ".".join(map(str, each["loc"])), "message": each["msg"]} for each in error.errors()]
    return response(Problem(422, "; ".join(f"{f['where']}: {f['message']}" for f in found)[:2000], errors=found))


async def _database(_: Request, error: Exception) -> Response:
    problem = from_database(error)
    if problem is None:
        raise error
    return response(problem)


def register(app: FastAPI) -> None:
    """Answer every kind of error in one form."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    for kind in (errors.Error, UnicodeEncodeError, PoolTimeout):
        app.add_exception_handler(kind, _database)
