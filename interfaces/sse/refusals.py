"""Refusals on stream routes: an event for who reads the stream, a problem for who asks for JSON."""

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any
from uuid import UUID

from litestar import Request, Response
from litestar.datastructures import State
from litestar.types import ExceptionHandler

from interfaces.http.problems import mapped_error, problem_response
from interfaces.outbound import Mapped
from interfaces.sse.event_stream import EventStream, Header
from interfaces.sse.frames import RETRY, event_without_id

COOKIE = "dabir_stream"
COOKIE_PATH = "/api/v1/messages/send"
REFUSED = "refused."


def stream_cookie(value: str) -> Header:
    """Remembers the stream, or the refusal, for an EventSource that is opened next."""
    cookie = f"{COOKIE}={value}; HttpOnly; SameSite=Strict; Path={COOKIE_PATH}"
    return (b"set-cookie", cookie.encode())


def clearing_cookie() -> Header:
    cookie = f"{COOKIE}=; HttpOnly; SameSite=Strict; Path={COOKIE_PATH}; Max-Age=0"
    return (b"set-cookie", cookie.encode())


def refused_stream(mapped: Mapped, headers: Sequence[Header] = ()) -> EventStream:
    """A stream whose one event is the error."""
    return EventStream(_frames(mapped), headers, mapped.status)


async def _frames(mapped: Mapped) -> AsyncGenerator[bytes, None]:
    yield RETRY
    yield event_without_id("assistant_error", mapped.error.to_wire())
