"""Errors as RFC 9457 problems."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException, InternalServerException, ValidationException
from litestar.types import ExceptionHandlersMap

from interfaces.incidents import Incidents
from interfaces.outbound import ErrorCode, Mapped, Problem, WireError

WHOLE_BODY = "data"
"""What the framework calls a body in place of a field."""
PROBLEM_JSON = "application/problem+json"

_LEFT_EARLY = "client disconnected prematurely"
"""How the framework says so, in words alone."""

_FRAMEWORK_CODES: dict[int, ErrorCode] = {
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    413: "CONTENT_TOO_LARGE",
    429: "RATE_LIMITED",
}


def problem_response(mapped: Mapped, headers: Mapping[str, str] | None = None) -> Response[Problem]:
    """The error as `application/problem+json`, with the headers that belong to its status."""
    status = HTTPStatus(mapped.status)
    error = mapped.error
    body = Problem(
        "about:blank",
        status.phrase,
        int(status),
        error.code,
        error.error,
        error.retryable,
        error.details,
    )
    own = {"cache-control": "no-store"}
    if mapped.retry_after is not None:
        own["retry-after"] = str(mapped.retry_after)
    if status == HTTPStatus.UNAUTHORIZED:
        own["www-authenticate"] = "Bearer"
    return Response(
        body,
        status_code=int(status),
        media_type=PROBLEM_JSON,
        headers=own | dict(headers or {}),
    )


def mapped_error(error: Exception, incidents: Incidents, where: str = "http") -> Mapped:
    """What a client is told of any error that reaches the edge of HTTP."""
    if isinstance(error, InternalServerException) and error.detail == _LEFT_EARLY:
        # Nobody is left to read this, and it is no fault of ours.
        return Mapped(400, WireError("VALIDATION_ERROR", "The request's body ended early.", False))
    if isinstance(error, HTTPException) and error.status_code < 500:
        return _framework_error(error)
    return incidents.mapped(where, error)


def problem_handlers(incidents: Incidents) -> ExceptionHandlersMap:
    """Answers every error with a problem; give it to the app as `exception_handlers`."""

    def answer(_: Request[Any, Any, State], error: Exception) -> Response[Problem]:
        headers = error.headers if isinstance(error, HTTPException) else None
        return problem_response(mapped_error(error, incidents), headers)

    return {Exception: answer}


def _framework_error(error: HTTPException) -> Mapped:
    """What the framework refuses by itself: no such route, a wrong method, a body that is none.

    Its own sentence may repeat the URL; the status says as much.
    """
    code = _FRAMEWORK_CODES.get(error.status_code, "VALIDATION_ERROR")
    sentence = f"{HTTPStatus(error.status_code).phrase}."
    details: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    if isinstance(error, ValidationException) and isinstance(error.extra, list) and error.extra:
        broken: dict[str, str] = error.extra[0]
        sentence = f"{broken.get('message', sentence)}."
        field = broken.get("key", WHOLE_BODY)
        details = {"path": "$" if field == WHOLE_BODY else f"$.{field}"}
    return Mapped(error.status_code, WireError(code, sentence, False, details))
