"""A node that serves in the test's own event loop: all real but the language model."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID, uuid4

import socketio
import uvicorn
from joserfc import jwt
from joserfc.jwk import OctKey
from litestar import Litestar
from litestar.types import ControllerRouterHandler

from application.accounts import Accounts, Terms
from application.chat_commands import ChatCommands
from application.commands import Regenerate, SendMessage
from application.errors import ModelFailure, ModelNotFound
from application.live_replies import StartedReply
from application.message_commands import MessageCommands
from application.node_lease import NodeLease
from application.ports import (
    Caller,
    Credentials,
    Delta,
    ModelSpec,
    Prompt,
    ProviderUsage,
    Taker,
)
from application.prompts import Prompts
from application.replies import Replies
from application.reply_endings import ReplyEndings
from application.turns import Turns
from application.usage_commands import UsageCommands
from domain.usage import Price
from infrastructure.client_connections import Deadlines, PatientWebSocket, patient_http
from infrastructure.event_store.store import SqlEventStore
from infrastructure.identity import TokenIdentity
from infrastructure.identity_keys import SecretKey
from infrastructure.identity_tokens import TokenVerifier
from infrastructure.live_replies.memory import MemoryLiveReplies
from infrastructure.projections.shelf import generations_of
from infrastructure.projections.views import SqlViews
from infrastructure.rate_limits import UNLIMITED
from infrastructure.settings import AnonymousPolicy
from infrastructure.system import SystemClock, TimeOrderedIds
from interfaces.http.caller import Callers, tell_minted_id
from interfaces.http.cors import CrossOrigin
from interfaces.http.encoded_paths import EncodedPaths
from interfaces.http.page import PageSettings
from interfaces.http.problems import problem_handlers
from interfaces.http.routes import build_http_routes
from interfaces.http.schema import openapi_config
from interfaces.incidents import Incidents
from interfaces.open_connections import OpenConnections
from interfaces.origins import Origins
from interfaces.ws.sockets import ChatSockets

SECRET = b"a secret of the tests, longer than 32 bytes"
NAMESPACE = "/chats"
PATIENCE = 10.0
UNREAD_TIMEOUT = 30.0


def token(sub: str, *scopes: str, expires_in: float = 3600) -> str:
    claims = {"sub": sub, "exp": int(time.time() + expires_in), "scope": " ".join(scopes)}
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(SECRET))


class TurnedClock:
    """The machine's, until it is turned."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def turn(self, **by: float) -> None:
        self._ahead += timedelta(**by)


class OneModel:
    """A catalogue of one model, which costs nothing."""

    default = "tiny"

    def __init__(self) -> None:
        price = Price(input_per_million=0, output_per_million=1_500_000_000, source="test")
        self._tiny = ModelSpec("tiny", "Tiny", 4000, 100, price)

    def get(self, model_id: str) -> ModelSpec:
        if model_id != "tiny":
            raise ModelNotFound("There is no such model.")
        return self._tiny

    def all(self) -> Sequence[ModelSpec]:
        return [self._tiny]


class ScriptedModel:
    """Answers "Hello world"; told "fail" it fails, told "wait" it waits for `release`."""

    def __init__(self) -> None:
        self.release = asyncio.Event()

    async def reply(
        self, prompt: Prompt, taker: Taker | None = None
    ) -> AsyncGenerator[Delta, None]:
        last = prompt.messages[-1].content
        if last == "fail":
            raise ModelFailure("PROVIDER_ERROR", "Scripted")
        yield Delta(text="Hello")
        if last == "wait":
            await self.release.wait()
        yield Delta(text=" world")
        yield Delta(finish_reason="stop", usage=ProviderUsage(5, 2), model="tiny")

    def count_tokens(self, text: str) -> int:
        return len(text.split())


