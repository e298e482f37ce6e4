"""The life of one reply: hold → stream → settle. Its task belongs to no request.

A closed connection never reaches it: who follows a reply reads its live text. Only the owner, the
reaper, or a deletion ends a reply; each append that ends it settles or releases its hold with it.
"""

import asyncio
from contextlib import aclosing
from datetime import datetime
from functools import partial
from typing import Literal
from uuid import UUID

import msgspec

from application.errors import LeaseLost, ModelFailure, VersionConflict
from application.insist import insist
from application.live_replies import (
    Ending,
    LeaseHolder,
    LiveReplies,
    LiveReply,
    Observer,
    StartedReply,
)
from application.ports import (
    Append,
    Clock,
    EventStore,
    LanguageModel,
    Meta,
    Models,
    Prompt,
    ProviderUsage,
)
from application.queries import MessageView
from application.settlement import (
    consumption_of,
    end_hold,
    is_given_back,
    text_of,
    usage_view,
)
from application.turns import Turns
from domain.chat import STOPPED, Chat, MessageUsage, ReplyNotOpen
from domain.usage import Consumption, HoldNotOpen, Usage

CHECKPOINT_INTERVAL = 0.25
CHECKPOINTED_PER_SECOND = 100_000
"""Bytes of one reply written to checkpoints in a second: a long text is kept less often."""
LONGEST_ANSWER = 8_000_000
"""Bytes of text and reasoning: a model that goes on after that is broken."""

Cut = Literal["stopped", "interrupted", "deleted", "lease-lost"]
"""Why a reply is ended before its model has finished."""


class Answer(msgspec.Struct):
    """What the model has come to so far."""

    model: str
    finish_reason: str | None = None
    usage: ProviderUsage | None = None
    failure: str | None = None
    cause: str | None = None


class Running(msgspec.Struct):
    """A reply this node owns."""

    live: LiveReply
    prompt: Prompt
    prompt_tokens: int
    meta: Meta
    address: bytes | None
    answer: Answer
    over: asyncio.Event
    """Set when the answer has ended, or was cut."""
    pulled: bool = False
    """The model has said all it had to say, or failed."""
    cut: Cut | None = None
    checkpointed: int = 0
    checkpoint_due: float = 0.0


