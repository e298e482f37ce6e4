"""Sends a stream of events as an ASGI response, and keeps it alive."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": self._status, "headers": self._headers}
        )
        self._outlet.open(scope, send)
        pump = asyncio.create_task(self._pump())
        gone = asyncio.create_task(_gone(receive))
        try:
            await self._attend({pump, gone})
        finally:
            for task in (pump, gone):
                task.cancel()
            await asyncio.wait({pump, gone})
        if not pump.cancelled():
            pump.result()

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

    async def _attend(self, tasks: set["asyncio.Task[None]"]) -> None:
        """Until one of the tasks ends: break silences."""
        outlet, time = self._outlet, asyncio.get_running_loop().time
        while True:
            due = outlet.written_at + KEEPALIVE_AFTER
            done, _ = await asyncio.wait(
                tasks, timeout=max(due - time(), SHORTEST_WAIT), return_when=asyncio.FIRST_COMPLETED
            )
            if done:
                return
            if time() - outlet.written_at >= KEEPALIVE_AFTER and not self._sending:
                await outlet.send(KEEPALIVE)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
