"""The views as the application knows them: fresh or refused, each query one snapshot."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

import msgspec
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from application.console.answers import Spend
from application.errors import ViewsBehind
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
from infrastructure.database import READERS, is_gone
from infrastructure.event_store.store import SqlEventStore
from infrastructure.projections import (
    chat_list,
    message_queries,
    reply_queries,
    search_queries,
    spend,
    usage,
)
from infrastructure.projections.kept_lists import KeptLists
from infrastructure.projections.live_views import LiveViews
from infrastructure.projections.readers import Readers
from infrastructure.projections.runner import Observe
from infrastructure.projections.shelf import Shelf

T = TypeVar("T")


class SqlViews:
    """Implements `application.queries.Views`. Belongs to the event loop it was opened in."""

    def __init__(
        self,
        store: SqlEventStore,
        live: LiveViews,
        *,
        clock: Clock,
        terms: usage.Terms,
        freshness_timeout: float,
    ) -> None:
        self._store = store
        self._live = live
        self._progress = live.runner.progress
        self._clock = clock
        self._terms = terms
        self._freshness_timeout = freshness_timeout
        self._readers = Readers(READERS, "views-reader")
        self._kept = KeptLists(store, live.succession, self._progress)
        self.when_applied(self._kept.heed)

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
        return cls(
            store,
            await LiveViews.open(shelf, store),
            clock=clock,
            terms=usage.Terms(anon_limit, starting_balance, currency),
            freshness_timeout=freshness_timeout,
        )

    async def close(self) -> None:
        await self._live.close()
        await self._readers.close()
        self._live.close_readers()

    # How they are

    @property
    def position(self) -> int:
        """How far the views are."""
        return self._progress.position

    @property
    def generation(self) -> str:
        """The name of the live one."""
        return self._live.succession.live.name

    @property
    def set_aside(self) -> int:
        """How many streams some view could not follow, and does not any more."""
        return self._live.runner.set_aside

    @property
    def failures(self) -> int:
        """How often a batch had to be tried again since the start."""
        return self._live.runner.failures

    @property
    def keeps_up(self) -> bool:
        """Whether it is this process that keeps them up with the log."""
        return self._live.keeps_up

    async def lag(self) -> int:
        """How many events the views are behind the log."""
        return max(0, await self._store.head() - self.position)

    async def wait(self, position: int, timeout: float, *, patient: bool = False) -> None:
        """Until the views hold `position`. Raises ViewsBehind."""
        await self._progress.wait(position, timeout, patient=patient)

    def when_applied(self, observe: Observe) -> None:
        """`observe` is told of each batch that this process applies, beside those told already."""
        self._live.runner.observers.append(observe)

    def heard(self, position: int) -> None:
        """Another process says that it has brought the views so far: look at once."""
        if position > self.position:
            self._live.runner.hurry()

    # Queries

    async def list_chats(self, principal: UUID, request: ListChats) -> ChatsPage:
        """Of one node, a page that is still as it was is not read again."""
        await self._fresh(request.min_position, principal, None)
        key = (principal, msgspec.structs.replace(request, min_position=0))
        if not self._live.shared and (kept := self._kept.find(key)) is not None:
            return kept
        generation = self._live.succession.live
        page = await self._query(
            lambda c: chat_list.list_chats(c, principal, request), request.min_position, principal
        )
        if not self._live.shared:
            self._kept.keep(key, page, generation)
        return page

    async def chat(self, principal: UUID, chat_id: UUID, min_position: int = 0) -> ChatAt:
        return await self._query(
            lambda c: chat_list.chat(c, principal, chat_id), min_position, principal, chat_id
        )

    async def chat_ids(self, principal: UUID) -> Sequence[UUID]:
        """All chats of a principal, archived ones too, of whatever node."""
        return await self._query(
            lambda c: chat_list.chat_ids(c, principal), await self._anywhere(), principal
        )

    async def list_messages(self, principal: UUID, request: ListMessages) -> MessagesPage:
        return await self._query(
            lambda c: message_queries.list_messages(c, principal, request),
            request.min_position,
            principal,
            request.chat_id,
        )

    async def message(
        self, principal: UUID, chat_id: UUID, message_id: UUID, min_position: int = 0
    ) -> MessageView:
        return await self._query(
            lambda c: message_queries.message(c, principal, chat_id, message_id),
            min_position,
            principal,
            chat_id,
        )

    async def history(
        self, principal: UUID, chat_id: UUID, message_id: UUID, limit: int
    ) -> list[HistoryMessage]:
        """The branch upwards from `message_id`, itself first, at most `limit` messages."""
        return await self._query(
            lambda c: message_queries.history(c, principal, chat_id, message_id, limit),
            0,
            principal,
            chat_id,
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
            lambda c: usage.usage(c, principal, self._terms, now),
            min_position,
            principal.id,
            principal.id,
        )

    async def spend(self, days: int) -> Spend:
        now, currency = self._clock.now(), self._terms.currency
        return await self._query(lambda c: spend.spend_by_day(c, currency, days, now), 0)

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
        self, principal: UUID, started_since: datetime, chat_id: UUID | None = None
    ) -> UUID | None:
        return await self._query(
            lambda c: reply_queries.newest_reply(c, principal, started_since, chat_id),
            await self._anywhere(),
            principal,
        )

    async def _query(
        self,
        query: Callable[[Connection], T],
        min_position: int,
        principal: UUID | None = None,
        stream: UUID | None = None,
    ) -> T:
        """The query's answer, from views that hold what the caller has seen.

        They also hold all that any node has appended to `stream`, which the query is about. Raises
        ViewsBehind, also where the database does not answer.
        """
        generation = self._live.succession.live
        try:
            await self._fresh(min_position, principal, stream)
            return await self._read(query)
        except Exception as error:
            if self._live.is_gone(error):
                if not await self._live.has_turned_from(generation, self._freshness_timeout):
                    raise
            elif not is_gone(error):
                raise
        # Turned, or on a new connection.
        try:
            await self._fresh(min_position, principal, stream)
            return await self._read(query)
        except SQLAlchemyError as error:
            if not is_gone(error):
                raise
            raise ViewsBehind("The views cannot be read at the moment.") from error

    async def _fresh(self, min_position: int, principal: UUID | None, stream: UUID | None) -> None:
        """Wait for what the caller has seen and what this node did for it. Raises ViewsBehind."""
        wanted = min_position
        if principal is not None:
            wanted = max(wanted, self._store.last_append_of(principal))
        if stream is not None and self._live.shared:
            wanted = max(wanted, await self._store.last_position_of(stream))
        await self._progress.wait(wanted, self._freshness_timeout)

    async def _anywhere(self) -> int:
        """The position that holds what any node has done; this one's own is looked for anyway."""
        return await self._store.head() if self._live.shared else 0

    async def _read(self, query: Callable[[Connection], T]) -> T:
        """Run a query in one hop and one snapshot, so that its position is that of its rows."""

        def in_snapshot() -> T:
            with self._live.succession.snapshot() as connection:
                return query(connection)

        return await self._readers.run(in_snapshot)
