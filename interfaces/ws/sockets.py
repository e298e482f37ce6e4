"""Socket.IO put together: the server, its namespace, and the pushes."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

import socketio
from litestar.handlers.asgi_handlers import ASGIRouteHandler

from application.chat_commands import ChatCommands
from application.ports import Clock, EventStore, Identity, Ids, Models, Principals, RateLimits
from application.queries import Views
from application.tracing import UNTRACED, Tracer
from interfaces.http.caller import Networks
from interfaces.incidents import Incidents
from interfaces.open_connections import OpenConnections
from interfaces.origins import Origins
from interfaces.outbound import WireError
from interfaces.ws.chats import ChatsNamespace, SocketCounter
from interfaces.ws.connections import Connections
from interfaces.ws.messages import ServerDraining
from interfaces.ws.packets import ChatsPacket
from interfaces.ws.pushes import Pushes
from interfaces.ws.requests import Requests
from interfaces.ws.transports import NAMESPACE, Handshakes, Transports, socket_io_mount

MAX_MESSAGE = 1_000_000
"""Bytes of one message from a client."""


class ChatSockets:
    """All of Socket.IO on this node. Made inside the event loop that serves it.

    `mount` is the route handler for the application, `run` the task that pushes.
    """

    def __init__(
        self,
        *,
        identity: Identity,
        commands: ChatCommands,
        views: Views,
        models: Models,
        store: EventStore,
        principals: Principals,
        incidents: Incidents,
        counter: SocketCounter,
        clock: Clock,
        ids: Ids,
        log_id: str,
        origins: Origins,
        trusted: Networks,
        limits: RateLimits,
        open_sockets: OpenConnections,
        tracer: Tracer = UNTRACED,
        polling: bool = True,
    ) -> None:
        """`polling`: whether clients may poll, whose requests must all come to this process."""
        self.server = socket_io_server(origins)
        handshakes = Handshakes(limits, open_sockets, trusted)
        self.mount: ASGIRouteHandler = socket_io_mount(
            self.server, handshakes, MAX_MESSAGE, polling=polling
        )
        self._transports = Transports(self.server, handshakes)
        self._connections = Connections(self._transports)
        self._pushes = Pushes(store, views, principals, self._connections, incidents.report)
        namespace = ChatsNamespace(
            identity=identity,
            requests=Requests(commands, views, models),
            views=views,
            pushes=self._pushes,
            connections=self._connections,
            transports=self._transports,
            incidents=incidents,
            counter=counter,
            clock=clock,
            ids=ids,
            log_id=log_id,
            trusted=trusted,
            limits=limits,
            open_sockets=open_sockets,
            tracer=tracer,
        )
        self.server.register_namespace(namespace)
        self._transports.after_message = namespace.greet

    async def run(self) -> None:
        """Push from the log to the sockets, until cancelled."""
        await self._pushes.run()

    def tell(self, principal: UUID, error: WireError) -> None:
        """Best effort: a refusal that the principal got elsewhere, on all its sockets here."""
        self._connections.emit(self._connections.of(principal), "assistant_error", error)

    def announce_draining(self) -> None:
        """Tell every socket that the node is about to go down."""
        self._connections.emit(self._connections.all(), "server_draining", ServerDraining())

    async def catch_up(self, position: int, timeout: float) -> None:
        """Return when all up to `position` was pushed, or after `timeout` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._pushes.reached(position)

    async def close(self, timeout: float) -> None:
        """Close every transport, so that clients connect elsewhere, within `timeout` seconds."""
        await self._transports.close_all(timeout)


def socket_io_server(origins: Origins) -> socketio.AsyncServer:
    logger = logging.getLogger("dabir.socket_io")
    # Below errors the library logs what people send.
    logger.setLevel(logging.ERROR)
    logger.addFilter(_faults_only)
    return socketio.AsyncServer(
        async_mode="asgi",
        serializer=ChatsPacket,
        namespaces=[NAMESPACE],
        logger=logger,
        engineio_logger=logger,
        max_http_buffer_size=MAX_MESSAGE,
        cors_allowed_origins=_policy(origins),
        cors_credentials=not origins.any_without_credentials,
    )


def _policy(origins: Origins) -> Any:
    def is_allowed(origin: str | None, environ: dict[str, Any]) -> bool:
        hosts: Sequence[str | None] = (
            environ.get("HTTP_HOST"),
            environ.get("HTTP_X_FORWARDED_HOST"),
        )
        return origin is not None and (origins.allows(origin) or origins.is_own(origin, hosts))

    return is_allowed


def _faults_only(record: logging.LogRecord) -> bool:
    """Leaves out what any client can cause: an old session id, a body that is no payload."""
    error = record.exc_info[1] if record.exc_info else None
    return error is not None and not isinstance(error, ValueError)
