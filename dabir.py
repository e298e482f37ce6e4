"""Composition root and entry point: settings → parts → server or command. Nothing else wires.

What is heavy is imported where it is needed, so that operator's commands start at once.
"""

import asyncio
import gc
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, nullcontext
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NoReturn
from uuid import UUID, uuid4

from dabir_operator import operator_commands, shared_log, terms_of
from interfaces.cli.app import MintFlags, ServeFlags, build_app, run

if TYPE_CHECKING:
    from infrastructure.language_model.catalogue import Catalogue
    from infrastructure.language_model.local import LocalModel
    from infrastructure.observer import NodeObserver
    from infrastructure.settings import Settings
    from infrastructure.workers import Worker

LAG_ALLOWED = 1000
"""Events that the views may be behind the log before the node calls itself unready."""
COLLECT_AFTER = 50_000
"""New objects until Python looks for garbage among them; 700 would be a third of a start."""
SOCKETS_TOLD_WITHIN = 0.4
SOCKETS_CLOSE_WITHIN = 0.3
"""Seconds for the last pushes, and for closing the sockets after them."""


def main() -> None:
    gc.set_threshold(COLLECT_AFTER)
    code = run(build_app(serve, mint, operator_commands()), outside_cause=outside_cause)
    gc.freeze()  # what is loaded need not be looked through at the end
    sys.exit(code)


def outside_cause(error: Exception) -> str | None:
    from infrastructure import database

    return database.outside_cause(error)


def mint(flags: MintFlags) -> str:
    from infrastructure.identity import mint_token
    from infrastructure.settings import Settings

    return mint_token(Settings(), flags.sub, flags.scopes, flags.expires)


def serve(flags: ServeFlags) -> int:
    """Serve until told to stop, and end the process. Raises ConfigurationError."""
    import uvloop

    from infrastructure.data_folder import only_server_of
    from infrastructure.observability import configure_logging
    from infrastructure.settings import Settings

    settings = Settings(**vars(flags))
    configure_logging(settings.log_level, settings.log_format)
    os.umask(0o077)  # what people wrote is nobody else's on this machine
    # On PostgreSQL any number of nodes serve one log.
    alone = only_server_of(settings.data_dir) if settings.postgres_url is None else nullcontext()
    with alone:
        if settings.workers > 1:
            from infrastructure.server import open_port
            from infrastructure.workers import Workers

            port = open_port(settings.host, settings.port)
            nodes = Workers(
                settings.workers, port, lambda worker: uvloop.run(_serve(settings, worker))
            )
            return nodes.run()
        uvloop.run(_serve(settings))
    return 0


