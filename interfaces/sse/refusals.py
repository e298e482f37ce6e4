"""Refusals on stream routes: an event for who reads the stream, a problem for who asks for JSON."""

import re
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any
from uuid import UUID

from litestar import Request, Response
from litestar.datastructures import State

from interfaces.http.caller import CALLER
from interfaces.http.problems import PROBLEM_JSON, mapped_error, problem_response
from interfaces.incidents import Incidents
from interfaces.outbound import Mapped, WireError
from interfaces.sse.event_stream import EventStream, Header
from interfaces.sse.frames import RETRY, event_without_id

AnyRequest = Request[Any, Any, State]

COOKIE = "dabir_stream"
COOKIE_PATH = "/api/v1/messages/send"
REFUSED = "refused."
_REFUSED_CODE = re.compile(r"refused\.([A-Z_]{3,40})")


def stream_cookie(value: str) -> Header:
    """Remembers the stream, or the refusal, for an EventSource that is opened next."""
    cookie = f"{COOKIE}={value}; HttpOnly; SameSite=Strict; Path={COOKIE_PATH}"
    return (b"set-cookie", cookie.encode())


def refused_code(cookie: str) -> str | None:
    """The code of a refusal that the cookie remembers."""
    match = _REFUSED_CODE.fullmatch(cookie)
    return match[1] if match else None


def clearing_cookie() -> Header:
    cookie = f"{COOKIE}=; HttpOnly; SameSite=Strict; Path={COOKIE_PATH}; Max-Age=0"
    return (b"set-cookie", cookie.encode())


def refused_stream(mapped: Mapped, headers: Sequence[Header] = ()) -> EventStream:
    """A stream whose one event is the error."""
    return EventStream(_frames(mapped), headers, mapped.status)


async def _frames(mapped: Mapped) -> AsyncGenerator[bytes, None]:
    yield RETRY
    yield event_without_id("assistant_error", mapped.error)


class StreamRefusals:
    """Answers what a stream route refuses: told on sockets too where it is a limit or a balance.

    `tell_sockets` takes the caller's internal id and the error, and never blocks.
    """

    def __init__(
        self, incidents: Incidents, tell_sockets: Callable[[UUID, WireError], None]
    ) -> None:
        self._incidents = incidents
        self._tell_sockets = tell_sockets

    def answer(self, request: AnyRequest, error: Exception) -> Response[Any]:
        mapped = mapped_error(error, self._incidents, "sse")
        caller = request.scope["state"].get(CALLER)
        if mapped.reaches_sockets and caller is not None:
            self._tell_sockets(caller.principal.id, mapped.error)
        problem = problem_response(mapped)
        headers = dict(problem.headers.items())
        if request.method == "POST" and not request.url.path.endswith("/test-sse"):
            headers["set-cookie"] = stream_cookie(REFUSED + mapped.error.code)[1].decode()
        if not _reads_the_stream(request.headers.get("accept", "")):
            return Response(
                problem.content,
                status_code=mapped.status,
                media_type=PROBLEM_JSON,
                headers=headers,
            )
        return Response(
            RETRY + event_without_id("assistant_error", mapped.error),
            status_code=mapped.status,
            media_type="text/event-stream",
            headers=headers | _UNBUFFERED,
        )


_UNBUFFERED = {"cache-control": "no-cache, no-transform", "x-accel-buffering": "no"}


def _reads_the_stream(accept: str) -> bool:
    """Whether the client would rather have an event than a problem."""
    kinds = [kind.split(";")[0].strip().lower() for kind in accept.split(",")]
    if "text/event-stream" in kinds:
        return True
    return not any(kind in ("application/json", PROBLEM_JSON) for kind in kinds)
