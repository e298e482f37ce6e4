"""The Socket.IO namespace `/chats`: who connects, and what each request is answered."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Protocol
from uuid import UUID

import msgspec
import socketio
from socketio.exceptions import ConnectionRefusedError as SocketRefused

from application.commands import Authenticate
from application.errors import RateLimited, Unauthorized
from application.ports import Caller, Clock, Credentials, Identity, Ids, RateLimits
from application.queries import Views
from application.tracing import Tracer
from interfaces.http.caller import Networks
from interfaces.incidents import Incidents
from interfaces.open_connections import OpenConnections
from interfaces.outbound import WireError
from interfaces.ws.connections import Connection, Connections
from interfaces.ws.expiry import EXPIRED, Expiry
from interfaces.ws.handshake import credentials_of
from interfaces.ws.messages import Refused, Session, SocketError
from interfaces.ws.pushes import Pushes
from interfaces.ws.requests import REQUESTS, Reply, Requests, payload_as
from interfaces.ws.transports import NAMESPACE, Transports

NAME_SHOWN = 100
"""Characters of a request's name that are repeated to the client."""

UNKNOWN = "unknown"

REFUSALS_ENDURED = 100
"""Requests that one socket may make in a row though it is told that they are too many."""

ENDED = WireError("UNAUTHORIZED", "The connection has ended.", False)


class SocketCounter(Protocol):
    def socket_connected(self) -> None: ...

    def socket_disconnected(self) -> None: ...

    def socket_answered(self, request: str, seconds: float) -> None:
        """`request` is one of those there are, or UNKNOWN: clients may send any."""
        ...


