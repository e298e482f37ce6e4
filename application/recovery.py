"""Replies whose owner is gone: ended once, with the text that was kept, by whoever notices."""

import asyncio
from collections.abc import Callable
from uuid import UUID

from application.errors import VersionConflict
from application.live_replies import LiveReply, Observer
from application.ports import Append, Clock, EventStore, Meta, OpenReplyRow
from application.settlement import consumption_of, end_hold
from application.token_count import TokenCounter
from application.turns import Turns
from domain.chat import Chat
from domain.usage import Consumption, HoldNotOpen, Usage

REAP_INTERVAL = 1.0
RETRY_AFTER = 60.0
"""Seconds, at most, until a reply that could not be ended is tried again."""


class Recovery:
    """Ends the replies of nodes that are gone.

    `owned` tells whether this node is answering a reply right now, `abandoned` what it held of one
    that it lost with its lease; `reaped` is told of each that was ended.
    """

    def __init__(
        self,
        store: EventStore,
        turns: Turns,
        counter: TokenCounter,
        clock: Clock,
        observer: Observer,
        owned: Callable[[UUID], bool],
        abandoned: Callable[[UUID], LiveReply | None],
        node: UUID,
        reaped: Callable[[OpenReplyRow], None],
    ) -> None:
        self._store = store
        self._turns = turns
        self._counter = counter
        self._clock = clock
        self._observer = observer
        self._owned = owned
        self._abandoned = abandoned
        self._node = node
        self._reaped = reaped
        self._later: dict[UUID, tuple[float, float]] = {}
        """Of those that could not be ended: when to try again, and how long that was put off."""
        self.orphans = 0
        """How many replies had lost their node when this one last looked."""

    async def keep_reaping(self) -> None:
        """End orphans, now and every few seconds."""
        while True:
            try:
                await self.reap()
            except Exception as error:  # noqa: BLE001 - a supervisor: told, and tried again
                self._observer.fault("reaper", error)
            await asyncio.sleep(REAP_INTERVAL)

    async def reap(self) -> None:
        """End every reply whose node is gone, with its text and one settlement."""
        now = asyncio.get_running_loop().time()
        rows = await self._store.open_replies(self._node)
        orphans = [row for row in rows if not self._owned(row.reply_id)]
        self.orphans = len(orphans)
        self._later = {row.reply_id: self._later.get(row.reply_id, (0.0, 0.0)) for row in orphans}
        for row in orphans:
            not_before, delay = self._later[row.reply_id]
            if now < not_before:
                continue
            try:
                await self._interrupt(row)
                self._reaped(row)
            except (VersionConflict, HoldNotOpen):
                # Somebody else ends it, maybe between reading the chat and the account.
                continue
            except Exception as error:  # noqa: BLE001 - a supervisor: one must not keep the others
                delay = min(RETRY_AFTER, max(REAP_INTERVAL, 2 * delay))
                self._later[row.reply_id] = (now + delay, delay)
                self._observer.fault("reaper", error, row.reply_id)

    async def _interrupt(self, row: OpenReplyRow) -> None:
        async with self._turns.of(row.payer):
            chat = await self._store.load(Chat, row.chat_id, fresh=True)
            usage = await self._store.load(Usage, row.payer, fresh=True)
            reply = chat.state.reply
            # Where a deletion came first, that has settled what there was to settle.
            refund = None
            if reply is not None and reply.reply_id == row.reply_id:
                consumption = await self._interrupted(chat, usage, row)
                refund = row.address if consumption is None else None
            await self._store.append(
                Append(
                    aggregates=(chat, usage),
                    meta=Meta(correlation=row.reply_id, causation=row.reply_id),
                    closes=row.reply_id,
                    address_refund=refund,
                )
            )

    async def _interrupted(self, chat: Chat, usage: Usage, row: OpenReplyRow) -> Consumption | None:
        # Priced as when it was held: the models may have changed since.
        quote = usage.quote_of(row.reply_id)
        text, reasoning = self._kept(row)
        consumption = await consumption_of(
            self._counter,
            quote.model,
            quote.price,
            quote.prompt_tokens,
            text,
            reasoning,
            None,
        )
        at = self._clock.now()
        cost = end_hold(usage, row.reply_id, row.chat_id, consumption, "interrupted", at)
        chat.interrupt_reply(
            row.reply_id,
            text.decode(),
            reasoning.decode() or None,
            cost,
            at,
        )
        return consumption

    def _kept(self, row: OpenReplyRow) -> tuple[bytes, bytes]:
        """The longer of the last checkpoint and what this process still holds."""
        live = self._abandoned(row.reply_id)
        if live is not None and len(live.text) >= len(row.text):
            return bytes(live.text), bytes(live.reasoning)
        return row.text, row.reasoning
