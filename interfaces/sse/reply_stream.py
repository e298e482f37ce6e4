"""The events of one reply, from any place in it on, during the reply and after it."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing, nullcontext
from functools import partial
from typing import Any
from uuid import UUID

import msgspec

from application.errors import ViewsBehind
from application.live_replies import Ending, FollowedReply, LiveReplies, StartedReply
from application.ports import Principal, Principals
from application.queries import MessageHead, ReplyView, Views
from domain.chat import ReplyKind
from interfaces.outbound import reply_error
from interfaces.sse.events import (
    RegenerationBegun,
    RegenerationCompleted,
    ReplyBegun,
    ReplyCompleted,
    ReplyError,
)
from interfaces.sse.frames import PIECE, RETRY, DeltaFrames, frame
from interfaces.sse.outlet import Outlet
from interfaces.sse.stream_token import Place, StreamTokens

RETRY_DELAY = 0.25
PATIENCE = 5.0
"""Seconds between two looks for the end of a reply that nobody tells of."""


class Beginning(msgspec.Struct, frozen=True):
    """What the first event tells, and the headers repeat."""

    reply_id: UUID
    chat_id: UUID
    user_message_id: UUID
    message_id: UUID
    kind: ReplyKind
    replaces: UUID | None
    model: str | None
    payer: UUID

    @classmethod
    def of(cls, started: StartedReply) -> "Beginning":
        return cls(
            reply_id=started.reply_id,
            chat_id=started.chat_id,
            user_message_id=started.user_message_id,
            message_id=started.message_id,
            kind=started.kind,
            replaces=started.replaces,
            model=started.model,
            payer=started.payer,
        )


class Told:
    """How much of a reply one client has been told: offsets in bytes, `text` and `reasoning`."""

    def __init__(self, deltas: DeltaFrames, text: int, reasoning: int) -> None:
        self._deltas = deltas
        self.text = text
        self.reasoning = reasoning

    def is_behind(self, live: FollowedReply) -> bool:
        return len(live.text) > self.text or len(live.reasoning) > self.reasoning

    def at_once(self, live: FollowedReply, outlet: Outlet) -> bool:
        """Tell the news where nothing has to be waited for; else False, and nothing is told."""
        grown = len(live.text) - self.text + len(live.reasoning) - self.reasoning
        if not outlet.ready or grown > PIECE:
            return False
        while self.is_behind(live):
            for event in self.news(live):
                outlet.write(event)
        return True

    def news(self, live: FollowedReply) -> Iterable[bytes]:
        """What has come since, from then on counted as told."""
        news: Iterable[bytes] = ()
        if len(live.reasoning) > self.reasoning:
            news = self._deltas.reasoning(live.reasoning, self.reasoning, self.text)
            self.reasoning = len(live.reasoning)
        elif len(live.text) > self.text:
            news = self._deltas.text(live.text, self.text, self.reasoning)
            self.text = len(live.text)
        return news

    def rest(self, view: ReplyView, *, with_reasoning: bool) -> Iterable[bytes]:
        """What the log has beyond that.

        Reasoning is for those only who were there while it went on.
        """
        if with_reasoning:
            thought = bytearray((view.reasoning or "").encode())
            yield from self._deltas.reasoning(thought, self.reasoning, self.text)
            self.reasoning = max(self.reasoning, len(thought))
        content = bytearray(view.message.content.encode())
        yield from self._deltas.text(content, self.text, self.reasoning)


class ReplyStreams:
    """Turns replies, live or ended, into frames."""

    def __init__(
        self, live: LiveReplies, views: Views, principals: Principals, tokens: StreamTokens
    ) -> None:
        self._live = live
        self._views = views
        self._principals = principals
        self._tokens = tokens

    def is_live(self, reply_id: UUID) -> bool:
        return self._live.find(reply_id) is not None

    async def beginning(self, reply_id: UUID) -> Beginning | None:
        live = self._live.find(reply_id)
        if live is not None:
            return Beginning.of(live.started)
        view = await self._views.reply(reply_id)
        if view is None:
            return None
        return Beginning(
            reply_id=reply_id,
            chat_id=view.chat_id,
            user_message_id=view.user_message_id,
            message_id=view.message.id,
            kind=view.kind,
            replaces=view.replaces,
            model=view.message.model,
            payer=view.payer,
        )

    async def frames(
        self, beginning: Beginning, place: Place | None, outlet: Outlet
    ) -> AsyncGenerator[bytes, None]:
        """Everything after `place`, or everything. Follows a reply while it grows, on any node.

        What its frames wait for is written to `outlet` at the moment it comes, if that is ready.
        """
        # Held on to from here: once it has ended, it cannot be found any more.
        own = self._live.find(beginning.reply_id)
        payer = await self._principals.name_of(beginning.payer)
        token = self._tokens.mint(beginning.reply_id)
        yield RETRY
        phase = place.phase if place else None
        if phase is None:
            yield self._started(token, beginning, payer)
        position = 0
        if phase not in ("t", "u"):
            deltas = DeltaFrames(token, str(beginning.message_id))
            told = Told(deltas, *((place.text, place.reasoning) if place else (0, 0)))
            saying = self._until_end(beginning.reply_id, own, told, outlet)
            async with aclosing(saying) as said:
                async for delta_or_end in said:
                    if isinstance(delta_or_end, Ending):
                        position = delta_or_end.position
                        yield self._terminal(token, beginning, delta_or_end)
                    else:
                        yield delta_or_end
        if phase != "u" and payer is not None:
            try:
                usage = await self._views.usage(payer, position)
            except ViewsBehind:
                return  # a client that comes back with the terminal event's id gets it then
            yield frame(f"{token}.u", "usage_info", usage)

    async def _until_end(
        self, reply_id: UUID, own: FollowedReply | None, told: Told, outlet: Outlet
    ) -> AsyncGenerator[bytes | Ending, None]:
        """The deltas of a reply while it grows and after it, and its end."""
        view = None if own else await self._if_over(reply_id)
        ending = None
        if view is None:
            async with nullcontext(own) if own else self._live.follow(reply_id) as live:
                at_once = partial(told.at_once, live, outlet)
                while not live.ended or told.is_behind(live):
                    for delta in told.news(live):
                        yield delta
                    await live.beyond(told.text, told.reasoning, at_once)
                ending = live.ending
        if ending is None:
            # It ended before we looked, or elsewhere, or this node lost it: the log has the end.
            missed = view is None
            view = view or await self._ended(reply_id)
            for delta in told.rest(view, with_reasoning=missed):
                yield delta
            ending = _ending_of(view)
        yield ending

    async def _if_over(self, reply_id: UUID) -> ReplyView | None:
        """The reply if it is known to have ended, so that nobody has to be asked for its text."""
        try:
            view = await self._views.reply(reply_id)
        except ViewsBehind:
            return None
        return view if view is not None and view.ended_at is not None else None

    async def _ended(self, reply_id: UUID) -> ReplyView:
        """The reply once it has ended, on whatever node; waits as long as the client does."""
        while True:
            position = self._views.position
            try:
                view = await self._views.reply(reply_id)
                if view is not None and view.ended_at is not None:
                    return view
                await self._views.wait(position + 1, PATIENCE)
            except ViewsBehind:
                # There is no other way to hear of the end.
                await asyncio.sleep(RETRY_DELAY)

    def _started(self, token: str, beginning: Beginning, payer: Principal | None) -> bytes:
        visitor = payer is not None and payer.kind == "anonymous"
        told: dict[str, Any] = {
            "chat_id": beginning.chat_id,
            "user_message_id": beginning.user_message_id,
            "message_id": beginning.message_id,
            "reply_id": beginning.reply_id,
            "stream_token": token,
            "model": beginning.model,
            "anon_id": payer.name if payer and visitor else msgspec.UNSET,
        }
        if beginning.kind == "send":
            return frame(f"{token}.s", "assistant_typing", ReplyBegun(**told))
        begun = RegenerationBegun(**told, replaces=beginning.replaces)
        return frame(f"{token}.s", "assistant_regenerating", begun)

    def _terminal(self, token: str, beginning: Beginning, ending: Ending) -> bytes:
        told: dict[str, Any] = {
            "chat_id": beginning.chat_id,
            "message_id": beginning.message_id,
            "reply_id": beginning.reply_id,
            "content": ending.content,
            "position": ending.position,
        }
        if ending.error is not None:
            error = reply_error(ending.error, beginning.reply_id).within(ReplyError, **told)
            return frame(f"{token}.t", "assistant_error", error)
        message = ending.message
        told |= {
            "finish_reason": message.finish_reason,
            "usage": message.usage,
            "message": message,
        }
        if beginning.kind == "send":
            return frame(f"{token}.t", "assistant_complete", ReplyCompleted(**told))
        regenerated = RegenerationCompleted(
            **told,
            replaces=beginning.replaces,
            version=message.version,
            versions=message.versions,
        )
        return frame(f"{token}.t", "assistant_regenerated", regenerated)


def _ending_of(view: ReplyView) -> Ending:
    error = "CHAT_NOT_FOUND" if view.chat_deleted else view.message.error
    if view.message.status == "interrupted":
        error = "INTERRUPTED"
    return Ending(
        position=view.position,
        content=view.message.content,
        message=msgspec.convert(view.message, MessageHead, from_attributes=True),
        error=error,
    )