class ChatsNamespace(socketio.AsyncNamespace):  # type: ignore[misc]
    """Takes every event of the namespace by itself: a request always gets its answer.

    (The library answers neither an unknown event nor one whose handler raises.)
    """

    def __init__(
        self,
        *,
        identity: Identity,
        requests: Requests,
        views: Views,
        pushes: Pushes,
        connections: Connections,
        transports: Transports,
        incidents: Incidents,
        counter: SocketCounter,
        clock: Clock,
        ids: Ids,
        log_id: str,
        trusted: Networks,
        limits: RateLimits,
        open_sockets: OpenConnections,
        tracer: Tracer,
    ) -> None:
        super().__init__(NAMESPACE)
        self._identity = identity
        self._requests = requests
        self._views = views
        self._pushes = pushes
        self._connections = connections
        self._transports = transports
        self._incidents = incidents
        self._counter = counter
        self._clock = clock
        self._ids = ids
        self._log_id = log_id
        self._trusted = trusted
        self._limits = limits
        self._open = open_sockets
        self._tracer = tracer
        self._expiry = Expiry(clock, connections, self._disconnect)
        self._accepted: dict[str, Connection] = {}
        self._disconnecting: set[asyncio.Task[None]] = set()

    async def trigger_event(self, event: str, *args: Any) -> Any:
        """What the library calls for everything that happens in the namespace."""
        if event == "connect":
            return await self._connect(*args)
        if event == "disconnect":
            return self._disconnected(*args)
        sid, *arguments = args
        return await self._request(event, sid, arguments)

    async def _connect(self, sid: str, environ: dict[str, Any], auth: object) -> None:
        correlation = self._ids.new()
        with self._tracer.request("socket connect", correlation):
            await self._accept(sid, environ, auth, correlation)

    async def _accept(
        self, sid: str, environ: dict[str, Any], auth: object, correlation: UUID
    ) -> None:
        try:
            credentials = credentials_of(environ, auth, self._trusted)
            caller = await self._identity.identify(credentials, correlation)
            self._tracer.concerns(principal=caller.principal.id)
            self._open.check_principal(caller.principal.id)
        except Exception as error:  # noqa: BLE001 - the edge: every error has its answer
            refusal = self._incidents.mapped("socket connect", error).error.to_wire()
            raise SocketRefused(refusal["error"], refusal) from None
        transport = self.server.manager.eio_sid_from_sid(sid, NAMESPACE)
        connection = Connection(
            sid=sid, transport=transport, caller=caller, greeted=asyncio.Event()
        )
        self._connections.add(connection)
        self._open.opened(caller.principal.id)
        self._counter.socket_connected()
        self._accepted[transport] = connection

    async def greet(self, transport: str) -> None:
        """Tell a connection that was just accepted who it is, and from where it hears of more."""
        connection = self._accepted.pop(transport, None)
        if connection is None:
            return
        try:
            event, payload = "usage_info", await self._usage(connection.caller)
        except Exception as error:  # noqa: BLE001 - the edge: every error has its answer
            mapped = self._incidents.mapped("socket greeting", error)
            event = "assistant_error"
            payload = mapped.error.within(SocketError, request="usage_info")
        if not self._transports.is_open(transport):
            # It closed while it was being accepted, and the library does not say so again.
            self._disconnected(connection.sid)
            await self.server.manager.disconnect(connection.sid, NAMESPACE)
            return
        connection.since = self._pushes.position
        self._connections.emit([connection], "session", self._session(connection))
        self._connections.emit([connection], event, payload)
        connection.greeted.set()
        self._expiry.watch(connection)

    def _disconnected(self, sid: str, *_: object) -> None:
        connection = self._connections.remove(sid)
        if connection is not None:
            self._open.closed(connection.caller.principal.id)
            self._counter.socket_disconnected()
            self._accepted.pop(connection.transport, None)
            connection.greeted.set()
            self._transports.watch(connection.transport)

    async def _request(self, name: str, sid: str, arguments: Sequence[object]) -> object:
        known = name if name in REQUESTS else UNKNOWN
        correlation, began = self._ids.new(), time.monotonic()
        with self._tracer.request(f"socket {known}", correlation):
            try:
                return await self._answered(name, sid, arguments, correlation)
            finally:
                self._counter.socket_answered(known, time.monotonic() - began)

    async def _answered(
        self, name: str, sid: str, arguments: Sequence[object], correlation: UUID
    ) -> object:
        connection = self._connections.find(sid)
        if connection is None:
            return Refused(ENDED)
        await connection.greeted.wait()
        try:
            self._tracer.concerns(principal=connection.caller.principal.id)
            await self._spend(connection)
            caller = msgspec.structs.replace(connection.caller, correlation=correlation)
            reply = await self._answer(connection, name, arguments, caller)
            # Once, for the reply event and the acknowledgement.
            payload = msgspec.Raw(msgspec.json.encode(reply.payload))
            if not reply.pushed:
                self._connections.emit([connection], reply.event, payload)
        except Exception as error:  # noqa: BLE001 - the edge: every error has its answer
            refusal = self._incidents.mapped("socket request", error).error
            told = refusal.within(SocketError, request=name[:NAME_SHOWN])
            self._connections.emit([connection], "assistant_error", told)
            return Refused(refusal)
        return payload

    async def _spend(self, connection: Connection) -> None:
        """Raises RateLimited; who does not listen to that is hung up on."""
        try:
            await self._limits.spend("request", connection.caller)
        except RateLimited:
            connection.refused += 1
            if connection.refused > REFUSALS_ENDURED:
                self._connections.hang_up(connection)
            raise
        connection.refused = 0

    async def _answer(
        self, connection: Connection, name: str, arguments: Sequence[object], caller: Caller
    ) -> Reply:
        if name == "authenticate":
            return await self._authenticate(connection, arguments)
        if self._expiry.has_run_out(connection):
            raise Unauthorized(EXPIRED.error)
        return await self._requests.answer(name, arguments, caller)

    async def _authenticate(self, connection: Connection, arguments: Sequence[object]) -> Reply:
        """Another token of the same user takes the place of the one that runs out."""
        command = payload_as(Authenticate, arguments)
        await self._requests.wait_for(command)
        if not command.token:
            raise Unauthorized("A token is missing.")
        known = connection.caller
        credentials = Credentials(command.token, None, known.address)
        caller = await self._identity.identify(credentials, self._ids.new())
        if caller.principal.id != known.principal.id:
            raise Unauthorized("The token is not of the user who connected.")
        connection.caller = msgspec.structs.replace(caller, claimable=known.claimable)
        if connection.expired:
            connection.expired, connection.since = False, self._pushes.position
        self._expiry.watch(connection)
        return Reply("session", self._session(connection))

    async def _usage(self, caller: Caller) -> object:
        return await self._views.usage(caller.principal)

    def _session(self, connection: Connection) -> Session:
        principal = connection.caller.principal
        visitor = principal.kind == "anonymous"
        return Session(
            principal=f"{'anon' if visitor else 'user'}:{principal.name}",
            kind=principal.kind,
            anon_id=principal.name if visitor else msgspec.UNSET,
            server_time=self._clock.now(),
            log_id=self._log_id,
            position=self._pushes.position,
        )

    def _disconnect(self, connection: Connection) -> None:
        """Out of the namespace; the client must connect anew, with another token."""
        task = asyncio.create_task(self.server.disconnect(connection.sid, NAMESPACE))
        self._disconnecting.add(task)
        task.add_done_callback(self._disconnecting.discard)
