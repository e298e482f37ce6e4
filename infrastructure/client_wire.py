"""An ASGI extension of our server: writing to a client at once, by who knows not to wait for it.

`scope["extensions"]["dabir.wire"]` has `send`, the server's own, which spares each piece of a body
the layers that wrap `send` to see its head; and `wire`, a `ClientWire`.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

EXTENSION = "dabir.wire"
_UNHEARD = asyncio.Event()
"""What nobody waits for."""


class Connection(Protocol):
    lost: bool
    when_gone: Callable[[], None] | None
    """Called when it is lost."""


class ClientWire:
    """The body of an answer under way."""

    __slots__ = ("_connection", "_cycle")

    def __init__(self, connection: Connection, cycle: RequestResponseCycle) -> None:
        self._connection = connection
        self._cycle = cycle

    @property
    def ready(self) -> bool:
        """Whether a piece can be written now: the head is sent, and the client reads."""
        cycle = self._cycle
        return (
            cycle.response_started
            and bool(cycle.chunked_encoding)
            and not (cycle.flow.write_paused or cycle.disconnected or cycle.response_complete)
        )

    def write(self, piece: bytes) -> None:
        """Only while it is ready. `piece` is not empty: that would end the body."""
        self._cycle.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))

    def when_gone(self, told: Callable[[], None] | None) -> None:
        """Have this called when the client is gone, in place of waiting with `receive`.

        Before this returns, where it is gone already.
        """
        connection, cycle = self._connection, self._cycle
        cycle.flow.resume_reading()  # as `receive` does: else nobody would hear of it
        cycle.message_event = _UNHEARD
        connection.when_gone = told and partial(_tell, told, cycle)
        if connection.when_gone is not None and connection.lost:
            connection.when_gone()


def _tell(told: Callable[[], None], cycle: RequestResponseCycle) -> None:
    cycle.disconnected = True  # the server marks only the last one of pipelined requests
    told()


def offer_wire(connection: Connection, cycle: RequestResponseCycle) -> None:
    wire = ClientWire(connection, cycle)
    cycle.scope["extensions"] = {EXTENSION: {"send": cycle.send, "wire": wire}}
