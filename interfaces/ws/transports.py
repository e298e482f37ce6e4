"""The Engine.IO connections below Socket.IO: bounded, closed when idle, and closed for good."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import engineio.packet
import msgspec
import socketio
from litestar import asgi
from litestar.datastructures import Headers
from litestar.enums import ScopeType
from litestar.handlers.asgi_handlers import ASGIRouteHandler
from litestar.types import Receive, Scope, Send

from application.client_address import limited_address
from application.errors import RateLimited
from application.ports import RateLimits
from interfaces.http.caller import Networks, address_of
from interfaces.open_connections import OpenConnections
from interfaces.outbound import known_error

NAMESPACE = "/chats"
CONNECT_DEADLINE = 10.0
"""Seconds in which a new connection must have joined the namespace."""
UNREAD_LIMIT = 4_000_000
"""Characters that may wait for a client; who leaves more unread is disconnected."""
NO_POLLING = {
    "code": 0,
    "message": "Polling is not served here, as each request may reach another process: "
    "connect with transports: ['websocket'].",
}
"""As Engine.IO says that a transport is unknown."""


class Handshakes:
    """Which addresses may open another connection."""

    def __init__(
        self, limits: RateLimits, open_sockets: OpenConnections, trusted: Networks
    ) -> None:
        self._limits = limits
        self._open = open_sockets
        self._trusted = trusted
        self._addresses: dict[str, str] = {}

    async def admit(self, scope: Scope) -> None:
        """Raises RateLimited."""
        address = self._address(scope)
        self._open.check_address(address)
        await self._limits.admit(address)

    def opened(self, transport: str, scope: Scope) -> None:
        self._addresses[transport] = address = self._address(scope)
        self._open.opened(address)

    def closed(self, transport: str) -> None:
        address = self._addresses.pop(transport, None)
        if address is not None:
            self._open.closed(address)

    def _address(self, scope: Scope) -> str:
        client = scope["client"]
        peer = client[0] if client else None
        return limited_address(address_of(Headers.from_scope(scope), peer, self._trusted))


class OutgoingQueue(asyncio.Queue[Any]):
    """Engine.IO packets for one client, with the characters that wait in it."""

    def __init__(self) -> None:
        super().__init__()
        self.unread = 0

    def _put(self, item: Any) -> None:
        self.unread += _length(item)
        super()._put(item)

    def _get(self) -> Any:
        item = super()._get()
        self.unread -= _length(item)
        return item


def _length(packet: Any) -> int:
    data = getattr(packet, "data", None)
    return len(data) if isinstance(data, str | bytes) else 0


class Transports:
    """Knows each connection by its Engine.IO session id."""

    def __init__(self, server: socketio.AsyncServer, handshakes: Handshakes) -> None:
        self._server = server
        self._handshakes = handshakes
        self._closing: set[asyncio.Task[None]] = set()
        self.after_message: Callable[[str], Awaitable[None]] | None = None
        """Called with the transport when a message of its client has been handled."""
        eio = server.eio
        eio.create_queue = OutgoingQueue
        # The library's own waits for the client to fetch what is queued, which it may never do.
        eio.disconnect = self._close
        self._library = dict(eio.handlers)
        eio.on("connect", self._connect)
        eio.on("message", self._receive)
        eio.on("disconnect", self._disconnect)

    def is_open(self, transport: str) -> bool:
        socket = self._server.eio.sockets.get(transport)
        return socket is not None and not socket.closing and not socket.closed

    def send(self, transport: str, frame: str) -> None:
        """Queue a Socket.IO packet. Nothing happens where the connection is gone."""
        if not self.is_open(transport):
            return
        queue = self._server.eio.sockets[transport].queue
        if queue.unread > UNREAD_LIMIT:
            while not queue.empty():
                queue.get_nowait()
            self.hang_up(transport)
            return
        # However large: one answer alone is nobody's fault.
        queue.put_nowait(engineio.packet.Packet(engineio.packet.MESSAGE, frame))

    def watch(self, transport: str) -> None:
        """Hang up at the deadline, unless the connection has joined the namespace by then."""
        loop = asyncio.get_running_loop()
        loop.call_later(CONNECT_DEADLINE, self._hang_up_outsider, transport)

    def hang_up(self, transport: str) -> None:
        """Close the connection below the namespace: clients connect again by themselves."""
        task = asyncio.create_task(self._close(transport))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close_all(self, timeout: float) -> None:
        """Close every connection, and stop; returns when clients were told, or after `timeout`."""
        for transport in list(self._server.eio.sockets):
            self.hang_up(transport)
        if self._closing:
            await asyncio.wait(self._closing, timeout=timeout)
        # A loop of the library that looks for silent clients.
        service = self._server.eio.service_task_handle
        if service is not None:
            service.cancel()

    async def _connect(self, transport: str, environ: dict[str, Any]) -> None:
        await self._library["connect"](transport, environ)
        self._handshakes.opened(transport, environ["asgi.scope"])
        self.watch(transport)

    async def _receive(self, transport: str, data: str | bytes) -> None:
        await self._library["message"](transport, data)
        if self.after_message is not None:
            await self.after_message(transport)

    async def _disconnect(self, transport: str, reason: str) -> None:
        self._handshakes.closed(transport)
        await self._library["disconnect"](transport, reason)
        socket = self._server.eio.sockets.get(transport)
        if socket is not None and reason == self._server.reason.CLIENT_DISCONNECT:
            # Else the client's last poll would be held until it times out.
            socket.queue.put_nowait(None)

    def _hang_up_outsider(self, transport: str) -> None:
        if self._server.manager.sid_from_eio_sid(transport, NAMESPACE) is None:
            self.hang_up(transport)

    async def _close(self, transport: str) -> None:
        socket = self._server.eio.sockets.get(transport)
        if socket is None:
            return
        # Waiting for its queue to empty would never end for a client that polls no more.
        await socket.close(wait=False)
        # Ends a WebSocket's writer, which then closes the WebSocket; a poll ends by itself.
        socket.queue.put_nowait(None)


def socket_io_mount(
    server: socketio.AsyncServer, handshakes: Handshakes, longest_body: int, *, polling: bool
) -> ASGIRouteHandler:
    """The route handler that serves Socket.IO at `/socket.io`. `longest_body` in bytes."""

    @asgi("/socket.io", is_mount=True, copy_scope=True)
    async def socket_io(scope: Scope, receive: Receive, send: Send) -> None:
        body = 0

        async def receive_spoken() -> Any:
            nonlocal body
            message = await receive()
            if message["type"] == "websocket.receive" and not _is_packet(message.get("text")):
                # The library would let it raise, and keep the connection half open.
                return {"type": "websocket.disconnect", "code": 1002}
            if message["type"] == "http.request":
                body += len(message["body"])
                if body > longest_body:
                    # The library would read on for as long as the client sends.
                    return {"type": "http.disconnect"}
            return message

        if not polling and scope["type"] == ScopeType.HTTP:
            await _answer(scope, send, 400, NO_POLLING)
            return
        if _opens_a_connection(scope):
            try:
                await handshakes.admit(scope)
            except RateLimited as error:
                await _refuse(scope, send, error)
                return
        await server.handle_request(scope, receive_spoken, send)

    return socket_io


def _opens_a_connection(scope: Scope) -> bool:
    parameters = scope["query_string"].split(b"&")
    return not any(each.startswith(b"sid=") and each != b"sid=" for each in parameters)


async def _refuse(scope: Scope, send: Send, error: RateLimited) -> None:
    """429 before there is a connection; a WebSocket is refused by the answer to its handshake."""
    mapped = known_error(error)
    assert mapped is not None
    retry_after = (b"retry-after", str(mapped.retry_after).encode())
    await _answer(scope, send, mapped.status, mapped.error, retry_after)


async def _answer(
    scope: Scope, send: Send, status: int, wire: Any, *headers: tuple[bytes, bytes]
) -> None:
    answer = "http.response" if scope["type"] == ScopeType.HTTP else "websocket.http.response"
    head = [(b"content-type", b"application/json"), *headers]
    start: Any = {"type": f"{answer}.start", "status": status, "headers": head}
    body: Any = {"type": f"{answer}.body", "body": msgspec.json.encode(wire)}
    await send(start)
    await send(body)


def _is_packet(text: str | None) -> bool:
    """Whether it begins as an Engine.IO packet; None, a binary one, is taken and left unused."""
    return text is None or text[:1] in {"0", "1", "2", "3", "4", "5", "6"}
