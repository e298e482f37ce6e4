"""Where a stream's frames go: waited for, or at once."""

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from litestar.types import Message, Receive, Scope, Send

_EXTENSION = "dabir.wire"


class _Wire(Protocol):
    @property
    def ready(self) -> bool: ...

    def write(self, piece: bytes) -> None: ...

    def when_gone(self, told: Callable[[], None] | None) -> None: ...


class Outlet:
    """One answer's body. The server's extension makes it quick; without it all is waited for.

    A token that is written at the moment it arrives spares the loop two turns and a task's switch.
    """

    def __init__(self) -> None:
        self._send: Send | None = None
        self._wire: _Wire | None = None
        self._watching: asyncio.Task[None] | None = None
        self._commenting: asyncio.Task[None] | None = None
        self._time = asyncio.get_running_loop().time
        self.written_at = self._time()
        """The loop's time of the last frame."""

    def open(self, scope: Scope, send: Send) -> None:
        """The head has been sent."""
        extensions = cast("dict[str, dict[str, object]]", scope.get("extensions") or {})
        offered = extensions.get(_EXTENSION, {})
        self._send = cast(Send, offered.get("send", send))
        self._wire = cast(_Wire | None, offered.get("wire"))

    def watch(self, receive: Receive, gone: Callable[[], None]) -> None:
        """Call `gone` once the client is, unless this is closed before."""
        if self._wire is not None:
            self._wire.when_gone(gone)
        else:
            self._watching = asyncio.create_task(_watch(receive, gone))

    def close(self) -> None:
        """Nothing more is sent, nor watched for."""
        if self._wire is not None:
            self._wire.when_gone(None)
        for task in (self._watching, self._commenting):
            if task is not None:
                task.cancel()

    @property
    def ready(self) -> bool:
        """Whether `write` may be called: nothing is in its way, and the client reads."""
        return self._wire is not None and self._wire.ready

    def write(self, frame: bytes) -> None:
        assert self._wire is not None
        self.written_at = self._time()
        self._wire.write(frame)

    async def send(self, frame: bytes, *, last: bool = False) -> None:
        """Waits for a client that reads slowly."""
        assert self._send is not None
        self.written_at = self._time()
        message: Message = {"type": "http.response.body", "body": frame, "more_body": not last}
        await self._send(message)

    def comment(self, frame: bytes) -> None:
        """Send what nobody misses: never two at once to a client that reads slowly."""
        if self.ready:
            self.write(frame)
        elif self._commenting is None or self._commenting.done():
            self._commenting = asyncio.create_task(self.send(frame))


async def _watch(receive: Receive, gone: Callable[[], None]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    gone()
