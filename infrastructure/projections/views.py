"""The views as the application knows them: fresh or refused, each query one snapshot."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import TypeVar
from uuid import UUID

import structlog
from sqlalchemy import Connection

from application.ports import Clock, Principal
from application.queries import (
    ChatAt,
    ChatsPage,
    HistoryMessage,
    ListChats,
    ListMessages,
    MessagesPage,
    MessageView,
    ReplyView,
    SearchMessages,
    SearchPage,
    UsageView,
)
from infrastructure.database import READERS
from infrastructure.event_store.store import SqlEventStore
from infrastructure.projections import (
    chat_list,
    message_queries,
    reply_queries,
    search_queries,
    usage,
)
from infrastructure.projections.checkpoint import OtherLog
from infrastructure.projections.generation import VIEWS_VERSION, Generation, Succession
from infrastructure.projections.projector import Projector
from infrastructure.projections.runner import Observe, Runner
from infrastructure.projections.shelf import Shelf, Turn
from infrastructure.projections.tidying import Tidying

T = TypeVar("T")

log = structlog.get_logger()


class SqlViews:
    """Implements `application.queries.Views`. Belongs to the event loop it was opened in."""

    def __init__(
        self,
        shelf: Shelf,
        store: SqlEventStore,
        turn: Turn,
        generation: Generation,
        *,
        clock: Clock,
        terms: usage.Terms,
        freshness_timeout: float,
    ) -> None:
        self._shelf = shelf
        self._store = store
        self._turn = turn
        self._succession = Succession(generation, shelf.bury)
        self._turned = asyncio.Event()
        self._tidying = Tidying(shelf, store.view_generations)
        self._clock = clock
        self._terms = terms
        self._freshness_timeout = freshness_timeout
        self._runner = Runner(
            store,
            Projector(generation.writing),
            self._look_around,
            turn,
            lambda: self._succession.live.state(),
        )
        self._progress = self._runner.progress
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="views-reader")

    @classmethod
    async def open(
        cls,
        shelf: Shelf,
        store: SqlEventStore,
        *,
        clock: Clock,
        anon_limit: int,
        starting_balance: int,
        currency: str,
        freshness_timeout: float = 2.0,
    ) -> "SqlViews":
        """Open the live generation, and wait until it is where the log's head was.

        Where there is none for this version of the code it is built, which takes as long as it
        takes; a start that was broken off is taken up again. `anon_limit` in messages,
        `starting_balance` in nanos of `currency`, `freshness_timeout` in seconds.
        """
        loop = asyncio.get_running_loop()
        views: SqlViews | None = None

        def go_on() -> None:
            if views is not None:
                views._runner.hurry()

        def gained() -> None:
            with suppress(RuntimeError):  # the loop has ended, and nobody waits for it
                loop.call_soon_threadsafe(go_on)

        turn = await asyncio.to_thread(shelf.take_turn, gained)
        try:
            generation = await _live_generation(shelf, store)
        except BaseException:
            await asyncio.to_thread(turn.close)
            raise
        views = cls(
            shelf,
            store,
            turn,
            generation,
            clock=clock,
            terms=usage.Terms(anon_limit, starting_balance, currency),
            freshness_timeout=freshness_timeout,
        )
        try:
            await views._begin()
        except BaseException:
            await views.close()
            raise
        return views

    async def _begin(self) -> None:
        if self._shelf.shared:
            head = await self._store.head()
            self._runner.start()
            await self._progress.wait(head, None)
            return
        await self._runner.catch_up()
        remove_others = self._shelf.remove_others
        await self._store.view_generations.forget_older(VIEWS_VERSION, remove_others)
        self._runner.start()

    async def close(self) -> None:
        await self._runner.close()
        # Not sooner: who has the turn next begins where this one ended.
        await asyncio.to_thread(self._turn.close)
        await self._tidying.close()
        await asyncio.to_thread(self._readers.shutdown)
        self._succession.close()

    # How they are

    @property
    def position(self) -> int:
        """How far the views are."""
        return self._progress.position

    @property
    def set_aside(self) -> int:
        """How many streams some view could not follow, and does not any more."""
        return self._runner.set_aside

    @property
    def failures(self) -> int:
        """How often a batch had to be tried again since the start."""
        return self._runner.failures

    @property
    def has_turn(self) -> bool:
        """Whether it is this process that keeps them up."""
        return self._turn.held

    @property
    def keeps_up(self) -> bool:
        """Whether it is this node that applies the log's events now."""
        return self._turn.held

    async def lag(self) -> int:
        """How many events the views are behind the log."""
        return max(0, await self._store.head() - self.position)

    async def wait(self, position: int, timeout: float) -> None:
        """Until the views hold `position`. Raises ViewsBehind."""
        await self._progress.wait(position, timeout)

    def when_applied(self, observe: Observe) -> None:
        """`observe` is told of each batch that this process applies, beside those told already."""
        self._runner.observers.append(observe)

    def heard(self, position: int) -> None:
        """Another process says that it has brought the views so far: look at once."""
        if position > self.position:
            self._runner.hurry()

    # Queries

    async def list_chats(self, principal: UUID, request: ListChats) -> ChatsPage:
        return await self._query(
            lambda c: chat_list.list_chats(c, principal, request), request.min_position, principal
        )

    async def chat(self, principal: UUID, chat_id: UUID, min_position: int = 0) -> ChatAt:
        return await self._query(
            lambda c: chat_list.chat(c, principal, chat_id), min_position, principal
        )

    async def chat_ids(self, principal: UUID) -> Sequence[UUID]:
        """All chats of a principal, archived ones too."""
        return await self._query(lambda c: chat_list.chat_ids(c, principal), 0, principal)

    async def list_messages(self, principal: UUID, request: ListMessages) -> MessagesPage:
        return await self._query(
            lambda c: message_queries.list_messages(c, principal, request),
            request.min_position,
            principal,
        )

    async def message(
        self, principal: UUID, chat_id: UUID, message_id: UUID, min_position: int = 0
    ) -> MessageView:
        return await self._query(
            lambda c: message_queries.message(c, principal, chat_id, message_id),
            min_position,
            principal,
        )

    async def history(
        self, principal: UUID, chat_id: UUID, message_id: UUID, limit: int
    ) -> list[HistoryMessage]:
        """The branch upwards from `message_id`, itself first, at most `limit` messages."""
        return await self._query(
            lambda c: message_queries.history(c, principal, chat_id, message_id, limit),
            0,
            principal,
        )

    async def search(self, principal: UUID, request: SearchMessages) -> SearchPage:
        return await self._query(
            lambda c: search_queries.search_messages(c, principal, request),
            request.min_position,
            principal,
        )

    async def usage(self, principal: Principal, min_position: int = 0) -> UsageView:
        now = self._clock.now()
        return await self._query(
            lambda c: usage.usage(c, principal, self._terms, now), min_position, principal.id
        )

    async def reply(self, reply_id: UUID, min_position: int = 0) -> ReplyView | None:
        """Any principal's: the caller checks `owner`, or came by the reply's own token.

        Whoever knows a reply's id may know it from its very append, so one that is not there is
        looked for again once the views hold all that the log does now.
        """
        found = await self._query(lambda c: reply_queries.reply(c, reply_id), min_position)
        if found is None:
            # Also where the views are up to date by now: they may have become so since the look.
            head = await self._store.head()
            found = await self._query(lambda c: reply_queries.reply(c, reply_id), head)
        return found

    async def newest_reply(
        self, principal: UUID, started_after: datetime, chat_id: UUID | None = None
    ) -> UUID | None:
        return await self._query(
            lambda c: reply_queries.newest_reply(c, principal, started_after, chat_id),
            0,
            principal,
        )

    async def _query(
        self, query: Callable[[Connection], T], min_position: int, principal: UUID | None = None
    ) -> T:
        """The query's answer, from views that hold what the caller has seen. Raises ViewsBehind."""
        generation = self._succession.live
        await self._fresh(min_position, principal)
        try:
            return await self._read(query)
        except Exception as error:
            if not self._shelf.is_gone(error) or not await self._has_turned_from(generation):
                raise
        await self._fresh(min_position, principal)
        return await self._read(query)

    async def _fresh(self, min_position: int, principal: UUID | None) -> None:
        """Wait for what the caller has seen and what this node did for it. Raises ViewsBehind."""
        appended = self._store.last_append_of(principal) if principal is not None else 0
        await self._progress.wait(max(min_position, appended), self._freshness_timeout)

    async def _read(self, query: Callable[[Connection], T]) -> T:
        """Run a query in one hop and one snapshot, so that its position is that of its rows."""

        def in_snapshot() -> T:
            with self._succession.snapshot() as connection:
                return query(connection)

        return await asyncio.get_running_loop().run_in_executor(self._readers, in_snapshot)

    # Turning to another generation

    async def _has_turned_from(self, generation: Generation) -> bool:
        """Look for the live generation, as this one was removed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._freshness_timeout):
                while self._succession.live is generation:
                    turned = self._turned
                    self._runner.hurry(look=True)
                    await turned.wait()
        return self._succession.live is not generation

    async def _look_around(self) -> None:
        if self._turn.held:
            await self._look_for_successor()
        else:
            await self._look_for_live()
        self._tidying.look(self._turn.held)

    async def _look_for_successor(self) -> None:
        """Turn to a generation that was built aside, where one is ready."""
        name = await self._store.view_generations.next(VIEWS_VERSION)
        generation = await self._opened(name)
        if generation is None:
            return
        projector = Projector(generation.writing)
        try:
            await self._runner.bring_up(projector)
            taken = await self._store.view_generations.take_over(VIEWS_VERSION, generation.name)
        except BaseException:
            generation.close()
            raise
        if not taken:
            generation.close()
            await asyncio.to_thread(self._shelf.remove, generation.name)
            return
        await self._turn_to(generation, projector, projector.position)

    async def _look_for_live(self) -> None:
        """Turn to what another node has turned to, as soon as that is as far as what is here."""
        old = self._succession.live
        generation = await self._opened(await self._store.view_generations.live(VIEWS_VERSION))
        if generation is None:
            return
        try:
            position, _ = await self._runner.in_thread(generation.state)
            if position < self.position and await asyncio.to_thread(self._shelf.holds, old.name):
                generation.close()
                return
        except BaseException:
            generation.close()
            raise
        await self._turn_to(generation, Projector(generation.writing), position)

    async def _opened(self, name: str | None) -> Generation | None:
        """The generation of that name, if it is not the live one, and is there and of this log."""
        if name is None or name == self._succession.live.name:
            return None
        if not await asyncio.to_thread(self._shelf.holds, name):
            return None  # taken back this very moment
        try:
            return await _open(self._shelf, self._store, name)
        except OtherLog:
            log.error("views_of_another_log", generation=name)  # noqa: TRY400 - nothing to trace
            return None

    async def _turn_to(self, generation: Generation, projector: Projector, position: int) -> None:
        log.info("views_generation_live", generation=generation.name, position=position)
        if position < self.position:
            # Nobody is told any more that what is lost was seen.
            self._runner.turn_to(projector, position)
        await asyncio.to_thread(self._succession.turn_to, generation)
        self._runner.turn_to(projector, position)
        turned, self._turned = self._turned, asyncio.Event()
        turned.set()


async def _live_generation(shelf: Shelf, store: SqlEventStore) -> Generation:
    """The one the log's database points at, or a new one that it points at from now on."""
    name = await store.view_generations.live(VIEWS_VERSION)
    if name is not None and await asyncio.to_thread(shelf.holds, name):
        try:
            return await _open(shelf, store, name)
        except OtherLog:
            log.warning("views_of_another_log", generation=name)

    def begin(connection: Connection, in_use: set[str]) -> str:
        # Under a name that was never used: the rest of a lost one would spoil a new one.
        new = shelf.next_name(in_use)
        shelf.begin(connection, new, store.log_id)
        log.info("views_generation_begun", generation=new)
        return new

    name = await store.view_generations.begin(VIEWS_VERSION, name, begin)
    return await _open(shelf, store, name)


async def _open(shelf: Shelf, store: SqlEventStore, name: str) -> Generation:
    head = await store.head()
    return await asyncio.to_thread(partial(shelf.open, name, store.log_id, head))
