"""The views as the application knows them: fresh or refused, each query one snapshot."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path
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
from infrastructure.projections.generation import (
    VIEWS_VERSION,
    Following,
    Generation,
    Succession,
    file_name,
    next_name,
    open_generation,
    remove_generation,
    remove_others,
)
from infrastructure.projections.projector import Projector
from infrastructure.projections.runner import Runner

T = TypeVar("T")

log = structlog.get_logger()


class SqlViews:
    """Implements `application.queries.Views`. Belongs to the event loop it was opened in."""

    def __init__(
        self,
        data_dir: Path,
        store: SqlEventStore,
        following: Following,
        generation: Generation,
        *,
        clock: Clock,
        terms: usage.Terms,
        freshness_timeout: float,
    ) -> None:
        self._data_dir = data_dir
        self._store = store
        self._following = following
        self._succession = Succession(generation)
        self._clock = clock
        self._terms = terms
        self._freshness_timeout = freshness_timeout
        self._runner = Runner(store, Projector(generation.writing), self._look_for_successor)
        self._progress = self._runner.progress
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="views-reader")

    @classmethod
    async def open(
        cls,
        data_dir: Path,
        store: SqlEventStore,
        *,
        clock: Clock,
        anon_limit: int,
        starting_balance: int,
        currency: str,
        freshness_timeout: float = 2.0,
    ) -> "SqlViews":
        """Open the live generation in the folder, and bring it up to the log's head.

        Where there is none for this version of the code it is built, which takes as long as it
        takes; a start that was broken off is taken up again. `anon_limit` in messages,
        `starting_balance` in nanos of `currency`, `freshness_timeout` in seconds.
        """
        following = Following(data_dir)
        await asyncio.to_thread(following.share)
        views = cls(
            data_dir,
            store,
            following,
            await _live_generation(data_dir, store),
            clock=clock,
            terms=usage.Terms(anon_limit, starting_balance, currency),
            freshness_timeout=freshness_timeout,
        )
        try:
            await views._runner.catch_up()
        except BaseException:
            await views.close()
            raise
        await store.view_generations.forget_older(VIEWS_VERSION, partial(remove_others, data_dir))
        views._runner.start()
        return views

    async def close(self) -> None:
        await self._runner.close()
        await asyncio.to_thread(self._readers.shutdown)
        self._succession.close()
        self._following.close()

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

    async def lag(self) -> int:
        """How many events the views are behind the log."""
        return max(0, await self._store.head() - self.position)

    async def wait(self, position: int, timeout: float) -> None:
        """Until the views hold `position`. Raises ViewsBehind."""
        await self._progress.wait(position, timeout)

    # Queries

    async def list_chats(self, principal: UUID, request: ListChats) -> ChatsPage:
        await self._fresh(request.min_position, principal)
        return await self._read(lambda c: chat_list.list_chats(c, principal, request))

    async def chat(self, principal: UUID, chat_id: UUID, min_position: int = 0) -> ChatAt:
        await self._fresh(min_position, principal)
        return await self._read(lambda c: chat_list.chat(c, principal, chat_id))

    async def chat_ids(self, principal: UUID) -> Sequence[UUID]:
        """All chats of a principal, archived ones too."""
        await self._fresh(0, principal)
        return await self._read(lambda c: chat_list.chat_ids(c, principal))

    async def list_messages(self, principal: UUID, request: ListMessages) -> MessagesPage:
        await self._fresh(request.min_position, principal)
        return await self._read(lambda c: message_queries.list_messages(c, principal, request))

    async def message(
        self, principal: UUID, chat_id: UUID, message_id: UUID, min_position: int = 0
    ) -> MessageView:
        await self._fresh(min_position, principal)
        return await self._read(
            lambda c: message_queries.message(c, principal, chat_id, message_id)
        )

    async def history(
        self, principal: UUID, chat_id: UUID, message_id: UUID, limit: int
    ) -> list[HistoryMessage]:
        """The branch upwards from `message_id`, itself first, at most `limit` messages."""
        await self._fresh(0, principal)
        return await self._read(
            lambda c: message_queries.history(c, principal, chat_id, message_id, limit)
        )

    async def search(self, principal: UUID, request: SearchMessages) -> SearchPage:
        await self._fresh(request.min_position, principal)
        return await self._read(lambda c: search_queries.search_messages(c, principal, request))

    async def usage(self, principal: Principal, min_position: int = 0) -> UsageView:
        await self._fresh(min_position, principal.id)
        now = self._clock.now()
        return await self._read(lambda c: usage.usage(c, principal, self._terms, now))

    async def reply(self, reply_id: UUID, min_position: int = 0) -> ReplyView | None:
        """Any principal's: the caller checks `owner`, or came by the reply's own token.

        Whoever knows a reply's id may know it from its very append, so one that is not there is
        looked for again once the views hold all that the log does now.
        """
        await self._fresh(min_position)
        found = await self._read(lambda c: reply_queries.reply(c, reply_id))
        if found is None:
            # Also where the views are up to date by now: they may have become so since the look.
            await self._fresh(await self._store.head())
            found = await self._read(lambda c: reply_queries.reply(c, reply_id))
        return found

    async def newest_reply(
        self, principal: UUID, started_after: datetime, chat_id: UUID | None = None
    ) -> UUID | None:
        await self._fresh(0, principal)
        return await self._read(
            lambda c: reply_queries.newest_reply(c, principal, started_after, chat_id)
        )

    async def _fresh(self, min_position: int, principal: UUID | None = None) -> None:
        """Wait for what the caller has seen and what this node did for it. Raises ViewsBehind."""
        appended = self._store.last_append_of(principal) if principal is not None else 0
        await self._progress.wait(max(min_position, appended), self._freshness_timeout)

    async def _read(self, query: Callable[[Connection], T]) -> T:
        """Run a query in one hop and one snapshot, so that its position is that of its rows."""

        def in_snapshot() -> T:
            with self._succession.snapshot() as connection:
                return query(connection)

        return await asyncio.get_running_loop().run_in_executor(self._readers, in_snapshot)

    async def _look_for_successor(self) -> None:
        """Turn to a generation that was built aside, where one is ready."""
        live = self._succession.live
        name = await self._store.view_generations.next(VIEWS_VERSION)
        if name is None or file_name(name) == live.path.name:
            return
        if not (self._data_dir / file_name(name)).exists():
            return  # taken back this very moment
        try:
            generation = await _open(
                self._data_dir, name, self._store.log_id, await self._store.head()
            )
        except OtherLog:
            log.error("views_of_another_log", generation=name)  # noqa: TRY400 - nothing to trace
            return
        projector = Projector(generation.writing)
        try:
            await self._runner.bring_up(projector)
            taken = await self._store.view_generations.take_over(VIEWS_VERSION, name)
        except BaseException:
            generation.close()
            raise
        if not taken:
            generation.close()
            remove_generation(self._data_dir, name)
            return
        log.info("views_generation_live", generation=name, position=projector.position)
        self._runner.turn_to(projector)
        await asyncio.to_thread(self._succession.turn_to, generation)


async def _live_generation(data_dir: Path, store: SqlEventStore) -> Generation:
    """The one the log's database points at, or a new one that it points at from now on."""
    head = await store.head()
    name = await store.view_generations.live(VIEWS_VERSION)
    if name is not None and (data_dir / file_name(name)).exists():
        try:
            return await _open(data_dir, name, store.log_id, head)
        except OtherLog:
            log.warning("views_of_another_log", generation=name)
    # Under a name that was never used: the rest of a lost file would spoil a new one.
    name = next_name(data_dir, await store.view_generations.in_use())
    generation = await _open(data_dir, name, store.log_id, head)
    await store.view_generations.point_at(VIEWS_VERSION, name)
    log.info("views_generation_begun", generation=name, head=head)
    return generation


async def _open(data_dir: Path, name: str, log_id: str, head: int) -> Generation:
    return await asyncio.to_thread(open_generation, data_dir / file_name(name), log_id, head)
