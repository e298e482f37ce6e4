"""The body of an answer that litellm has opened, piece by piece, each as soon as it is there."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.client_proto import ResponseHandler

DRAIN_SECONDS = 0.1
"""What an upstream may take to end a body after it said so."""
NEVER = float("inf")

AtOnce = Callable[[], float | None]
"""Called when something has come; returns the loop's time by which more must, to go on waiting."""


class Body(Protocol):
    @property
    def at_end(self) -> bool:
        """All has come, and was received."""
        ...

    def receive_nowait(self) -> bytes:
        """What has come since the last time, maybe nothing. Raises what broke the connection."""
        ...

    async def more(self, due: float, at_once: AtOnce | None = None) -> None:
        """Return once there is something to receive, or the end; nothing must be there yet.

        `at_once` may deal with what comes at that very moment, and so prolong the wait. Raises what
        it raises, and TimeoutError where nothing comes before the loop's time `due`.
        """
        ...

    async def aclose(self, *, drain: bool) -> None:
        """Close the response. `drain`: it is all but over, so that its connection can be kept."""
        ...


def body_of(response: Any) -> Body:
    """The cheapest way to read an `httpx.Response`.

    litellm sends by aiohttp, which lies below httpx's stream. Going through httpx costs half a
    dozen generators a piece.
    """
    import aiohttp  # late: litellm has loaded it by now

    sent_by = getattr(getattr(response.stream, "_stream", None), "_aiohttp_response", None)
    if isinstance(sent_by, aiohttp.ClientResponse) and "content-encoding" not in response.headers:
        return AiohttpBody(sent_by)
    return HttpxBody(response)


class AiohttpBody:
    """Hears of each piece within the very call in which the socket brought it.

    What httpx has made of the response is let go of, as are its head and the request's: 12 KB.
    """

    def __init__(self, sent_by: "aiohttp.ClientResponse") -> None:
        self._sent_by = sent_by
        _forget_heads(sent_by)
        self._content = sent_by.content
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Future[None] | None = None
        self._at_once: AtOnce | None = None
        self._due = NEVER
        self._armed_for = NEVER
        self._timer: asyncio.TimerHandle | None = None
        connection = sent_by.connection
        # There is none any more where the body has come whole already.
        if connection is not None and connection.protocol is not None:
            _Tap(connection.protocol, self._content, self._news)

    @property
    def at_end(self) -> bool:
        return self._content.at_eof()

    def receive_nowait(self) -> bytes:
        return self._content.read_nowait()

    async def more(self, due: float, at_once: AtOnce | None = None) -> None:
        self._at_once = at_once
        self._waiting = self._loop.create_future()
        self._wait_until(due)
        try:
            await self._waiting
        finally:
            self._waiting, self._due = None, NEVER

    async def aclose(self, *, drain: bool) -> None:
        try:
            if drain:
                with suppress(TimeoutError):
                    await self._drain(self._loop.time() + DRAIN_SECONDS)
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._sent_by.release()
            await self._sent_by.wait_for_close()

    async def _drain(self, due: float) -> None:
        while not self.at_end:
            if not self.receive_nowait():
                await self.more(due)

    def _news(self) -> None:
        if self._waiting is None or self._waiting.done():
            return
        try:
            due = self._at_once() if self._at_once else None
        except Exception as error:  # noqa: BLE001 - of who waits: it is raised there
            self._waiting.set_exception(error)
            return
        if due is None:
            self._waiting.set_result(None)
        else:
            self._wait_until(due)

    # One timer for all of an answer's deadlines: most are moved on long before they are due.

    def _wait_until(self, due: float) -> None:
        self._due = due
        if due < self._armed_for:
            if self._timer is not None:
                self._timer.cancel()
            self._armed_for = due
            self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        self._armed_for = NEVER
        if self._due > self._loop.time():
            self._wait_until(self._due)
        elif self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(TimeoutError())


def _forget_heads(sent_by: "aiohttp.ClientResponse") -> None:
    """aiohttp keeps them for whoever may ask."""
    for name in ("_request_info", "_headers", "_raw_headers", "_cache"):
        assert hasattr(sent_by, name)
        setattr(sent_by, name, None)


class _Tap(asyncio.Protocol):
    """Stands before aiohttp's own protocol until the body ends, and tells what it was given."""

    def __init__(
        self,
        handler: "ResponseHandler",
        content: "aiohttp.StreamReader",
        news: Callable[[], None],
    ) -> None:
        self._handler = handler
        self._content = content
        self._news = news
        self.pause_writing = handler.pause_writing  # type: ignore[method-assign]
        self.resume_writing = handler.resume_writing  # type: ignore[method-assign]
        # Deadlines are the body's own; aiohttp would make a timer for every piece.
        handler.read_timeout = None
        self._set_protocol(self)

    def data_received(self, data: bytes) -> None:
        self._handler.data_received(data)
        self._told()

    def eof_received(self) -> None:
        self._handler.eof_received()
        self._told()

    def connection_lost(self, exc: Exception | None) -> None:
        self._handler.connection_lost(exc)
        self._news()

    def _told(self) -> None:
        # From the end on the connection waits for another call, and is aiohttp's again.
        if self._content.is_eof():
            self._set_protocol(self._handler)
        self._news()

    def _set_protocol(self, protocol: asyncio.Protocol) -> None:
        if self._handler.transport is not None:  # else the connection is lost already
            self._handler.transport.set_protocol(protocol)


class HttpxBody:
    """Any other: what is compressed, or was sent by something else than aiohttp."""

    def __init__(self, response: Any) -> None:
        self._response = response
        self._pieces: AsyncGenerator[bytes, None] = response.aiter_bytes()
        self._received = b""
        self.at_end = False

    def receive_nowait(self) -> bytes:
        received, self._received = self._received, b""
        return received

    async def more(self, due: float, at_once: AtOnce | None = None) -> None:
        async with asyncio.timeout_at(due):
            try:
                self._received = await anext(self._pieces)
            except StopAsyncIteration:
                self.at_end = True

    async def aclose(self, *, drain: bool) -> None:
        try:
            if drain:
                with suppress(TimeoutError):
                    async with asyncio.timeout(DRAIN_SECONDS):
                        async for _ in self._pieces:
                            pass
        finally:
            await self._pieces.aclose()
            await self._response.aclose()