class Replies:
    def __init__(
        self,
        store: EventStore,
        turns: Turns,
        model: LanguageModel,
        models: Models,
        live: LiveReplies,
        clock: Clock,
        leases: LeaseHolder,
        observer: Observer,
    ) -> None:
        self._store = store
        self._turns = turns
        self._model = model
        self._models = models
        self._live = live
        self._clock = clock
        self._leases = leases
        self._observer = observer
        self._running: dict[UUID, Running] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._upstreams: set[asyncio.Task[None]] = set()
        self._abandoned: dict[UUID, LiveReply] = {}
        self._closing = False

    # What commands use

    def start(
        self,
        started: StartedReply,
        prompt: Prompt,
        prompt_tokens: int,
        meta: Meta,
        address: bytes | None,
    ) -> None:
        """Answer a reply whose start is committed."""
        running = Running(
            live=self._live.open(started),
            prompt=prompt,
            prompt_tokens=prompt_tokens,
            meta=msgspec.structs.replace(meta, causation=started.reply_id, actor=None),
            address=address,
            answer=Answer(started.model),
            over=asyncio.Event(),
        )
        self._running[started.reply_id] = running
        self._observer.reply_started(started)
        if self._closing:
            self.cut(started.reply_id, "interrupted")
        task = asyncio.create_task(self._own(running), name=f"reply {started.reply_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cut(self, reply_id: UUID, why: Cut) -> None:
        """End a reply of this node early.

        Nothing happens where it is not this node's, or its answer is complete already.
        """
        running = self._running.get(reply_id)
        if running is not None and running.cut is None and not running.pulled:
            running.cut = why
            running.over.set()

    async def settle_deleted(self, usage: Usage, reply_id: UUID, chat_id: UUID) -> bytes | None:
        """End the hold of a reply whose chat is being deleted, by what was delivered.

        Returns the address to give a message back to, if any.
        """
        running = self._running.get(reply_id)
        consumption = await self._consumption(running) if running else None
        end_hold(usage, reply_id, chat_id, consumption, "deleted", self._clock.now())
        refunds = is_given_back(consumption, "deleted")
        return running.address if running and refunds else None

    def owns(self, reply_id: UUID) -> bool:
        return reply_id in self._running

    @property
    def under_way(self) -> int:
        return len(self._running)

    async def drain(self, grace: float) -> None:
        """Let replies run for `grace` seconds, interrupt the rest, and return when all ended.

        A reply that is still begun after that is interrupted at once.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace
        while self._tasks and (left := deadline - loop.time()) > 0:
            await asyncio.wait(self._tasks, timeout=left)
        self._closing = True
        for reply_id in list(self._running):
            self.cut(reply_id, "interrupted")
        while self._tasks:
            await asyncio.wait(self._tasks)

    def abandoned(self, reply_id: UUID) -> LiveReply | None:
        """What this node held of a reply that it lost with its lease."""
        return self._abandoned.pop(reply_id, None)

    # The owner's task

    async def _own(self, running: Running) -> None:
        started = running.live.started
        try:
            await self._stream(running)
            if running.cut == "lease-lost":
                raise LeaseLost("the node lost its lease")
            ending = await insist(partial(self._end, running), started.reply_id, self._observer)
        except LeaseLost:
            self._abandoned[started.reply_id] = running.live
            ending = None
        finally:
            self._running.pop(started.reply_id, None)
        running.live.end(ending)
        self._live.close(started.reply_id)
        outcome = (ending.error or ending.message.status) if ending else "lease-lost"
        self._observer.reply_ended(started, outcome, running.answer.cause)

    async def _stream(self, running: Running) -> None:
        """Pull the answer; returns when it ended, failed, or was cut.

        Closing the connection upstream is not waited for: it may take longer than a stop may.
        """
        if running.cut is None:
            pulling = asyncio.create_task(self._pull(running))
            self._upstreams.add(pulling)
            pulling.add_done_callback(partial(self._pulled, running))
            await running.over.wait()
            if not running.pulled:
                pulling.cancel()

    def _pulled(self, running: Running, pulling: "asyncio.Task[None]") -> None:
        self._upstreams.discard(pulling)
        error = None if pulling.cancelled() else pulling.exception()
        if running.cut is None:
            running.pulled = True
            if pulling.cancelled():  # nobody asked for it: the loop is being torn down
                running.cut = "interrupted"
        if isinstance(error, ModelFailure):
            running.answer.failure, running.answer.cause = error.code, error.cause
        elif error is not None:
            running.answer.failure, running.answer.cause = "INTERNAL", type(error).__name__
            self._observer.fault("reply", error, running.live.started.reply_id)
        running.over.set()

    async def _pull(self, running: Running) -> None:
        live, answer = running.live, running.answer
        began = asyncio.get_running_loop().time()
        async with aclosing(self._model.reply(running.prompt)) as deltas:
            async for delta in deltas:
                if running.cut is not None:
                    return
                if delta.text or delta.reasoning:
                    if len(live.text) + len(live.reasoning) > LONGEST_ANSWER:
                        raise ModelFailure("PROVIDER_ERROR", "the answer has no end")
                    if not live.text and not live.reasoning:
                        elapsed = asyncio.get_running_loop().time() - began
                        self._observer.first_token(live.started, elapsed)
                    live.append(delta.text, delta.reasoning)
                if delta.model is not None:
                    answer.model = delta.model
                if delta.usage is not None:
                    answer.usage = delta.usage
                if delta.finish_reason is not None:
                    answer.finish_reason = delta.finish_reason

    async def _end(self, running: Running, fresh: bool) -> Ending:
        """Append the reply's end with its settlement, decided on the streams as they are now."""
        started, answer = running.live.started, running.answer
        consumption = await self._consumption(running)
        text, reasoning = text_of(running.live.text), text_of(running.live.reasoning) or None
        async with self._turns.of(started.payer):
            chat = await self._store.load(Chat, started.chat_id, fresh=fresh)
            usage = await self._store.load(Usage, started.payer, fresh=fresh)
            at = self._clock.now()
            reason = running.cut or answer.failure or "no-output"
            try:
                message_usage = end_hold(
                    usage, started.reply_id, started.chat_id, consumption, reason, at
                )
                refunds = is_given_back(consumption, reason)
                if running.cut == "interrupted":
                    chat.interrupt_reply(started.reply_id, text, reasoning, message_usage, at)
                elif answer.failure is not None and running.cut is None:
                    chat.fail_reply(
                        started.reply_id, answer.failure, text, reasoning, message_usage, at
                    )
                else:
                    chat.complete_reply(
                        started.reply_id,
                        text,
                        reasoning,
                        answer.model,
                        STOPPED if running.cut == "stopped" else answer.finish_reason or "stop",
                        message_usage,
                        at,
                    )
            except (ReplyNotOpen, HoldNotOpen) as ended:
                if not fresh:
                    raise VersionConflict("what this process remembers may be old") from ended
                return await self._ended_elsewhere(running, chat, text)
            # The append's position is that of its last event, which is the account's.
            behind = len(usage.pending_events)
            position = await self._store.append(
                Append(
                    aggregates=(chat, usage),
                    meta=running.meta,
                    lease=self._leases.lease,
                    closes=started.reply_id,
                    address_refund=running.address if refunds else None,
                )
            )
        return self._ending(running, chat, text, message_usage, position - behind, at)

    async def _ended_elsewhere(self, running: Running, chat: Chat, text: str) -> Ending:
        """The chat was deleted, or a reaper took the reply for an orphan."""
        if not chat.state.deleted:
            raise LeaseLost("another node has ended this reply")
        head = await self._store.head()
        ending = self._ending(running, chat, text, None, head, self._clock.now())
        return msgspec.structs.replace(ending, error="CHAT_NOT_FOUND")

    def _ending(
        self,
        running: Running,
        chat: Chat,
        text: str,
        usage: MessageUsage | None,
        position: int,
        at: datetime,
    ) -> Ending:
        started, answer = running.live.started, running.answer
        node = chat.state.messages.get(started.message_id)
        versions = chat.versions(started.message_id) if node else [started.message_id]
        status = node.status if node else "failed"
        error = None
        if status == "interrupted":
            error = "INTERRUPTED"
        elif status == "failed":
            error = answer.failure or "INTERNAL"
        finish_reason = None
        if error is None:
            finish_reason = STOPPED if status == "stopped" else answer.finish_reason or "stop"
        return Ending(
            position=position,
            content=text,
            error=error,
            message=MessageView(
                id=started.message_id,
                chat_id=started.chat_id,
                parent_id=started.user_message_id,
                role="assistant",
                content=None,
                status=status,
                model=answer.model,
                created_at=started.started_at,
                completed_at=at,
                version=versions.index(started.message_id) + 1,
                versions=versions,
                usage=usage_view(usage),
                finish_reason=finish_reason,
                error=error,
            ),
        )

    async def _consumption(self, running: Running) -> Consumption | None:
        answer = running.answer
        return await consumption_of(
            self._model,
            answer.model,
            self._models.get(answer.model).price,
            running.prompt_tokens,
            running.live.text,
            running.live.reasoning,
            answer.usage,
        )

    # Checkpoints

    async def keep_checkpoints(self) -> None:
        """Keep the unfinished text of all replies, a few times a second, in one write each time."""
        while True:
            await asyncio.sleep(CHECKPOINT_INTERVAL)
            await self._checkpoint()

    async def _checkpoint(self) -> None:
        now = asyncio.get_running_loop().time()
        grown = [
            running
            for running in self._running.values()
            if len(running.live.text) + len(running.live.reasoning) > running.checkpointed
            and now >= running.checkpoint_due
        ]
        if not grown:
            return
        drafts = [
            (r.live.started.reply_id, bytes(r.live.text), bytes(r.live.reasoning)) for r in grown
        ]
        try:
            await self._store.checkpoint(self._leases.lease, drafts)
        except LeaseLost:
            self.lose_all()
        except Exception as error:  # noqa: BLE001 - a supervisor: told, and tried again next time
            self._observer.fault("checkpoint", error)
        else:
            for running, (_, text, reasoning) in zip(grown, drafts, strict=True):
                running.checkpointed = len(text) + len(reasoning)
                running.checkpoint_due = now + running.checkpointed / CHECKPOINTED_PER_SECOND

    def lose_all(self) -> None:
        """The node's lease is gone: stop what another node may end, and send followers to it."""
        for reply_id in list(self._running):
            self.cut(reply_id, "lease-lost")