class Notebook:
    """An observer that keeps the faults."""

    def __init__(self) -> None:
        self.faults: list[tuple[str, BaseException, UUID | None]] = []
        self.sockets = 0

    def fault(
        self,
        where: str,
        error: BaseException,
        reply_id: UUID | None = None,
        incident: UUID | None = None,
    ) -> None:
        self.faults.append((where, error, incident))

    def reply_started(self, started: StartedReply) -> None: ...

    def first_token(self, started: StartedReply, seconds: float) -> None: ...

    def next_token(self, seconds: float) -> None: ...

    def reply_ended(self, started: StartedReply, outcome: str, cause: str | None) -> None: ...

    def refused(self, where: str, code: str) -> None: ...

    def socket_answered(self, request: str, seconds: float) -> None: ...

    def socket_connected(self) -> None:
        self.sockets += 1

    def socket_disconnected(self) -> None:
        self.sockets -= 1


class Node:
    """What a test may look at or reach into."""

    url: str
    store: SqlEventStore
    views: SqlViews
    identity: TokenIdentity
    clock: TurnedClock
    """That of tokens; the rest goes by the machine's."""
    model: ScriptedModel
    notebook: Notebook
    sockets: ChatSockets
    messages: MessageCommands
    replies: Replies
    folder: Path
    checks: dict[str, Callable[[], str | None]]
    notices: dict[str, Callable[[], int]]

    async def caller(self, *, sub: str = "", anon_id: str = "") -> Caller:
        credentials = Credentials(token(sub) if sub else None, anon_id or None, "127.0.0.1")
        return await self.identity.identify(credentials, uuid4())

    async def send(self, caller: Caller, content: str, chat_id: UUID | None = None) -> StartedReply:
        command = SendMessage(content=content, chat_id=chat_id)
        return (await self.messages.send(command, caller, None)).result

    async def regenerate(self, caller: Caller, chat_id: UUID) -> StartedReply:
        return (await self.messages.regenerate(Regenerate(chat_id=chat_id), caller, None)).result


@asynccontextmanager
async def serving(
    *,
    origins: Sequence[str] = (),
    anonymous_limit: int = 1000,
    anon_policy: AnonymousPolicy = "open",
    more_routes: Sequence[ControllerRouterHandler] = (),
) -> AsyncIterator[Node]:
    """Serves on a free port until the block ends."""
    async with AsyncExitStack() as closing:
        node = Node()
        folder = Path(closing.enter_context(TemporaryDirectory()))
        app = await _compose(
            node, folder, closing, Origins(origins), anonymous_limit, anon_policy, more_routes
        )
        config = uvicorn.Config(
            app,
            port=0,
            lifespan="off",
            proxy_headers=False,
            log_config=None,
            http=patient_http(Deadlines(request=30, unread=UNREAD_TIMEOUT)),
            ws=PatientWebSocket,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve())
        await until(lambda: server.started or task.done())
        node.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        pushing = asyncio.create_task(node.sockets.run())
        try:
            yield node
        finally:
            pushing.cancel()
            node.model.release.set()
            await node.replies.drain(5)
            await node.sockets.close(2)
            server.should_exit = True
            await task


