"""The connections of clients who are slow, or mean to be: bounded, and cut at a deadline.

uvicorn bounds what it buffers of a body and of an answer, but not for how long, nor a request's
head; and its `close()` waits for ever for a client that reads nothing more.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory

from infrastructure.client_wire import offer_wire

LONGEST_HEAD = 65_536
"""Bytes that a request may have beside its body, give or take one read from the socket."""
LEAST_PROGRESS = 4096
"""Bytes that a client who reads slowly must read within the deadline."""
AFTER_REFUSAL = 2.0
"""Seconds in which a client may notice that it was answered before it had sent everything."""
MOST_PIPELINED = 16
"""Requests that may wait on one connection for the answer to the one before them."""

COMPRESSION = ServerPerMessageDeflateFactory(
    server_no_context_takeover=True,
    client_no_context_takeover=True,
    compress_settings={"memLevel": 5},
)
"""Each message by itself: what messages before it had in common would take 40 KB a socket, idle or
not."""

_DISCARD = struct.pack("ii", 1, 0)
"""SO_LINGER: on, for no time."""
_TOO_LONG = b"\r\n".join(
    [
        b"HTTP/1.1 431 Request Header Fields Too Large",
        b"content-length: 0",
        b"connection: close",
        b"\r\n",
    ]
)


class Deadlines(NamedTuple):
    """Seconds: for a request to arrive whole, and for a client to read some of what it is sent."""

    request: float
    unread: float


class ImpatientTransport(asyncio.Transport):
    """The loop's transport, but it is aborted when the client has stopped reading."""

    def __init__(self, transport: asyncio.Transport, unread: float) -> None:
        super().__init__()
        self._transport = transport
        self._unread = unread
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # What is in the kernel's buffer already is the kernel's to give up, even after `close`.
            transport.get_extra_info("socket").setsockopt(
                socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(unread * 1000)
            )
        self._waiting: asyncio.TimerHandle | None = None
        self._left = 0
        # Bound once: what is sent for each token passes through without a call more.
        for name in (
            "get_extra_info",
            "get_write_buffer_size",
            "is_closing",
            "pause_reading",
            "resume_reading",
            "set_protocol",
            "write",
        ):
            setattr(self, name, getattr(transport, name))

    def close(self) -> None:
        self._transport.close()
        self.watch()

    def abort(self) -> None:
        """Gone at once: else the kernel would go on offering what is unread for minutes."""
        connection = self.get_extra_info("socket")
        if not self.is_closing() or self.get_write_buffer_size():
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DISCARD)
        self._transport.abort()

    def watch(self) -> None:
        """From now on the client must read."""
        self._left = self.get_write_buffer_size()
        if self._left and self._waiting is None:
            self._wait()

    def rest(self) -> None:
        """It has read, or is gone."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        self._waiting = loop.call_later(self._unread, self._look)

    def _look(self) -> None:
        left = self.get_write_buffer_size()
        if left == 0:
            self._waiting = None
        elif left <= self._left - LEAST_PROGRESS:
            self._left = left
            self._wait()
        else:
            self._waiting = None
            self.abort()


class PatientWebSocket(WebSocketsSansIOProtocol):
    """A WebSocket whose client must read. Its transport is the one of the request before it."""

    transport: ImpatientTransport

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.conn.available_extensions = [COMPRESSION]

    def pause_writing(self) -> None:
        super().pause_writing()
        self.transport.watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self.transport.rest()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport.rest()
        super().connection_lost(exc)


class PatientHttp(HttpToolsProtocol):
    """HTTP whose client must send its requests whole, and read its answers."""

    # Slots, as an object with more than 30 attributes of its own gets a table of its own: 1.3 KB.
    __slots__ = ("_arriving", "_beside_body", "_whole", "lost", "when_gone")

    transport: ImpatientTransport
    deadlines: Deadlines

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._arriving: asyncio.TimerHandle | None = None
        self._whole = True
        self._beside_body = 0
        self.lost = False
        self.when_gone: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(ImpatientTransport(transport, self.deadlines.unread))
        self._expect_request(self.deadlines.request)

    def data_received(self, data: bytes) -> None:
        self._beside_body += len(data)
        super().data_received(data)
        if self._beside_body > LONGEST_HEAD:
            self._refuse_head()
        elif len(self.pipeline) > MOST_PIPELINED:
            self.transport.abort()
        elif self.pipeline or self._awaits_answer():
            self._arrived()
        elif self.timeout_keep_alive_task is None and self._arriving is None:
            self._expect_request(self.deadlines.request)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self.cycle is not None and self.cycle.scope is self.scope:
            offer_wire(self, self.cycle)

    def on_message_begin(self) -> None:
        self._whole = False
        super().on_message_begin()

    def on_body(self, body: bytes) -> None:
        self._beside_body = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._whole, self._beside_body = True, 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._whole:
            self._arrived()
        elif self.cycle.response_complete:
            # Answered before it was sent whole: what still comes is of no use.
            self._expect_request(AFTER_REFUSAL)
        else:
            self._expect_request(self.deadlines.request)

    def handle_websocket_upgrade(self) -> None:
        self._arrived()
        if self.cycle is not None and not self.cycle.response_complete:
            # The answer under way would go on in the socket, and never hear of the client's end.
            self.transport.abort()
        else:
            super().handle_websocket_upgrade()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.transport.watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self.transport.rest()

    def connection_lost(self, exc: Exception | None) -> None:
        self._arrived()
        self.transport.rest()
        super().connection_lost(exc)
        self.lost = True
        if self.when_gone is not None:
            self.when_gone()

    def _awaits_answer(self) -> bool:
        return self._whole and self.cycle is not None and not self.cycle.response_complete

    def _expect_request(self, seconds: float) -> None:
        self._arrived()
        self._arriving = self.loop.call_later(seconds, self.transport.abort)

    def _arrived(self) -> None:
        if self._arriving is not None:
            self._arriving.cancel()
            self._arriving = None

    def _refuse_head(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(_TOO_LONG)
            self.transport.close()
        else:
            self.transport.abort()


def patient_http(deadlines: Deadlines) -> type[PatientHttp]:
    """The protocol class for connections with these deadlines."""
    return type("PatientHttp", (PatientHttp,), {"deadlines": deadlines})
