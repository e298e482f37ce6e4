"""Replies whose owner is gone: ended once, with the text that was kept, by whoever notices."""

import asyncio
from collections.abc import Callable
from functools import partial
from uuid import UUID

from application.errors import StreamNotFound
from application.insist import insist
from application.live_replies import Observer
from application.ports import Append, Clock, EventStore, Meta, OpenReplyRow
from application.settlement import consumption_of, end_hold, text_of
from application.token_count import TokenCounter
from application.turns import Turns
from domain.chat import Chat
from domain.usage import Consumption, Usage

REAP_INTERVAL = 2.0


class Recovery:
    """`owned` tells whether this node is answering a reply right now."""

    def __init__(
        self,
        store: EventStore,
        turns: Turns,
        counter: TokenCounter,
        clock: Clock,
        observer: Observer,
        owned: Callable[[UUID], bool],
    ) -> None:
        self._store = store
        self._turns = turns
        self._counter = counter
        self._clock = clock
        self._observer = observer
        self._owned = owned

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
        for row in await self._store.open_replies():
            if not self._owned(row.reply_id):
                await insist(partial(self._interrupt, row), row.reply_id, self._observer)

    async def _interrupt(self, row: OpenReplyRow, _fresh: bool) -> None:
        async with self._turns.of(row.payer):
            try:
                chat = await self._store.load(Chat, row.chat_id, fresh=True)
                usage = await self._store.load(Usage, row.payer, fresh=True)
            except StreamNotFound as error:
                self._observer.fault("reaper", error, row.reply_id)
                return
            reply = chat.state.reply
            consumption = None
            if reply is not None and reply.reply_id == row.reply_id:
                consumption = await self._interrupted(chat, usage, row)
            await self._store.append(
                Append(
                    aggregates=(chat, usage),
                    meta=Meta(correlation=row.reply_id, causation=row.reply_id),
                    closes=row.reply_id,
                    address_refund=row.address if consumption is None else None,
                )
            )

    async def _interrupted(self, chat: Chat, usage: Usage, row: OpenReplyRow) -> Consumption | None:
        # Priced as when it was held: the models may have changed since.
        quote = usage.state.holds[row.reply_id].quote
        consumption = await consumption_of(
            self._counter,
            quote.model,
            quote.price,
            quote.prompt_tokens,
            row.text,
            row.reasoning,
            None,
        )
        at = self._clock.now()
        cost = end_hold(usage, row.reply_id, row.chat_id, consumption, "interrupted", at)
        chat.interrupt_reply(
            row.reply_id,
            text_of(row.text),
            text_of(row.reasoning) or None,
            cost,
            at,
        )
        return consumption
