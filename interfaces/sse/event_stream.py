"""Sends a stream of events as an ASGI response, and keeps it alive."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from litestar.types import Receive, Scope, Send

from interfaces.sse.frames import KEEPALIVE

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
    last frame where the generator raises, so that no stream ends without a word.
    """

    def __init__(
        self,
        frames: AsyncGenerator[bytes, None],
        headers: Sequence[Header] = (),
        status: int = 200,
        failed: Callable[[Exception], bytes] | None = None,
    ) -> None:
        self._frames = frames
        self._failed = failed
        self._headers = [*STREAM_HEADERS, *headers]
        self._status = status
        self._written = 0.0
        self._writing = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": self._status, "headers": self._headers}
        )
        pump = asyncio.create_task(self._pump(send))
        gone = asyncio.create_task(_gone(receive))
        try:
            await self._attend({pump, gone}, send)
        finally:
            for task in (pump, gone):
                task.cancel()
            await asyncio.wait({pump, gone})
        if not pump.cancelled():
            pump.result()

    async def _pump(self, send: Send) -> None:
        loop = asyncio.get_running_loop()
        self._written = loop.time()
        try:
            async with aclosing(self._frames) as frames:
                async for frame in frames:
                    self._writing = True
                    self._written = loop.time()
                    await send({"type": "http.response.body", "body": frame, "more_body": True})
                    self._writing = False
        except Exception as error:  # the edge: reported, and told to the client
            if self._failed is None or self._writing:
                raise
            last = self._failed(error)
            await send({"type": "http.response.body", "body": last, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _attend(self, tasks: set["asyncio.Task[None]"], send: Send) -> None:
        """Until one of the tasks ends: break silences."""
        loop = asyncio.get_running_loop()
        self._written = loop.time()
        while True:
            due = self._written + KEEPALIVE_AFTER
            done, _ = await asyncio.wait(
                tasks,
                timeout=max(due - loop.time(), SHORTEST_WAIT),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if done:
                return
            if loop.time() - self._written < KEEPALIVE_AFTER:
                continue
            self._written = loop.time()
            if not self._writing:
                await send({"type": "http.response.body", "body": KEEPALIVE, "more_body": True})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