def _leave() -> NoReturn:
    """End the process, now that all is closed.

    Python would first wait for what still loads in a thread, and tear down all that litellm has
    loaded: seconds of a deploy.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


async def _serve(settings: "Settings", worker: "Worker | None" = None) -> None:
    if worker is not None:
        # Until the server heeds it: there is nothing to drain.
        asyncio.get_running_loop().add_reader(worker.line, _leave)
    gc.disable()  # until the port is open
    models = models_of(settings)  # first, as what is wrong with them is better known at once

    from infrastructure.late_imports import imported_late

    # What socketio's clients speak with, and what writes `/schema/openapi.yaml`.
    with imported_late("aiohttp", "requests", "websocket", "yaml"):
        import litestar  # noqa: F401
        import socketio  # noqa: F401

    from infrastructure.client_connections import Deadlines
    from infrastructure.server import open_port, server_for
    from interfaces.ws.sockets import MAX_MESSAGE

    port = worker.port if worker else open_port(settings.host, settings.port)
    async with AsyncExitStack() as closing:
        node = await compose(settings, models, closing)
        server = server_for(
            node.app,
            node.begin,
            node.drain,
            deadlines=Deadlines(settings.request_timeout, settings.unread_timeout),
            max_message=MAX_MESSAGE,
            parent=worker.line if worker else None,
        )
        await server.serve(sockets=[port])
    _leave()


class Node:
    """One serving process: what runs beside the requests, and how it goes down."""

    def __init__(self, observer: "NodeObserver") -> None:
        self.app: Any = None
        self.draining = False
        self.beside: dict[str, Callable[[], Awaitable[None]]] = {}
        self.drains: dict[str, Callable[[], Awaitable[None]]] = {}
        self._observer = observer
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self) -> None:
        """Start what runs beside the requests, now that the port is open."""
        # What is loaded stays: else each whole collection would hold up all streams for longer.
        gc.freeze()
        gc.enable()
        self._tasks = [
            asyncio.create_task(self._run(name, run)) for name, run in self.beside.items()
        ]

    async def _run(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        try:
            await run()
        except Exception as error:  # noqa: BLE001 - a supervisor: nobody else would hear of it
            self._observer.fault(name, error)

    async def drain(self) -> None:
        """Refuse new sends, let replies end, and leave in good order."""
        self.draining = True
        for name, drain in self.drains.items():
            self._observer.drains(name)
            await drain()
        self._observer.drains("connections")

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def compose(
    settings: "Settings",
    models: "tuple[Catalogue, LocalModel | None]",
    closing: AsyncExitStack,
) -> Node:
    """Every part in the order in which they need each other; `closing` ends them in reverse."""
    from application.accounts import Accounts
    from application.chat_commands import ChatCommands
    from application.checkpoints import Checkpoints, Pace
    from application.console.audit_state import AuditDesk
    from application.console.overview import Gauges, NodeFacts, NodeOverview
    from application.message_commands import MessageCommands
    from application.node_lease import NodeLease
    from application.prompts import Prompts
    from application.recovery import Recovery
    from application.replies import Replies
    from application.reply_endings import ReplyEndings
    from application.turns import Turns
    from application.usage_commands import UsageCommands
    from infrastructure.audit.sealing import Sealing
    from infrastructure.audit.trail import open_trail
    from infrastructure.console.activity import NodeActivity
    from infrastructure.console.commands import OperatorCommands
    from infrastructure.console.reading import ConsoleReading
    from infrastructure.console.rebuilds import ViewRebuilds
    from infrastructure.console.verifications import LogVerifications
    from infrastructure.data_folder import log_url
    from infrastructure.database import sync_reader_engine
    from infrastructure.event_store.codec import codec_of
    from infrastructure.event_store.encryption import vault_of
    from infrastructure.event_store.erasure import require_erased
    from infrastructure.event_store.keyring import keyring_of
    from infrastructure.event_store.store import SqlEventStore
    from infrastructure.identity import TokenIdentity
    from infrastructure.language_model.gateway import LitellmGateway
    from infrastructure.live_replies.shared import SharedLiveReplies
    from infrastructure.metrics import Metrics
    from infrastructure.observer import NodeObserver
    from infrastructure.projections.shelf import generations_of
    from infrastructure.projections.status import status_of
    from infrastructure.projections.views import SqlViews
    from infrastructure.rate_limits import CountedRates
    from infrastructure.settings import load_secret
    from infrastructure.system import SystemClock, TimeOrderedIds
    from infrastructure.tracing import tracer_of
    from interfaces.http.admin_console import ConsoleParts, console_router
    from interfaces.http.answers import Answers
    from interfaces.http.bare_litestar import BareLitestar
    from interfaces.http.caller import Callers, tell_minted_id
    from interfaces.http.cors import CrossOrigin
    from interfaces.http.encoded_paths import EncodedPaths
    from interfaces.http.operators import Operators
    from interfaces.http.page import PageSettings
    from interfaces.http.problems import problem_handlers
    from interfaces.http.routes import build_http_routes
    from interfaces.http.schema import openapi_config
    from interfaces.incidents import Incidents
    from interfaces.open_connections import OpenConnections
    from interfaces.origins import Origins
    from interfaces.sse.attach import Attaching
    from interfaces.sse.lasting import LastingAnswers
    from interfaces.sse.messages import MessageRoutes, message_router
    from interfaces.sse.refusals import StreamRefusals
    from interfaces.sse.reply_stream import ReplyStreams
    from interfaces.sse.stream_token import StreamTokens
    from interfaces.ws.sockets import ChatSockets

    clock, ids = SystemClock(), TimeOrderedIds()
    metrics = Metrics()
    tracer = tracer_of(settings.otel_endpoint, settings.otel_ratio, version("dabir"))
    closing.push_async_callback(tracer.close)
    observer = NodeObserver(metrics, tracer, clock)
    node = Node(observer)
    secret = load_secret(settings.data_dir, settings.secret)
    catalogue, local = models
    terms = terms_of(settings)
    keyring = keyring_of(settings)
    closing.callback(keyring.close)
    if not keyring.seals:
        observer.unsealed()
    vault = vault_of(keyring)
    store = await SqlEventStore.open(
        log_url(settings), clock=clock, observe=observer.batch_written, vault=vault
    )
    closing.push_async_callback(store.close)
    await store.agree(settings.currency, secret)
    if settings.postgres_url is not None:
        # On SQLite a restore has seen to it.
        await asyncio.to_thread(require_erased, settings.postgres_url, keyring)
    trail = closing.enter_context(
        open_trail(
            settings.data_dir,
            clock=clock,
            target=settings.audit_checkpoints,
            witness=keyring,
            shared=shared_log(settings),
        )
    )
    sealing = Sealing(trail, settings.audit_interval, observer)
    shelf = generations_of(settings.data_dir, settings.postgres_url)
    views = await SqlViews.open(
        shelf,
        store,
        clock=clock,
        anon_limit=terms.anonymous_limit,
        starting_balance=terms.starting_balance,
        currency=terms.currency,
    )
    closing.push_async_callback(views.close)
    store.others.when_told("views", views.heard)
    views.when_applied(lambda events, began: store.others.tell("views", events[-1].position))
    limits = CountedRates.configured(settings, store.log_id)
    closing.push_async_callback(limits.aclose)
    identity = TokenIdentity.configured(
        settings, principals=store.principals, secret=secret, clock=clock, limits=limits
    )
    gateway = LitellmGateway(
        catalogue,
        first_token_timeout=settings.first_token_timeout,
        token_timeout=settings.token_timeout,
        reply_timeout=settings.reply_timeout,
        called=observer.model_called,
    )
    closing.push_async_callback(gateway.aclose)

    turns = Turns(store, ids, secret, tracer)
    accounts = Accounts(store, catalogue, terms, secret)
    # On SQLite the lock on the folder proves that an earlier holder is gone: under the same id, the
    # new epoch ends its replies. On PostgreSQL each start is a node of its own.
    node_id = UUID(store.log_id) if settings.postgres_url is None else uuid4()
    lease = NodeLease(store.leases, node_id, settings.lease, observer, lambda: replies.lose_all())
    live = SharedLiveReplies(
        store.log_id,
        node_id,
        store.find_open_reply,
        lease,
        lambda: replies.lose_all(),
        observer,
        settings.valkey_url.get_secret_value() if settings.valkey_url else None,
    )
    closing.push_async_callback(live.aclose)
    endings = ReplyEndings(store, turns, gateway, catalogue, clock, lease)
    pace = Pace()
    replies = Replies(gateway, live, endings, observer, tracer, pace)
    checkpoints = Checkpoints(
        store,
        lease,
        observer,
        replies.live,
        replies.lose_all,
        lambda reply_id: replies.cut(reply_id, "deleted"),
        pace,
    )
    # A reply that says nothing is not checkpointed, so that nothing else would tell it.
    store.others.when_gone(lambda chat_id: replies.cut_in(chat_id, "deleted"))
    store.others.when_stopped(lambda reply_id: replies.cut(reply_id, "stopped"))
    recovery = Recovery(
        store,
        turns,
        gateway,
        clock,
        observer,
        replies.owns,
        replies.abandoned,
        node_id,
        live.reaped,
    )
    await lease.take()
    closing.push_async_callback(lease.give_up)
    chat_commands = ChatCommands(
        store, turns, replies, accounts, catalogue, views, store.principals, identity, clock, ids
    )
    message_commands = MessageCommands(
        store,
        turns,
        replies,
        Prompts(views, gateway),
        accounts,
        catalogue,
        views,
        store.principals,
        clock,
        ids,
        lease,
        settings.max_content,
        lambda: node.draining,
    )
    usage_commands = UsageCommands(turns, accounts, clock)

    incidents = Incidents(observer, ids)
    callers = Callers(identity, settings.trusted_proxies, ids, limits, tracer)
    tokens = StreamTokens(secret)
    streams = ReplyStreams(live, views, store.principals, tokens)
    attaching = Attaching(streams, views, tokens, clock)

    def lag() -> int:
        return max(0, store.known_head - views.position)

    origins = Origins(settings.cors_origins)
    sockets = ChatSockets(
        identity=identity,
        commands=chat_commands,
        views=views,
        models=catalogue,
        store=store,
        principals=store.principals,
        incidents=incidents,
        counter=observer,
        clock=clock,
        ids=ids,
        log_id=store.log_id,
        origins=origins,
        trusted=settings.trusted_proxies,
        limits=limits,
        open_sockets=OpenConnections(settings.open_sockets, settings.address_open_sockets),
        tracer=tracer,
        # Each poll may reach another worker, which would not know the client.
        polling=settings.workers == 1,
    )
    messages = message_router(
        MessageRoutes(
            message_commands,
            streams,
            attaching,
            tokens,
            callers,
            incidents,
            metrics,
            OpenConnections(settings.open_streams, settings.address_open_streams),
            tracer,
        ),
        StreamRefusals(incidents, sockets.tell),
    )
    checks: dict[str, Callable[[], str | None]] = {
        "draining": lambda: "the server is going down" if node.draining else None,
        # Renewed by a write: it is lost where none came through for as long as it lasts.
        "store": lambda: None if lease.is_held else "the log's database is not reached",
        "model": lambda: None if gateway.ready else "the model gateway is loading",
        "views": lambda: _behind(lag()),
    }
    others = build_http_routes(
        callers=callers,
        identity=identity,
        principals=store.principals,
        usage_commands=usage_commands,
        views=views,
        checks=checks,
        notices={"set_aside": lambda: views.set_aside, "live_text": live.state},
        metrics=metrics.render,
        page=PageSettings(settings.sign_in_url, settings.top_up_url),
    )
    metrics.watch_views(lag, lambda: views.set_aside, lambda: views.keeps_up)
    metrics.watch_readiness(checks)
    views.when_applied(observer.views_applied)

    def oldest_hold() -> float:
        started = [reply.started.started_at for reply in replies.live()]
        return (clock.now() - min(started)).total_seconds() if started else 0.0

    metrics.watch_holds(lambda: replies.under_way, oldest_hold, lambda: recovery.orphans)
    metrics.watch_live_store(lambda: live.answers)
    metrics.watch_unsealed(lambda: max(0, store.known_head - sealing.sealed))

    # What the console asks
    activity = NodeActivity(
        metrics.figures,
        clock,
        head=lambda: store.known_head,
        lag=lag,
        open_replies=lambda: replies.under_way,
    )
    log_reader = sync_reader_engine(log_url(settings))
    reading = ConsoleReading(log_reader, codec_of(vault.form), vault.names)
    closing.push_async_callback(reading.close)
    commands = OperatorCommands((sys.executable, __file__), settings.data_dir)
    verifications = LogVerifications(commands, clock, observer)
    closing.push_async_callback(verifications.close)
    builds = ViewRebuilds(
        commands,
        lambda: status_of(shelf, log_reader, store.known_head),
        reading,
        clock,
        observer,
    )
    closing.push_async_callback(builds.close)
    overview = NodeOverview(
        NodeFacts(
            version=version("dabir"),
            log_id=store.log_id,
            engine="sqlite" if settings.postgres_url is None else "postgresql",
            node=node_id,
            started_at=clock.now(),
            currency=settings.currency,
        ),
        Gauges(
            head=lambda: store.known_head,
            sealed=lambda: sealing.sealed,
            open_replies=lambda: replies.under_way,
            oldest_reply=oldest_hold,
            orphaned_replies=lambda: recovery.orphans,
            checks=checks,
        ),
        views,
        activity,
        clock,
    )
    console = console_router(
        ConsoleParts(
            operators=Operators(callers),
            overview=overview,
            figures=activity,
            spend=views,
            log=reading,
            principals=store.principals,
            views=views,
            witness=observer,
            audit=AuditDesk(trail, settings.audit_checkpoints, settings.audit_interval),
            threads=reading,
            verifications=verifications,
            builds=builds,
        )
    )
    app = BareLitestar(
        [sockets.mount, messages, console, *others],
        exception_handlers=problem_handlers(incidents),
        before_send=[tell_minted_id],
        request_max_body_size=settings.max_body,
        openapi_config=openapi_config(version("dabir")),
        logging_config=None,
    )
    node.app = CrossOrigin(
        Answers(LastingAnswers(EncodedPaths(app)), ids, observer, tracer), origins
    )

    async def get_ready() -> None:
        await gateway.warm_up(before=local.start if local else None)

    async def close_sockets() -> None:
        await sockets.catch_up(await store.head(), SOCKETS_TOLD_WITHIN)
        await sockets.close(SOCKETS_CLOSE_WITHIN)

    async def tell_sockets() -> None:
        sockets.announce_draining()
        await turns.finish()

    async def let_replies_run() -> None:
        await replies.drain(settings.grace)

    node.beside = {
        "lease": lease.keep,
        "checkpoints": checkpoints.keep,
        "live text": live.run,
        "reaper": recovery.keep_reaping,
        "pushes": sockets.run,
        "sealer": sealing.keep,
        "model": get_ready,
        "activity": activity.keep,
    }
    if settings.postgres_url is not None:
        node.beside |= {"signals": store.others.listen, "heeding": store.others.heed}
    node.drains = {
        "commands": tell_sockets,
        "replies": let_replies_run,
        "sockets": close_sockets,
    }
    closing.push_async_callback(node.end)
    return node


def models_of(settings: "Settings") -> tuple["Catalogue", "LocalModel | None"]:
    """The configured models, or the small local one where none are."""
    from infrastructure.language_model.catalogue import load_catalogue
    from infrastructure.language_model.local import LocalModel

    if "models_file" in settings.model_fields_set or settings.models_file.exists():
        catalogue = load_catalogue(
            settings.models_file, currency=settings.currency, environ=os.environ
        )
        return catalogue, None
    local = LocalModel.find()
    return local.catalogue(), local


def _behind(lag: int) -> str | None:
    return f"the views are {lag} events behind the log" if lag > LAG_ALLOWED else None


if __name__ == "__main__":
    main()
