"""Erasing a principal: what they wrote and are called goes, what happened and what it cost stays.

The order lets it be broken off anywhere and taken up again: nothing new becomes theirs, their chats
and their account end with an event that says so, their keys and words and names go, and at last the
views that still held them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, Protocol
from uuid import UUID

import msgspec

from application.errors import StreamNotFound, VersionConflict
from application.ports import Append, Clock, EventStore, Ids, Meta, Principal, Principals
from application.projections import Advance, BuildUnderWay, NoBuild, Projections
from application.settlement import consumption_of, end_hold, is_given_back
from application.token_count import TokenCounter
from application.turns import DEADLINE
from domain.chat import Chat, OpenReply
from domain.refusal import Refusal
from domain.usage import Kind, Usage

LOOK_AGAIN = 0.5
"""Seconds until it is looked again whether a reply that the account pays for has ended."""
PATIENCE = 30.0
"""Seconds for which a reply in somebody else's chat is waited for."""


class NobodyToErase(Refusal):
    """No principal of that name is known, or they were erased before."""


class PaysForAnother(Refusal):
    """A reply in a chat that was given away is under way, and this account pays for it."""


class Erased(msgspec.Struct, frozen=True):
    """What was erased. `position` is that of the account's last event."""

    principal: UUID
    chats: int
    events: int
    position: int


class Erasable(msgspec.Struct, frozen=True):
    """Who could be erased, and how much is theirs."""

    id: UUID
    chats: int


class ErasableLog(Protocol):
    """What only the log's database knows how to do. All of it may be repeated."""

    async def begin_erasure(self, principal: UUID, at: datetime) -> None:
        """From now on nothing new becomes theirs; they are on the list kept with the keys."""
        ...

    async def chats_of(self, principal: UUID) -> Sequence[UUID]:
        """All chats that are theirs, deleted ones too."""
        ...

    async def wipe(
        self, principal: UUID, streams: Sequence[UUID], at: datetime, advance: Callable[[int], None]
    ) -> int:
        """Drop keys, personal bytes, commands, and the name; returns how many events lost theirs.

        `advance` is told how many streams are done.
        """
        ...

    async def scrub(self) -> None:
        """See to it that old versions of pages lie in no file. Raises Refusal where it cannot."""
        ...

    async def finish_erasure(self, principal: UUID, at: datetime) -> None: ...

    async def listed_erasures(self) -> Sequence[UUID]:
        """All who were ever erased, by the list that is kept with the keys."""
        ...

    async def unfinished_erasures(self) -> Sequence[UUID]:
        """Principals whose erasure was begun and not finished."""
        ...

    async def kind_of(self, principal: UUID) -> Kind | None:
        """None where no name is known any more."""
        ...


