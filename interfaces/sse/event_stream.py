"""Sends a stream of events as an ASGI response, and keeps it alive."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from functools import partial

from litestar.types import Receive, Scope, Send

from interfaces.sse.frames import KEEPALIVE
from interfaces.sse.outlet import Outlet

KEEPALIVE_AFTER = 15.0
SHORTEST_WAIT = 0.01


Header = tuple[bytes, bytes]

STREAM_HEADERS: list[Header] = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]


class EventStream:
    """An ASGI application that answers one request with the given frames.

    Each frame is one write, and waits for a client that reads slowly: when to give one up is the
    server's business. A client that goes away ends the generator, nothing else. `failed` makes the
    last frame where the generator raises, so that no stream ends without a word. What writes to
    `outlet` at once does so only while the generator is waited for.
    """

    def __init__(
        self,
        frames: AsyncGenerator[bytes, None],
        headers: Sequence[Header] = (),
        status: int = 200,
        failed: Callable[[Exception], bytes] | None = None,
        outlet: Outlet | None = None,
    ) -> None:
        self._frames = frames
        self._failed = failed
        self._headers = [*STREAM_HEADERS, *headers]
        self._status = status
        self._outlet = outlet or Outlet()
        self._sending = False
        self._left = False
        self._silence: asyncio.TimerHandle | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.begin(scope, send)
        await self.go_on(receive)

    async def begin(self, scope: Scope, send: Send) -> None:
        """Send the head."""
        headers, self._headers = self._headers, []
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        self._outlet.open(scope, send)

    async def go_on(self, receive: Receive) -> None:
        """Send the frames, until their end or the client's."""
        task = asyncio.current_task()
        assert task
        self._listen_to_silence()
        try:
            self._outlet.watch(receive, partial(self._leave, task))
            await (self._frames.aclose() if self._left else self._pump())
        except asyncio.CancelledError:
            if not self._left or task.uncancel():
                raise
        finally:
            self._outlet.close()
            assert self._silence
            self._silence.cancel()

    def _leave(self, task: "asyncio.Task[None]") -> None:
        """The client is gone; maybe it was before anybody asked."""
        self._left = True
        if task is not asyncio.current_task():
            task.cancel()

    async def _pump(self) -> None:
        try:
            async with aclosing(self._frames) as frames:
                async for frame in frames:
                    self._sending = True
                    await self._outlet.send(frame)
                    self._sending = False
        except Exception as error:  # the edge: reported, and told to the client
            if self._failed is None or self._sending:
                raise
            await self._outlet.send(self._failed(error))
        await self._outlet.send(b"", last=True)

    def _listen_to_silence(self) -> None:
        """Break it each time that it has lasted for long enough."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._outlet.written_at >= KEEPALIVE_AFTER and not self._sending:
            self._outlet.comment(KEEPALIVE)
        due = self._outlet.written_at + KEEPALIVE_AFTER
        self._silence = loop.call_at(max(due, loop.time() + SHORTEST_WAIT), self._listen_to_silence)
