"""An ASGI extension of our server: writing to a client at once, by who knows not to wait for it.

`scope["extensions"]["dabir.wire"]` has `send`, the server's own, which spares each piece of a body
the layers that wrap `send` to see its head; and `wire`, a `ClientWire`.
"""

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

EXTENSION = "dabir.wire"


class ClientWire:
    """The body of an answer under way."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
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


def offer_wire(cycle: RequestResponseCycle) -> None:
    cycle.scope["extensions"] = {EXTENSION: {"send": cycle.send, "wire": ClientWire(cycle)}}
