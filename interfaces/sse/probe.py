"""A short stream without a model: does the way from here to the client let events through?"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from litestar import Request, Response
from litestar.datastructures import State
from litestar.types import ASGIApp

from interfaces.sse.event_stream import EventStream
from interfaces.sse.events import ProbeComplete, ProbeMessage
from interfaces.sse.frames import RETRY, frame

EVENTS = 5
INTERVAL = 0.2
"""Seconds between two events, so that a buffering proxy shows."""


def probe_response(request: Request[Any, Any, State]) -> ASGIApp:
    """204 for who comes back with the last event's id, which stops an EventSource."""
    after = request.headers.get("last-event-id", "")
    seen = int(after) if after.isascii() and after.isdigit() and len(after) < 3 else 0
    if seen > EVENTS:
        return Response(None, status_code=204).to_asgi_response(app=None, request=request)
    return EventStream(_frames(seen))


async def _frames(seen: int) -> AsyncGenerator[bytes, None]:
    yield RETRY
    for counter in range(seen + 1, EVENTS + 1):
        told = ProbeMessage(counter, f"Test message {counter} of {EVENTS}")
        yield frame(str(counter), "test_message", told)
        await asyncio.sleep(INTERVAL)
    yield frame(str(EVENTS + 1), "test_complete", ProbeComplete("The stream works."))
