"""`/api/v1/messages`: send, regenerate, attach and stop."""

from typing import Any, Protocol
from uuid import UUID

from litestar import Request, Response, Router, get, post
from litestar.datastructures import State
from litestar.types import ASGIApp, Receive, Scope, Send

from application.commands import Regenerate, SendMessage, StopReply
from application.errors import InvalidRequest
from application.live_replies import StartedReply
from application.message_commands import MessageCommands, Stopping
from application.tracing import UNTRACED, Tracer
from interfaces.http.caller import ANON_ID, Callers, bearer_token
from interfaces.http.operations import described
from interfaces.inbound import decode_json
from interfaces.incidents import Incidents
from interfaces.open_connections import OpenConnections
from interfaces.outbound import Mapped, refusal_of
from interfaces.sse.attach import Attaching, Wanted
from interfaces.sse.event_stream import EventStream, Header
from interfaces.sse.frames import event_without_id
from interfaces.sse.lasting import forget_request, lasting
from interfaces.sse.operations import ATTACH, PROBE, REGENERATE, SEND, STOP
from interfaces.sse.outlet import Outlet
from interfaces.sse.probe import probe_response
from interfaces.sse.refusals import (
    COOKIE,
    StreamRefusals,
    clearing_cookie,
    refused_code,
    refused_stream,
    stream_cookie,
)
from interfaces.sse.reply_stream import Beginning, ReplyStreams
from interfaces.sse.stream_token import Place, StreamTokens

AnyRequest = Request[Any, Any, State]
KEY_LENGTH = 255


class StreamCounter(Protocol):
    def stream_opened(self) -> None: ...

    def stream_closed(self) -> None: ...


class MessageRoutes:
    """What the routes need; each handler is one short method."""

    def __init__(
        self,
        commands: MessageCommands,
        streams: ReplyStreams,
        attaching: Attaching,
        tokens: StreamTokens,
        callers: Callers,
        incidents: Incidents,
        counter: StreamCounter,
        open_streams: OpenConnections,
        tracer: Tracer = UNTRACED,
    ) -> None:
        self._commands = commands
        self._streams = streams
        self._attaching = attaching
        self._tokens = tokens
        self._callers = callers
        self._incidents = incidents
        self._counter = counter
        self._open = open_streams
        self._tracer = tracer

    async def send(self, request: AnyRequest) -> ASGIApp:
        caller = await self._callers.of(request, "send")
        self._open.check(caller.address, caller.principal.id)
        command = decode_json(await request.body(), SendMessage)
        outcome = await self._commands.send(command, caller, _idempotency_key(request))
        return self._started(outcome.result, caller.address)

    async def regenerate(self, request: AnyRequest) -> ASGIApp:
        caller = await self._callers.of(request, "send")
        self._open.check(caller.address, caller.principal.id)
        command = decode_json(await request.body(), Regenerate)
        outcome = await self._commands.regenerate(command, caller, _idempotency_key(request))
        return self._started(outcome.result, caller.address)

    async def attach(self, request: AnyRequest) -> ASGIApp:
        """Joins a reply's stream; 204, which stops an EventSource, where nothing is left of it."""
        cookie = request.cookies.get(COOKIE)
        query = request.query_params
        event_id = request.headers.get("last-event-id") or query.get("last_event_id")
        named = any(query.get(name) for name in ("stream_token", "reply_id", "chat_id"))
        if cookie and (code := refused_code(cookie)) and not event_id and not named:
            return refused_stream(Mapped(200, refusal_of(code)), [clearing_cookie()])
        if _has_credentials(request):
            caller = await self._callers.of(request)
        else:
            await self._callers.admit(request)
            caller = None
        attachment = await self._attaching.find(
            Wanted(
                event_id=event_id or None,
                stream_token=query.get("stream_token") or None,
                reply_id=query.get("reply_id") or None,
                chat_id=query.get("chat_id") or None,
                cookie=cookie or None,
                caller=caller,
            )
        )
        if attachment is None:
            return Response(None, status_code=204).to_asgi_response(app=None, request=request)
        beginning, address = attachment.beginning, self._callers.address(request)
        self._open.check(address, beginning.payer)
        return self._stream(beginning, attachment.place, address)

    async def stop(self, request: AnyRequest) -> Response[Stopping]:
        caller = await self._callers.of(request)
        command = decode_json(await request.body(), StopReply)
        stopping = await self._commands.stop(command, caller)
        return Response(stopping, status_code=202)

    async def probe(self, request: AnyRequest) -> ASGIApp:
        await self._callers.admit(request)
        return probe_response(request)

    def _started(self, reply: StartedReply, address: str) -> ASGIApp:
        return self._stream(Beginning.of(reply), None, address)

    def _stream(self, beginning: Beginning, place: Place | None, address: str) -> ASGIApp:
        self._tracer.concerns(reply_id=beginning.reply_id)
        outlet = Outlet()
        stream = EventStream(
            self._streams.frames(beginning, place, outlet),
            self._headers(beginning.reply_id, beginning.chat_id),
            failed=self._failed,
            outlet=outlet,
        )

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            self._counter.stream_opened()
            self._open.opened(address, beginning.payer)
            try:
                await stream.begin(scope, send)
                forget_request(scope)
                del send
                await stream.go_on(receive)
            finally:
                self._open.closed(address, beginning.payer)
                self._counter.stream_closed()

        return lasting(counted)

    def _failed(self, error: Exception) -> bytes:
        mapped = self._incidents.mapped("stream", error)
        return event_without_id("assistant_error", mapped.error)

    def _headers(self, reply_id: UUID, chat_id: UUID) -> list[Header]:
        token = self._tokens.mint(reply_id)
        return [
            (b"x-chat-id", str(chat_id).encode()),
            (b"x-reply-id", str(reply_id).encode()),
            (b"x-stream-token", token.encode()),
            stream_cookie(token),
        ]


