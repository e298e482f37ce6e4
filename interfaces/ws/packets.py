"""Socket.IO packets as Dabir reads and writes them: strict JSON, and nothing that can crash."""

from typing import Any

import msgspec
import socketio.packet
from socketio.packet import ACK, BINARY_EVENT, CONNECT, DISCONNECT, EVENT

__all__ = ["EVENT", "MALFORMED", "ChatsPacket"]

MALFORMED = ""
"""The name under which a request arrives that is none; no client's event can be called so."""

_ANSWERED = (CONNECT, EVENT, BINARY_EVENT)
_RESERVED = frozenset({MALFORMED, "connect", "connect_error", "disconnect", "disconnecting"})


class Json:
    """What the library takes for a JSON module. Structs, ids and times are written as they are."""

    @staticmethod
    def dumps(data: Any, **_: object) -> str:
        return msgspec.json.encode(data).decode()

    @staticmethod
    def loads(text: str, **_: object) -> Any:
        try:
            return msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise ValueError("not JSON in UTF-8") from None


class ChatsPacket(socketio.packet.Packet):  # type: ignore[misc]
    """A packet that carries no attachments, and whose events always have a name.

    The library would run `["disconnect"]` as if the connection had ended, leave what is no JSON
    without an answer, and collect attachments without end. Here such requests arrive as the event
    MALFORMED, to be answered like any bad one; what is no request at all goes to the namespace
    `/`, where nobody listens.
    """

    json = Json
    uses_binary_events = False
    packet_type: int
    namespace: str | None
    id: int | None
    data: Any

    def __init__(
        self,
        packet_type: int = EVENT,
        data: object = None,
        namespace: str | None = None,
        id: int | None = None,  # noqa: A002 - the library's name
        binary: bool | None = None,
        encoded_packet: str | bytes | None = None,
    ) -> None:
        super().__init__(packet_type, data, namespace, id, binary, encoded_packet)
        if encoded_packet is not None and not encoded_packet:
            self._turn_into_nothing()

    def decode(self, encoded_packet: str | bytes) -> int:
        """Returns the number of attachments to wait for: none, ever."""
        readable = isinstance(encoded_packet, str)
        try:
            attachments = super().decode(encoded_packet) if readable else 0
        except ValueError:
            # As far as its JSON it was read: enough to answer it.
            readable = self.namespace is not None and self.packet_type in _ANSWERED
            self.data, attachments = [MALFORMED], 0
        if not readable or (self.packet_type == ACK and not isinstance(self.data, list)):
            self._turn_into_nothing()
        elif self.packet_type == BINARY_EVENT or attachments:
            self.packet_type, self.data = EVENT, [MALFORMED]
        elif self.packet_type == EVENT and not _is_event(self.data):
            self.data = [MALFORMED]
        elif self.packet_type not in (CONNECT, DISCONNECT, EVENT, ACK):
            self._turn_into_nothing()
        return 0

    def _turn_into_nothing(self) -> None:
        self.packet_type, self.namespace, self.id, self.data = EVENT, "/", None, [MALFORMED]


def _is_event(data: object) -> bool:
    return (
        isinstance(data, list)
        and bool(data)
        and isinstance(data[0], str)
        and data[0] not in _RESERVED
    )
