"""uvicorn, run from code, that drains before it stops."""

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import FrameType

import structlog
import uvicorn
from uvicorn._types import ASGIApplication

from application.errors import ConfigurationError
from infrastructure.client_connections import Deadlines, PatientWebSocket, patient_http

log = structlog.get_logger()

BACKLOG = 2048


class DrainingServer(uvicorn.Server):
    """The first signal starts `drain`, and stops when that is done; a second one stops at once.

    With a `parent` the end of that descriptor is such a signal too, and a second one is left to it:
    both may be sent the same. A byte to it says that the port is open.

    uvicorn's own shutdown never ends while a stream is open, and its lifespan event comes too
    late to refuse new work.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        listening: Callable[[], None],
        drain: Callable[[], Awaitable[None]],
        parent: int | None,
    ) -> None:
        super().__init__(config)
        self._parent = parent
        self._listening = listening
        self._drain = drain
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told_to_stop = False
        self._draining: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started:
            log.info("serving", host=self.address[0], port=self.address[1])
            self._listening()
            if self._parent is not None:
                self._heed(self._parent)

    def _heed(self, parent: int) -> None:
        loop = asyncio.get_running_loop()

        def ended() -> None:
            loop.remove_reader(parent)
            self.handle_exit(signal.SIGTERM, None)

        loop.add_reader(parent, ended)
        with suppress(BrokenPipeError):  # it is gone, as the reader is about to hear
            os.write(parent, b"!")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._told_to_stop or self._loop is None:
            if self._parent is None:
                self.should_exit = self.force_exit = True
            return
        self._told_to_stop = True
        # A signal handler alone does not wake the loop out of its selector.
        self._loop.call_soon_threadsafe(self._begin_draining)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens, once it does."""
        host, port, *_ = self.servers[0].sockets[0].getsockname()
        return host, port

    def _begin_draining(self) -> None:
        self._draining = asyncio.ensure_future(self._drain_and_stop())

    async def _drain_and_stop(self) -> None:
        try:
            await self._drain()
        finally:
            self.should_exit = True


def open_port(host: str, port: int) -> socket.socket:
    """A listening socket; a port of 0 takes any free one. Raises ConfigurationError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        words = error.strerror or type(error).__name__
        raise ConfigurationError(f"cannot listen on {host}, port {port}: {words}.") from None


def server_for(
    app: ASGIApplication,
    listening: Callable[[], None],
    drain: Callable[[], Awaitable[None]],
    *,
    deadlines: Deadlines,
    max_message: int,
    parent: int | None = None,
) -> DrainingServer:
    """A server with the settings that streams need; `listening` is called once the port is open.

    `max_message`: bytes of one message on a WebSocket. `parent`: a worker's line to its parent.
    """
    config = uvicorn.Config(
        app,
        http=patient_http(deadlines),
        ws=PatientWebSocket,
        ws_max_size=max_message,
        ws_per_message_deflate=False,  # as `PatientWebSocket` does it
        # Engine.IO has pings of its own.
        ws_ping_interval=None,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        # It would believe X-Forwarded-For of any peer on this machine; ours asks the settings.
        proxy_headers=False,
        # Connections still open when all is drained get this long, in seconds.
        timeout_graceful_shutdown=1,
    )
    return DrainingServer(config, listening, drain, parent)
