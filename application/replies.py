"""The life of one reply: hold → stream → settle. Its task belongs to no request.

A closed connection never reaches it: who follows a reply reads its live text. Only the owner, the
reaper, or a deletion ends a reply; each append that ends it settles or releases its hold with it.
"""

import asyncio
from contextlib import aclosing
from functools import partial
from uuid import UUID

import msgspec

from application.checkpoints import Pace
from application.errors import LeaseLost, ModelFailure
from application.insist import insist
from application.live_replies import LiveReplies, LiveReply, Observer, StartedReply
from application.ports import Delta, LanguageModel, Meta, Prompt
from application.reply_endings import Answer, Begun, Cut, ReplyEndings, Said
from application.tracing import UNTRACED, Span, Tracer
from domain.usage import Usage

LONGEST_ANSWER = 8_000_000
"""Bytes of text and reasoning: a model that goes on after that is broken."""


class Running(msgspec.Struct):
    """A reply this node owns."""

    live: LiveReply
    prompt: Prompt
    begun: Begun
    answer: Answer
    over: asyncio.Future[None]
    """Done when the answer has ended, or was cut."""
    pulled: bool = False
    """The model has said all it had to say, or failed."""
    cut: Cut | None = None

    def end(self) -> None:
        if not self.over.done():
            self.over.set_result(None)


class Replies:
    def __init__(
        self,
        model: LanguageModel,
        live: LiveReplies,
        endings: ReplyEndings,
        observer: Observer,
        tracer: Tracer = UNTRACED,
        pace: Pace | None = None,
    ) -> None:
        """`pace` tells how soon what is shown is kept; None where nothing keeps it."""
        self._model = model
        self._pace = pace
        self._live = live
        self._endings = endings
        self._observer = observer
        self._tracer = tracer
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
            begun=Begun(
                started=started,
                prompt_tokens=prompt_tokens,
                meta=msgspec.structs.replace(meta, causation=started.reply_id, actor=None),
                address=address,
            ),
            answer=Answer(started.model),
            over=asyncio.get_running_loop().create_future(),
        )
        self._running[started.reply_id] = running
        self._tracer.concerns(reply_id=started.reply_id)
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
            running.end()

    def cut_in(self, chat_id: UUID, why: Cut) -> None:
        """As `cut`, for whatever this node answers in a chat."""
        for reply_id, running in self._running.items():
            if running.live.started.chat_id == chat_id:
                self.cut(reply_id, why)

    async def settle_deleted(self, usage: Usage, reply_id: UUID, chat_id: UUID) -> bytes | None:
        """End the hold of a reply whose chat is being deleted, by what was delivered.

        Returns the address to give a message back to, if any.
        """
        running = self._running.get(reply_id)
        said = self._said(running) if running else None
        begun = running.begun if running else None
        return await self._endings.settle_deleted(usage, reply_id, chat_id, begun, said)

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

    def lose_all(self) -> None:
        """The node's lease is gone: stop what another node may end, and send followers to it."""
        for reply_id in list(self._running):
            self.cut(reply_id, "lease-lost")

    def live(self) -> list[LiveReply]:
        """The replies that this node is answering."""
        return [running.live for running in self._running.values()]

    # The owner's task

    async def _own(self, running: Running) -> None:
        started, correlation = running.live.started, running.begun.meta.correlation
        with self._tracer.span("reply", correlation, kind=started.kind) as span:
            outcome = await self._make(running)
            span.note(outcome=outcome)
        self._observer.reply_ended(started, outcome, running.answer.cause)

    async def _make(self, running: Running) -> str:
        """From the call to the end of its followers; what it came to, a status or a code."""
        started = running.live.started
        try:
            await self._stream(running)
            if running.cut == "lease-lost":
                raise LeaseLost("the node lost its lease")
            end = partial(self._endings.end, running.begun, self._said(running), running.cut)
            ending = await insist(end, started.reply_id, self._observer)
        except LeaseLost:
            self._abandoned[started.reply_id] = running.live
            ending = None
        finally:
            self._running.pop(started.reply_id, None)
        running.live.end(ending)
        self._live.close(started.reply_id)
        return (ending.error or ending.message.status) if ending else "lease-lost"

    async def _stream(self, running: Running) -> None:
        """Pull the answer; returns when it ended, failed, or was cut.

        Closing the connection upstream is not waited for: it may take longer than a stop may.
        """
        if running.cut is None:
            pulling = asyncio.create_task(self._pull(running))
            self._upstreams.add(pulling)
            pulling.add_done_callback(partial(self._pulled, running))
            await running.over
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
        running.end()

    async def _pull(self, running: Running) -> None:
        correlation = running.begun.meta.correlation
        with self._tracer.span("model", correlation, model=running.prompt.model) as span:
            await self._read_answer(running, span)
            answer = running.answer
            span.note(answered_by=answer.model, finish_reason=answer.finish_reason or "none")
            if answer.usage is not None:
                span.note(
                    prompt_tokens=answer.usage.prompt_tokens,
                    completion_tokens=answer.usage.completion_tokens,
                )

    async def _read_answer(self, running: Running, span: Span) -> None:
        answer = running.answer
        taker = _Taker(running, self._observer, span, self._pace)
        async with aclosing(self._model.reply(running.prompt, taker)) as deltas:
            async for delta in deltas:
                if self._pace is not None and self._pace.is_behind:
                    await self._pace.caught_up()
                if running.cut is not None:
                    return
                if delta.text or delta.reasoning:
                    taker.take(delta)
                if delta.model is not None:
                    answer.model = delta.model
                    # It is being answered, and can be long.
                    running.prompt = msgspec.structs.replace(running.prompt, messages=())
                if delta.usage is not None:
                    answer.usage = delta.usage
                if delta.finish_reason is not None:
                    answer.finish_reason = delta.finish_reason

    def _said(self, running: Running) -> Said:
        live = running.live
        return Said(bytes(live.text), bytes(live.reasoning), running.answer)


class _Taker:
    """Adds what the model says to the live text."""

    def __init__(self, running: Running, observer: Observer, span: Span, pace: Pace | None) -> None:
        self._running = running
        self._live = running.live
        self._observer = observer
        self._span = span
        self._pace = pace
        self._time = asyncio.get_running_loop().time
        self._last = self._time()

    @property
    def ready(self) -> bool:
        """Not while what is shown is not kept soon enough, nor after a cut."""
        return self._running.cut is None and not (self._pace and self._pace.is_behind)

    def take(self, delta: Delta) -> None:
        """Raises ModelFailure for an answer without an end."""
        live = self._live
        if len(live.text) + len(live.reasoning) > LONGEST_ANSWER:
            raise ModelFailure("PROVIDER_ERROR", "the answer has no end")
        before, self._last = self._last, self._time()
        if live.text or live.reasoning:
            self._observer.next_token(self._last - before)
        else:
            self._observer.first_token(live.started, self._last - before)
            self._span.happened("first token")
        live.append(delta.text, delta.reasoning)