def _idempotency_key(request: AnyRequest) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not 1 <= len(key) <= KEY_LENGTH:
        raise InvalidRequest(f"1 to {KEY_LENGTH} characters.", "Idempotency-Key")
    return key


def _has_credentials(request: AnyRequest) -> bool:
    headers = request.headers
    return bool(bearer_token(headers.get("authorization")) or headers.get(ANON_ID))


def message_router(routes: MessageRoutes, refusals: StreamRefusals) -> Router:
    """All routes below `/api/v1/messages`."""

    @post("/send", status_code=200, summary="Send a message", opt=described(SEND))
    async def send(request: AnyRequest) -> ASGIApp:
        return await routes.send(request)

    @get("/send", summary="Come back to a reply", opt=described(ATTACH))
    async def attach(request: AnyRequest) -> ASGIApp:
        return await routes.attach(request)

    @post(
        "/regenerate",
        status_code=200,
        summary="Make another version of an answer",
        opt=described(REGENERATE),
    )
    async def regenerate(request: AnyRequest) -> ASGIApp:
        return await routes.regenerate(request)

    @get("/test-sse", summary="Try the way, as an EventSource does", opt=described(PROBE))
    async def probe(request: AnyRequest) -> ASGIApp:
        return await routes.probe(request)

    @post(
        "/test-sse",
        status_code=200,
        summary="Try the way from here to the client",
        opt=described(PROBE),
    )
    async def probe_by_post(request: AnyRequest) -> ASGIApp:
        return await routes.probe(request)

    @post("/stop", status_code=202, summary="End a reply", opt=described(STOP))
    async def stop(request: AnyRequest) -> Response[Stopping]:
        return await routes.stop(request)

    # A function, as Litestar copies what handlers carry, and a bound method carries its whole node.
    def refused(request: AnyRequest, error: Exception) -> Response[Any]:
        return refusals.answer(request, error)

    streams = Router(
        "/",
        route_handlers=[send, attach, regenerate, probe, probe_by_post],
        exception_handlers={Exception: refused},
    )
    return Router("/api/v1/messages", route_handlers=[streams, stop], tags=["messages"])