async def _compose(
    node: Node,
    folder: Path,
    closing: AsyncExitStack,
    origins: Origins,
    anonymous_limit: int,
    anon_policy: AnonymousPolicy,
    more_routes: Sequence[ControllerRouterHandler],
) -> CrossOrigin:
    clock, ids, models = SystemClock(), TimeOrderedIds(), OneModel()
    node.notebook, node.model, node.clock = Notebook(), ScriptedModel(), TurnedClock()
    terms = Terms(
        currency="USD",
        starting_balance=5_000_000_000,
        anonymous_limit=anonymous_limit,
        address_limit=0,
        window=3600,
    )
    node.store = store = await SqlEventStore.open(f"sqlite:///{folder}/events.db", clock=clock)
    closing.push_async_callback(store.close)
    node.views = views = await SqlViews.open(
        generations_of(folder),
        store,
        clock=clock,
        anon_limit=terms.anonymous_limit,
        starting_balance=terms.starting_balance,
        currency=terms.currency,
        freshness_timeout=5.0,
    )
    closing.push_async_callback(views.close)
    node.identity = identity = TokenIdentity(
        principals=store.principals,
        secret=SECRET,
        tokens=TokenVerifier(SecretKey(SECRET), node.clock),
        anon_policy=anon_policy,
    )
    turns = Turns(store, ids, SECRET)
    accounts = Accounts(store, models, terms, SECRET)
    lease = NodeLease(store.leases, uuid4(), 60, node.notebook, lambda: None)
    await lease.take()
    endings = ReplyEndings(store, turns, node.model, models, clock, lease)
    node.replies = replies = Replies(node.model, MemoryLiveReplies(), endings, node.notebook)
    commands = ChatCommands(
        store, turns, replies, accounts, models, views, store.principals, identity, clock, ids
    )
    node.messages = MessageCommands(
        store,
        turns,
        replies,
        Prompts(views, node.model),
        accounts,
        models,
        views,
        store.principals,
        clock,
        ids,
        lease,
        100_000,
        lambda: False,
    )
    incidents = Incidents(node.notebook, ids)
    node.sockets = ChatSockets(
        identity=identity,
        commands=commands,
        views=views,
        models=models,
        store=store,
        principals=store.principals,
        incidents=incidents,
        counter=node.notebook,
        clock=node.clock,
        ids=ids,
        log_id=store.log_id,
        origins=origins,
        trusted=(),
        limits=UNLIMITED,
        open_sockets=OpenConnections(),
    )
    node.folder = folder
    node.checks = {}
    node.notices = {}
    routes = build_http_routes(
        callers=Callers(identity, (), ids, UNLIMITED),
        identity=identity,
        principals=store.principals,
        usage_commands=UsageCommands(turns, accounts, clock),
        views=views,
        checks=node.checks,
        notices=node.notices,
        metrics=lambda: b"dabir_sockets 0.0\n",
        page=PageSettings(),
    )
    app = Litestar(
        [*routes, node.sockets.mount, *more_routes],
        exception_handlers=problem_handlers(incidents),
        before_send=[tell_minted_id],
        request_max_body_size=1_000_000,
        openapi_config=openapi_config("0"),
        logging_config=None,
    )
    return CrossOrigin(EncodedPaths(app), origins)


class Client:
    """python-socketio's client in the namespace, with everything it was told, in order."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.told: list[tuple[str, Any]] = []
        self.refusal: Any = None
        self.socket = socketio.AsyncClient(reconnection=False)
        self.socket.on("*", self._hear, namespace=NAMESPACE)
        self.socket.on("connect_error", self._refused, namespace=NAMESPACE)

    async def connect(
        self,
        auth: Any = None,
        headers: dict[str, str] | None = None,
        transports: Sequence[str] = ("websocket",),
    ) -> "Client":
        await self.socket.connect(
            self._node.url,
            headers=headers or {},
            auth=auth,
            transports=list(transports),
            namespaces=[NAMESPACE],
            wait_timeout=PATIENCE,
        )
        await self.hears("usage_info")
        return self

    async def ask(self, request: str, *payload: Any) -> Any:
        """The acknowledgement of a request."""
        data = payload[0] if len(payload) == 1 else (payload or None)
        return await self.socket.call(request, data, namespace=NAMESPACE, timeout=PATIENCE)

    async def hears(self, event: str, count: int = 1) -> Any:
        """The payload of the count-th event of that name."""
        await until(lambda: len(self.payloads(event)) >= count)
        return self.payloads(event)[count - 1]

    def payloads(self, event: str) -> list[Any]:
        return [payload for name, payload in self.told if name == event]

    @property
    def session(self) -> Any:
        return self.payloads("session")[0]

    async def _hear(self, event: str, payload: Any = None) -> None:
        self.told.append((event, payload))

    async def _refused(self, data: Any) -> None:
        self.refusal = data

    async def close(self) -> None:
        await self.socket.disconnect()


@asynccontextmanager
async def connected(node: Node, auth: Any = None, **more: Any) -> AsyncIterator[Client]:
    client = Client(node)
    try:
        yield await client.connect(auth, **more)
    finally:
        await client.close()


async def until(condition: Callable[[], object], patience: float = PATIENCE) -> None:
    """Wait for something that only looking can tell."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.01)
