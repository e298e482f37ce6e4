"""Who of this node's clients is in the namespace, and what they are sent."""

import asyncio
from collections.abc import Iterable
from uuid import UUID

import msgspec

from application.ports import Caller, Principal
from interfaces.ws.packets import EVENT, ChatsPacket
from interfaces.ws.transports import NAMESPACE, Transports


class Connection(msgspec.Struct, eq=False, kw_only=True):
    """One socket in the namespace.

    `since` is the position that its `session` told, None before that: what the log holds beyond
    it is pushed.
    """

    sid: str
    transport: str
    caller: Caller
    greeted: asyncio.Event
    since: int | None = None
    expiry: asyncio.TimerHandle | None = None
    expired: bool = False
    refused: int = 0
    """Requests in a row that were too many."""

    def wants(self, position: int) -> bool:
        """Whether a push of this position is for it."""
        return self.since is not None and self.since < position and not self.expired


class Connections:
    """By principal. All of it is synchronous, so that nothing comes between a look and a send."""

    def __init__(self, transports: Transports) -> None:
        self._transports = transports
        self._by_sid: dict[str, Connection] = {}
        self._by_principal: dict[UUID, dict[str, Connection]] = {}

    def add(self, connection: Connection) -> None:
        self._by_sid[connection.sid] = connection
        principal = connection.caller.principal.id
        self._by_principal.setdefault(principal, {})[connection.sid] = connection

    def remove(self, sid: str) -> Connection | None:
        connection = self._by_sid.pop(sid, None)
        if connection is None:
            return None
        principal = connection.caller.principal.id
        siblings = self._by_principal[principal]
        del siblings[sid]
        if not siblings:
            del self._by_principal[principal]
        if connection.expiry is not None:
            connection.expiry.cancel()
        return connection

    def find(self, sid: str) -> Connection | None:
        return self._by_sid.get(sid)

    def of(self, principal: UUID) -> list[Connection]:
        return list(self._by_principal.get(principal, {}).values())

    def principal(self, principal: UUID) -> Principal | None:
        """The principal of that id, if it is connected."""
        return next((each.caller.principal for each in self.of(principal)), None)

    def all(self) -> list[Connection]:
        return list(self._by_sid.values())

    def __len__(self) -> int:
        return len(self._by_sid)

    def emit(self, to: Iterable[Connection], event: str, payload: object) -> None:
        """Queue an event for some connections; it is encoded once."""
        frame = ChatsPacket(EVENT, namespace=NAMESPACE, data=[event, payload]).encode()
        for connection in to:
            self._transports.send(connection.transport, frame)

    def hang_up(self, connection: Connection) -> None:
        """Close the transport: the client connects again, and lists again."""
        self._transports.hang_up(connection.transport)