class Erasure:
    def __init__(
        self,
        store: EventStore,
        log: ErasableLog,
        counter: TokenCounter,
        clock: Clock,
        ids: Ids,
        currency: str,
    ) -> None:
        self._store = store
        self._log = log
        self._counter = counter
        self._clock = clock
        self._ids = ids
        self._currency = currency

    async def erase(self, principal: UUID, advance: Callable[[int, int], None]) -> Erased:
        """Erase all but the views. `advance` is told how many of how many streams are done.

        Raises PaysForAnother, and VersionConflict where other processes do not leave off writing.
        """
        at = self._clock.now()
        meta = Meta(self._ids.new())
        await self._log.begin_erasure(principal, at)
        chat_ids = await self._log.chats_of(principal)
        steps = 2 * len(chat_ids) + 1
        for done, chat_id in enumerate(chat_ids, 1):
            await self._insist(partial(self._end_chat, chat_id, principal, meta))
            advance(done, steps)
        # Without those that somebody has claimed meanwhile; of what has ended nothing can be.
        chat_ids = await self._log.chats_of(principal)
        position = await self._insist(partial(self._end_account, principal, len(chat_ids), meta))
        wiped = await self._log.wipe(
            principal,
            [*chat_ids, principal],
            at,
            lambda done: advance(len(chat_ids) + done, steps),
        )
        await self._log.scrub()
        return Erased(principal, len(chat_ids), wiped, position)

    async def finish(self, principal: UUID) -> None:
        """The views are built without them: nothing is left to do."""
        await self._log.finish_erasure(principal, self._clock.now())

    async def unfinished(self) -> Sequence[UUID]:
        """Principals whose erasure was broken off."""
        begun = await self._log.unfinished_erasures()
        listed = [each for each in await self._log.listed_erasures() if each not in begun]
        return [*begun, *[each for each in listed if await self._is_known(each)]]

    async def repeat(self, principals: Sequence[UUID]) -> list[UUID]:
        """Erase those again whom the log knows though they were erased: it is an older copy.

        Returns who that was.
        """
        again = []
        for principal in principals:
            if await self._is_known(principal):
                await self.erase(principal, lambda done, total: None)
                again.append(principal)
        return again

    async def _is_known(self, principal: UUID) -> bool:
        # The name goes last: while it is there, so may be words, though the account has ended.
        if await self._log.kind_of(principal) is not None:
            return True
        try:
            usage = await self._store.load(Usage, principal, fresh=True)
        except StreamNotFound:
            return bool(await self._log.chats_of(principal))
        return not usage.state.erased

    async def _end_chat(self, chat_id: UUID, principal: UUID, meta: Meta) -> int:
        """Append the chat's last event; a reply under way ends as in a deletion."""
        chat = await self._store.load(Chat, chat_id, fresh=True)
        if chat.state.owner != principal:
            return await self._store.head()
        reply = chat.erase(self._clock.now())
        if reply is None:
            return await self._store.append(Append(aggregates=(chat,), meta=meta))
        payer = await self._store.load(Usage, reply.payer, fresh=True)
        refund = await self._settle(payer, reply, chat_id)
        return await self._store.append(
            Append(
                aggregates=(chat, payer), meta=meta, closes=reply.reply_id, address_refund=refund
            )
        )

    async def _settle(self, payer: Usage, reply: OpenReply, chat_id: UUID) -> bytes | None:
        """End the reply's hold by its last checkpoint; the address to give a message back to."""
        row = await self._store.find_open_reply(reply.reply_id)
        quote = payer.quote_of(reply.reply_id)
        text, reasoning = (row.text, row.reasoning) if row else (b"", b"")
        consumption = await consumption_of(
            self._counter, quote.model, quote.price, quote.prompt_tokens, text, reasoning, None
        )
        end_hold(payer, reply.reply_id, chat_id, consumption, "deleted", self._clock.now())
        return row.address if row and is_given_back(consumption, "deleted") else None

    async def _end_account(self, principal: UUID, chats: int, meta: Meta) -> int:
        at = self._clock.now()
        try:
            usage = await self._store.load(Usage, principal, fresh=True)
        except StreamNotFound:
            kind = await self._log.kind_of(principal)
            usage = Usage.open(principal, kind or "anonymous", self._currency, at)
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while usage.state.holds:
            if asyncio.get_running_loop().time() > deadline:
                raise PaysForAnother(
                    "A reply is under way in a chat that was claimed from this principal, who pays "
                    "for it. Try again when it has ended; what was erased by now stays erased."
                )
            await asyncio.sleep(LOOK_AGAIN)
            usage = await self._store.load(Usage, principal, fresh=True)
        usage.erase(chats, at)
        return await self._store.append(Append(aggregates=(usage,), meta=meta))

    async def _insist(self, append: Callable[[], Awaitable[int]]) -> int:
        """Decide again over what other processes append meanwhile."""
        deadline = asyncio.get_running_loop().time() + DEADLINE
        while True:
            try:
                return await append()
            except VersionConflict:
                if asyncio.get_running_loop().time() > deadline:
                    raise


class ErasureDesk:
    """Erasing as one step after the other, for a command line. `run` runs to the end."""

    def __init__(
        self,
        run: Callable[[Coroutine[Any, Any, Any]], Any],
        erasure: Erasure,
        log: ErasableLog,
        principals: Principals,
        projections: Projections,
    ) -> None:
        self._run = run
        self._erasure = erasure
        self._log = log
        self._principals = principals
        self._projections = projections

    def find(self, kind: Kind, name: str) -> Erasable:
        """Raises NobodyToErase."""
        principal: Principal | None = self._run(self._principals.find(kind, name))
        if principal is None:
            raise NobodyToErase("Nobody of that name is known here.")
        return Erasable(principal.id, len(self._run(self._log.chats_of(principal.id))))

    def unfinished(self) -> Sequence[UUID]:
        found: Sequence[UUID] = self._run(self._erasure.unfinished())
        return found

    def erase(self, principal: UUID, advance: Callable[[int, int], None]) -> Erased:
        """Take everything out of the log. Raises as `Erasure.erase` does."""
        erased: Erased = self._run(self._erasure.erase(principal, advance))
        return erased

    def finish(self, principals: Sequence[UUID], advance: Advance) -> None:
        """Take those who were erased out of the views, too.

        Raises as `Projections.rebuild` does, but for a build that was broken off: it holds them
        still, and is taken back.
        """
        try:
            self._projections.rebuild(advance)
        except BuildUnderWay:
            with suppress(NoBuild):  # another erasure's, which has ended by now
                self._projections.cancel()
            self._projections.rebuild(advance)
        for principal in principals:
            self._run(self._erasure.finish(principal))
